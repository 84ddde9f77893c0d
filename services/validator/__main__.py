from __future__ import annotations

from services.validator.app import build_app
from shared.bus import run

if __name__ == "__main__":
    run("validator", build_app)

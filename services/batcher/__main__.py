from __future__ import annotations

from services.batcher.app import build_app
from shared.bus import run

if __name__ == "__main__":
    run("batcher", build_app)

from __future__ import annotations

from services.ledger.app import build_app
from shared.bus import run

if __name__ == "__main__":
    run("ledger", build_app)

"""`python -m services.ledger`."""

from services.ledger.app import build_app
from shared.cold_service import run

run("ledger", build_app)

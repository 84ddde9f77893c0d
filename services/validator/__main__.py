"""`python -m services.validator`."""

from services.validator.app import build_app
from shared.cold_service import run

run("validator", build_app)

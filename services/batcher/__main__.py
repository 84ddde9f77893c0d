"""`python -m services.batcher`."""

from services.batcher.app import build_app
from shared.cold_service import run

run("batcher", build_app)

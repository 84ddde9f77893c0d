"""`python -m services.classifier`."""

from services.classifier.app import serve
from shared.hot_service import run

run("classifier", serve)

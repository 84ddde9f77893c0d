"""`python -m services.dispatcher`."""

from services.dispatcher.app import serve
from shared.hot_service import run

run("dispatcher", serve)

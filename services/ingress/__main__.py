"""`python -m services.ingress`."""

import sys

from services.ingress.app import serve
from services.ingress.settings import RefusedToListen
from shared.hot_service import run

try:
    run("ingress", serve)
except RefusedToListen as refused:
    sys.exit(f"ingress: {refused}")

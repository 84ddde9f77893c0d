"""`python -m services.ingress`."""

import sys

import uvloop

from services.ingress.app import serve
from services.ingress.settings import RefusedToListen
from shared.settings import MissingSetting

try:
    uvloop.run(serve())
except (RefusedToListen, MissingSetting) as refused:
    sys.exit(f"ingress: {refused}")

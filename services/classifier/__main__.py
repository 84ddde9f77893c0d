"""`python -m services.classifier`."""

import uvloop

from services.classifier.app import serve

uvloop.run(serve())

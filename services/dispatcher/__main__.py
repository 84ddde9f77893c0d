"""`python -m services.dispatcher`."""

import uvloop

from services.dispatcher.app import serve

uvloop.run(serve())

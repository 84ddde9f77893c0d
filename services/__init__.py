"""Six services. None imports another."""

import shared.logs  # noqa: F401 - ahead of whatever else imports structlog: it keeps rich out

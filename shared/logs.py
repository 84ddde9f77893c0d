"""structlog, set up once a process: JSON lines on stdout, the service's name on every one."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, cast

# structlog would import rich, for tracebacks on a terminal that no service has: 5 MB in each of six processes.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog

    del sys.modules["rich"]
else:
    import structlog

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger


def set_up(service: str) -> BoundLogger:
    """Sends structlog and the libraries' own logging to stdout, and returns this service's logger."""
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    return cast("BoundLogger", structlog.get_logger().bind(service=service))

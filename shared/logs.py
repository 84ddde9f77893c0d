"""structlog, set up once a process: JSON lines on stdout, the service's name on every one."""

from __future__ import annotations

import logging
import sys
from typing import cast

import structlog


def set_up(service: str) -> structlog.stdlib.BoundLogger:
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
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger().bind(service=service))

"""A time zone in which it is about noon now: whose day does not end while a test looks at it."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EAST: Final = 12 - datetime.now(UTC).hour  # hours ahead of UTC: -11 to 12
ZONE: Final = f"Etc/GMT{-_EAST:+d}" if _EAST else "UTC"  # POSIX counts them westward


def today() -> str:
    """YYYY-MM-DD, in ZONE."""
    return (datetime.now(UTC) + timedelta(hours=_EAST)).date().isoformat()

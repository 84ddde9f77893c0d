"""How far usage has been read: what is in the books is taken out of its stream, so the stream itself knows."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

import msgspec

from shared.hotbus import HotBus
from shared.streams import USAGE

ANSWERS_WITHIN_S: Final = 1.0


class _StreamState(msgspec.Struct):
    messages: int
    first_ts: datetime


class _StreamInfo(msgspec.Struct):
    state: _StreamState


_stream_info = msgspec.json.Decoder(_StreamInfo)


async def read_until(bus: HotBus) -> float:
    """Everything that came before this moment is in the books: the oldest message that is still in the stream, for
    what is read is taken out of it. Raises NatsError where nobody knows.
    """
    reply = await bus.client.request(f"$JS.API.STREAM.INFO.{USAGE}", timeout=ANSWERS_WITHIN_S)
    try:
        state = _stream_info.decode(reply.data).state
    except msgspec.ValidationError:
        return 0.0  # no such stream yet
    return state.first_ts.timestamp() if state.messages else time.time()

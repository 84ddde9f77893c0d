"""JetStream streams and KV buckets: their names, their limits, and who makes sure that they exist.

Every service asks for what it needs at start; whoever is first creates it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, KeyValueConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, BadRequestError, BucketNotFoundError, NotFoundError
from nats.js.kv import KeyValue

USAGE: Final = "USAGE"
QUALITY: Final = "QUALITY"
BULK: Final = "BULK"

POLICY: Final = "policy"
HEALTH: Final = "health"
PROMOTIONS: Final = "promotions"
BUDGETS: Final = "budgets"
KEYS: Final = "keys"
IDEMPOTENCY: Final = "idempotency"
LEADERS: Final = "leaders"

CURRENT: Final = "current"  # the one key of the policy bucket; its revision is the policy's version

_GIB: Final = 1024**3
_STREAM_EXISTS: Final = 10058
_NO_ROOM: Final = frozenset({10023, 10047})  # insufficient resources; insufficient storage


class Stream(msgspec.Struct, frozen=True):
    """What a stream keeps. `max_bytes` is halved until the server has room for it, down to a sixteenth."""

    name: str
    subjects: tuple[str, ...]
    max_bytes: int
    max_age_s: float = 0


STREAMS: Final = {
    # Kept until the ledger has it. Full means discard new: a dispatcher keeps and re-sends what was refused.
    USAGE: Stream(USAGE, ("usage.>",), 8 * _GIB),
    QUALITY: Stream(QUALITY, ("quality.>",), 2 * _GIB, max_age_s=24 * 3600),
    BULK: Stream(BULK, ("bulk.>",), 1 * _GIB),
}


async def ensure_stream(js: JetStreamContext, name: str) -> None:
    """Creates the stream where there is none. Raises nats' APIError where the server has no room at all."""
    stream = STREAMS[name]
    size = stream.max_bytes
    while True:
        config = StreamConfig(
            name=name,
            subjects=list(stream.subjects),
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=size,
            max_age=stream.max_age_s or None,
            duplicate_window=120,
        )
        try:
            await js.add_stream(config)
        except BadRequestError as error:
            if error.err_code == _STREAM_EXISTS:  # with other limits: an operator's choice stands
                return
            raise
        except APIError as error:
            if error.err_code not in _NO_ROOM or size <= stream.max_bytes // 16:
                raise
            size //= 2
        else:
            return


async def ensure_bucket(js: JetStreamContext, name: str, *, history: int = 2, ttl_s: float = 0) -> KeyValue:
    """The bucket, made where there is none."""
    try:
        return await js.key_value(name)
    except (BucketNotFoundError, NotFoundError):
        return await js.create_key_value(
            KeyValueConfig(bucket=name, history=history, ttl=ttl_s or None, storage=StorageType.FILE)
        )

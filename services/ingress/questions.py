"""Asks another service over NATS, and gives back its JSON or its refusal. For routes off the hot path."""

from __future__ import annotations

from typing import Final

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

from services.ingress import errors
from shared.contracts import Answered, Refusal, unpack

WITHIN_S: Final = 5.0

_answered = msgspec.msgpack.Decoder(Answered)


class Questions:
    """`client` is there once NATS has been reached."""

    def __init__(self) -> None:
        self.client: Client | None = None

    async def ask(self, subject: str, payload: bytes, whom: str) -> bytes | Refusal:
        """JSON; or why there is none, where `whom` did not answer too."""
        if self.client is None or not self.client.is_connected:
            return errors.NATS_AWAY
        try:
            reply = await self.client.request(subject, payload, timeout=WITHIN_S)
            head, body = unpack(reply.data)
            refusal = _answered.decode(head).refusal
        except NoRespondersError:
            return errors.server_error(503, f"no_{whom}", f"no {whom} is running; try again in a moment")
        except (NatsTimeout, NatsError, OSError):
            return errors.server_error(503, f"{whom}_silent", f"the {whom} does not answer; try again in a moment")
        return body if refusal is None else refusal

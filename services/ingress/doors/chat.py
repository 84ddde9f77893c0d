"""POST /v1/chat/completions: a request's headers and body become a `RequestReceived`, or a refusal.

What the body means is the classifier's to say; here only what must be known at the door: whose it is, how long it
may take, how large it is.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

from services.ingress import errors
from services.ingress.calls import Call, Caller, Calls
from services.ingress.head import BadBody, cut
from shared.contracts import INGRESS_ID_LENGTH, MAX_INLINE_BYTES, PRIORITIES, Refusal, RequestReceived
from shared.money import nano_usd
from shared.policy import Policy, Server

PATH: Final = b"/v1/chat/completions"
MAX_NAME: Final = 128  # characters of a service's name
CACHE_WORDS: Final = frozenset(("bypass", "no-store"))
_PRIORITY_NAMES: Final = ", ".join(PRIORITIES)
# 32 letters and digits that nobody mistakes for one another; 12 of them are 60 bits.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"

Headers = list[tuple[bytes, bytes]]


def new_ingress_id() -> str:
    """`req_` and twelve characters that no other ingress process has: the first part of every id it mints."""
    ingress_id = "req_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))
    assert len(ingress_id) == INGRESS_ID_LENGTH
    return ingress_id


class BadHeader(Exception):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(name)
        self.refusal = Refusal(400, "invalid_header", f"{name}: {why}", param=name)


class ChatDoor:
    """Opens for one ingress process. `calls` is there once NATS has been reached."""

    def __init__(self, ingress_id: str) -> None:
        self._ingress_id = ingress_id
        self._minted = 0
        self.calls: Calls | None = None
        self.server = Server()
        self._uncounted: list[int] = []

    def on_policy(self, policy: Policy) -> None:
        self.server = policy.server

    def mint(self) -> str:
        self._minted += 1
        return f"{self._ingress_id}{self._minted:08x}"

    def open(self, caller: Caller, headers: Headers, body: bytes) -> Call:
        """The call that began. Where it was refused at once, `caller.refuse` has been called."""
        call = Call(self.mint(), caller)
        refusal = self._refusal(call, headers, body)
        if refusal is not None:
            self.count(refusal)
            caller.refuse(call, refusal)
        return call

    def count(self, refusal: Refusal) -> None:
        """One that ended no call. Until NATS has been reached nothing is counted; then it is made up for."""
        if self.calls is None:
            self._uncounted.append(refusal.status)
            return
        for status in (*self._uncounted, refusal.status):
            self.calls.counts.refused(status)
        self._uncounted.clear()

    def _refusal(self, call: Call, headers: Headers, body: bytes) -> Refusal | None:
        calls = self.calls
        if calls is None:
            return errors.NATS_AWAY
        try:
            received = self._received(call.request_id, headers, len(body))
            if received.framed:
                call.body = body
                body = cut(body)
        except (BadHeader, BadBody) as bad:
            return bad.refusal
        return calls.send(call, received, body)

    def _received(self, request_id: str, headers: Headers, body_bytes: int) -> RequestReceived:
        service = category = tier = cache = priority = ""
        deadline_ms = int(self.server.request_timeout_s * 1000)
        max_cost = -1
        for raw_name, raw_value in headers:
            if raw_name[:2] not in (b"X-", b"x-"):
                continue
            name = raw_name.lower()
            if not name.startswith(b"x-tierwise-"):
                continue
            value = raw_value.decode("latin-1").strip()
            if name == b"x-tierwise-service":
                service = _name("X-Tierwise-Service", value)
            elif name == b"x-tierwise-priority":
                if value not in PRIORITIES:
                    raise BadHeader("X-Tierwise-Priority", f"must be one of {_PRIORITY_NAMES}")
                priority = value
            elif name == b"x-tierwise-category":
                category = _name("X-Tierwise-Category", value)
            elif name == b"x-tierwise-tier":
                tier = _name("X-Tierwise-Tier", value)
            elif name == b"x-tierwise-cache":
                cache = _cache(value)
            elif name == b"x-tierwise-deadline-ms":
                deadline_ms = min(deadline_ms, _milliseconds(value))
            elif name == b"x-tierwise-max-cost-usd":
                max_cost = _usd(value)
        return RequestReceived(
            request_id=request_id,
            received_at_us=time.time_ns() // 1000,
            door="chat",
            service=service,
            priority=priority,
            deadline_ms=deadline_ms,
            body_bytes=body_bytes,
            framed=body_bytes > MAX_INLINE_BYTES,
            category=category,
            tier=tier,
            max_cost_nano_usd=max_cost,
            cache=cache,
        )


def _name(header: str, value: str) -> str:
    if len(value) > MAX_NAME or not (value.isascii() and value.isprintable()):
        raise BadHeader(header, f"must be at most {MAX_NAME} printable ASCII characters")
    return value


def _cache(value: str) -> str:
    words = {word.strip() for word in value.split(",")}
    if not words <= CACHE_WORDS:
        raise BadHeader("X-Tierwise-Cache", "must be `bypass`, `no-store`, or both with a comma")
    return ",".join(sorted(words))


def _milliseconds(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not int(value[:12]) > 0 or len(value) > 12:
        raise BadHeader("X-Tierwise-Deadline-Ms", "must be a whole number of milliseconds, at least 1")
    return int(value)


def _usd(value: str) -> int:
    try:
        amount = nano_usd(value)
    except (ArithmeticError, ValueError):
        amount = -1
    if not 0 <= amount < 2**62:
        raise BadHeader("X-Tierwise-Max-Cost-Usd", "must be an amount of US dollars such as 0.002")
    return amount

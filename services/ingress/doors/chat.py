"""POST /v1/chat/completions: a request's headers and body become a `RequestReceived`, or a refusal.

What the body means is the classifier's to say; here only what must be known at the door: whose it is, how long it
may take, how large it is.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from typing import Final

from services.ingress import errors
from services.ingress.calls import Call, Caller, Calls
from services.ingress.head import BadBody, cut
from services.ingress.heads import Headers
from shared.contracts import (
    CREDENTIAL_HEADERS,
    INGRESS_ID_LENGTH,
    LONGEST_SAID_NAME,
    MAX_INLINE_BYTES,
    MOST_RULED_HEADERS,
    PRIORITIES,
    Refusal,
    RequestReceived,
)
from shared.money import nano_usd
from shared.policy import Policy, Server

PATH: Final = b"/v1/chat/completions"
LONGEST_DEADLINE_MS: Final = 10**12  # as the header may say it; the policy has the last word
ONCE: Final = b"idempotency-key"
MAX_RULED_VALUE: Final = 1024  # characters
CACHE_WORDS: Final = frozenset(("bypass", "no-store"))
_PRIORITY_NAMES: Final = ", ".join(PRIORITIES)
# 32 letters and digits that nobody mistakes for one another; 12 of them are 60 bits.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"

Body = bytes | bytearray


def new_ingress_id() -> str:
    """`req_` and twelve characters that no other ingress process has: the first part of every id it mints."""
    ingress_id = "req_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))
    assert len(ingress_id) == INGRESS_ID_LENGTH
    return ingress_id


class BadHeader(Exception):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(name)
        self.refusal = Refusal(400, "invalid_header", f"{name}: {why}", param=name)


class Asked:
    """What a request's headers say to Tierwise; empty is nothing, and then the body may say it."""

    __slots__ = (
        "cache",
        "category",
        "deadline_ms",
        "headers",
        "max_cost_nano_usd",
        "once",
        "priority",
        "refusal",
        "service",
        "tier",
    )

    def __init__(self) -> None:
        self.service = self.priority = self.category = self.tier = self.cache = ""
        self.deadline_ms = LONGEST_DEADLINE_MS
        self.max_cost_nano_usd = -1
        self.once = False  # named an Idempotency-Key: never sent a second time
        self.headers: Headers = []  # all of them: which ones rules name may change while the connection lasts
        self.refusal: Refusal | None = None  # where a header means nothing


class ChatDoor:
    """Opens for one ingress process. `calls` is there once NATS has been reached."""

    def __init__(self, ingress_id: str) -> None:
        self._ingress_id = ingress_id
        self._minted = 0
        self.calls: Calls | None = None
        self._uncounted: Counter[int] = Counter()
        self._ruled: frozenset[bytes] = frozenset()  # headers that rules name, in lower case
        self._take(Server())

    def on_policy(self, policy: Policy) -> None:
        self._take(policy.server)
        self._ruled = ruled_headers(policy)

    def _take(self, server: Server) -> None:
        self.server = server
        self.largest_inline = min(server.max_body_bytes, MAX_INLINE_BYTES)
        self._longest_ms = int(server.request_timeout_s * 1000)

    def mint(self) -> str:
        self._minted += 1
        return f"{self._ingress_id}{self._minted:08x}"

    def open(self, caller: Caller, asked: Asked, body: Body) -> Call:
        """The call that began. Where it was refused at once, `caller.refuse` has been called."""
        call = Call(self.mint(), caller)
        refusal = self._refusal(call, asked, body)
        if refusal is not None:
            self.count(refusal)
            caller.refuse(call, refusal)
        return call

    def count(self, refusal: Refusal) -> None:
        """One that ended no call. Until NATS has been reached nothing is counted; then it is made up for."""
        if self.calls is None:
            self._uncounted[refusal.status] += 1
            return
        self.calls.counts.refused(refusal.status)
        for status, times in self._uncounted.items():
            self.calls.counts.refused(status, times)
        self._uncounted.clear()

    def _refusal(self, call: Call, asked: Asked, body: Body) -> Refusal | None:
        calls = self.calls
        if calls is None:
            return errors.NATS_AWAY
        if asked.refusal is not None:
            return asked.refusal
        size = len(body)
        received = self.received(call.request_id, asked, size)
        if size > MAX_INLINE_BYTES:
            try:
                inline = cut(body)
            except BadBody as bad:
                return bad.refusal
            call.body = body
        else:
            inline = bytes(body)
        call.once = asked.once
        return calls.send(call, received, inline)

    def received(self, request_id: str, asked: Asked, body_bytes: int) -> RequestReceived:
        return RequestReceived(
            request_id,
            time.time_ns() // 1000,
            "chat",
            asked.service,
            asked.priority,
            min(asked.deadline_ms, self._longest_ms),
            body_bytes,
            body_bytes > MAX_INLINE_BYTES,
            0,
            asked.category,
            asked.tier,
            asked.max_cost_nano_usd,
            asked.cache,
            0,
            _of_rules(asked.headers, self._ruled) if self._ruled else (),
        )


def ruled_headers(policy: Policy) -> frozenset[bytes]:
    """Those that rules look at, but for keys: nothing that opens a door goes further than this one."""
    named = {name.lower() for rule in policy.rules for name in rule.when.headers} - CREDENTIAL_HEADERS
    return frozenset([name.encode("latin-1", "replace") for name in sorted(named)[:MOST_RULED_HEADERS]])


def _of_rules(headers: Headers, ruled: frozenset[bytes]) -> tuple[tuple[str, str], ...]:
    """The first of each name, as far as a rule's value may reach."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.lower()
        if name in ruled:
            found.setdefault(name.decode("latin-1"), raw_value.decode("latin-1").strip()[:MAX_RULED_VALUE])
    return tuple(found.items())


def read(headers: Headers) -> Asked:
    """What they ask of Tierwise; the first that means nothing is refused by its name."""
    asked = Asked()
    asked.headers = headers
    try:
        for raw_name, raw_value in headers:
            if raw_name[:2] in {b"X-", b"x-"}:
                name = raw_name.lower()
                if name.startswith(b"x-tierwise-"):
                    _take_in(asked, name, raw_value.decode("latin-1").strip())
            elif len(raw_name) == len(ONCE) and raw_name.lower() == ONCE:
                asked.once = True
    except BadHeader as bad:
        asked.refusal = bad.refusal
    return asked


def _take_in(asked: Asked, name: bytes, value: str) -> None:
    if name == b"x-tierwise-service":
        asked.service = _name("X-Tierwise-Service", value)
    elif name == b"x-tierwise-priority":
        if value not in PRIORITIES:
            raise BadHeader("X-Tierwise-Priority", f"must be one of {_PRIORITY_NAMES}")
        asked.priority = value
    elif name == b"x-tierwise-category":
        asked.category = _name("X-Tierwise-Category", value)
    elif name == b"x-tierwise-tier":
        asked.tier = _name("X-Tierwise-Tier", value)
    elif name == b"x-tierwise-cache":
        asked.cache = _cache(value)
    elif name == b"x-tierwise-deadline-ms":
        asked.deadline_ms = _milliseconds(value)
    elif name == b"x-tierwise-max-cost-usd":
        asked.max_cost_nano_usd = _usd(value)


def _name(header: str, value: str) -> str:
    if len(value) > LONGEST_SAID_NAME or not (value.isascii() and value.isprintable()):
        raise BadHeader(header, f"must be at most {LONGEST_SAID_NAME} printable ASCII characters")
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
    if "_" in value or not 0 <= amount < 2**62:  # Python reads 1_0 as ten
        raise BadHeader("X-Tierwise-Max-Cost-Usd", "must be an amount of US dollars such as 0.002")
    return amount

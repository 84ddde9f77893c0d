"""All that a decision depends on besides policy and moment, measured of a request or recalled from its record. Pure.

Live traffic and `replay` both decide by this and by nothing else, so they cannot differ.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Raw

from services.classifier import evidence, refusals
from services.classifier.evidence import Verdict
from services.classifier.features import ChatRequest
from shared.contracts import CATEGORIES, PRIORITIES, Features, Refusal, RequestReceived, encode
from shared.money import NanoUsd

LONGEST_FEATURES: Final = 300  # bytes: one goes with every row of the ledger

_SPELLINGS: Final = {category: category for category in CATEGORIES} | {"summarization": "summarisation"}
_MODEL_BYTES: Final = 64  # of a model's name that is recorded; a longer one is replayed by so much of it


class Measured(msgspec.Struct, frozen=True, gc=False):
    request_id: str
    service: str
    priority: str
    category: str  # the caller's word, else the evidence's
    category_said: bool
    tier: str  # that the caller asked for at least; empty: none
    model: str  # as sent
    needs: tuple[str, ...]
    fields: int
    input_tokens: int
    task_tokens: int
    output_cap: int
    choices: int
    max_cost_nano_usd: NanoUsd  # -1: any
    session: int
    headers: tuple[int, ...]  # hashes of those that rules name


def service_of(received: RequestReceived, chat: ChatRequest) -> str:
    """Who pays."""
    return received.service or chat.wishes.service or "default"


def measure(received: RequestReceived, chat: ChatRequest) -> tuple[Measured, Verdict] | Refusal:
    """Headers before metadata, and both before the evidence; what the evidence was goes with it."""
    wishes = chat.wishes
    said = received.category or wishes.category
    category = _SPELLINGS.get(said, "") if said else ""
    if said and not category:
        return refusals.unknown("category", said, CATEGORIES, said_in_header=bool(received.category))
    priority = received.priority or wishes.priority or "normal"
    if priority not in PRIORITIES:
        return refusals.unknown("priority", priority, PRIORITIES, said_in_header=bool(received.priority))
    verdict = Verdict(category, (), ()) if category else evidence.weigh(chat)
    max_cost = received.max_cost_nano_usd
    measured = Measured(
        received.request_id,
        service_of(received, chat),
        priority,
        verdict.category,
        bool(category),
        received.tier or wishes.tier,
        chat.model,
        chat.needs,
        chat.fields,
        chat.input_tokens,
        chat.task_tokens,
        chat.output_cap,
        chat.choices,
        max_cost if max_cost >= 0 else wishes.max_cost_nano_usd,
        chat.session,
        tuple([header_hash(name, value) for name, value in received.headers]) if received.headers else (),
    )
    return measured, verdict


def recall(features: Features, *, request_id: str, service: str, priority: str, category: str) -> Measured:
    """Of a recorded request: its features, and the columns of its row.

    A header that no rule named when it was served is not known any more, and of a model's name its first 64 bytes.
    """
    return Measured(
        request_id,
        service,
        priority,
        category,
        features.category_said,
        features.tier,
        features.model,
        features.needs,
        features.fields,
        features.input_tokens,
        features.task_tokens or features.input_tokens,  # recorded before it was measured
        features.max_tokens,
        features.choices,
        features.max_cost_nano_usd,
        features.session,
        features.headers,
    )


def header_hash(name: str, value: str) -> int:
    """What is kept of a header: enough to tell whether a rule's is the same, too little to read it."""
    said = f"{name.lower()}\0{value.strip()}".encode()
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big")


def record(measured: Measured, chat: ChatRequest, verdict: Verdict, observed: tuple[str, ...]) -> Raw:
    """What `recall` needs, packed, with the evidence for people, as much of it as there is room for."""
    names = evidence.names(verdict)
    packed = _pack(measured, chat, verdict, names, observed)
    while len(packed) > LONGEST_FEATURES and names:
        names = names[:-1]
        packed = _pack(measured, chat, verdict, names, observed)
    if len(packed) > LONGEST_FEATURES and observed:
        packed = _pack(measured, chat, verdict, (), tuple([name[:16] for name in observed]))
    return Raw(packed)


def _pack(
    measured: Measured, chat: ChatRequest, verdict: Verdict, names: tuple[str, ...], observed: tuple[str, ...]
) -> bytes:
    return encode(
        Features(
            names,
            verdict.scores,
            _cut(measured.model),
            measured.input_tokens,
            measured.output_cap,
            measured.needs,
            chat.messages,
            chat.streamed,
            chat.temperature_zero,
            measured.category_said,
            measured.tier,
            measured.max_cost_nano_usd,
            measured.choices,
            measured.task_tokens,
            measured.fields,
            measured.session,
            chat.tool_turn,
            measured.headers,
            observed,
        )
    )


def _cut(name: str) -> str:
    """At most _MODEL_BYTES of a name, whole characters."""
    if len(name) * 4 <= _MODEL_BYTES:
        return name
    return name.encode()[:_MODEL_BYTES].decode(errors="ignore")

"""What the ledger answers, by request and reply: the question is a value, the answer JSON. Reads only.

On connections of its own, so that it answers while a batch is written. Money is in decimal strings.
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import msgspec
from faststream.nats import NatsBroker, NatsMessage
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger import reports
from shared.contracts import (
    CATEGORIES,
    Answered,
    BudgetsAsked,
    Features,
    LedgerAsked,
    LedgerQuestion,
    Refusal,
    RequestAsked,
    SavingsAsked,
    SpendAsked,
    pack,
)
from shared.money import decimal_usd

QUEUE: Final = "ledger"

_question = msgspec.msgpack.Decoder(LedgerQuestion)
_features = msgspec.msgpack.Decoder(Features)

_REQUEST: Final = text("""
    SELECT request.*, recorded.features FROM tierwise.requests AS request
    JOIN tierwise.ledger_requests AS recorded USING (request_id) WHERE request_id = :request_id
""")
_ATTEMPTS: Final = text("""
    SELECT send, attempt, backend, started_at, outcome, status, input_tokens, output_tokens, cost_nano_usd, latency_ms
    FROM tierwise.attempts WHERE request_id = :request_id ORDER BY send, attempt
""")

_AWAY: Final = Refusal(
    503, "database_away", "the ledger's database does not answer; try again in a moment", "server_error",
    retry_after_s=1,
)  # fmt: skip
_NOT_UNDERSTOOD: Final = Refusal(
    400, "unknown_question", "the ledger does not know this question; is it older than the ingress?"
)
_BUDGETS: Final = text("""
    SELECT status.*, word.budget FROM tierwise.budget_status AS status
    LEFT JOIN tierwise.budgets AS word USING (service) ORDER BY service
""")


def register(broker: NatsBroker, engine: AsyncEngine) -> None:
    @broker.subscriber(LedgerAsked.subject, queue=QUEUE)
    async def on_question(message: NatsMessage) -> bytes:
        return await answer(engine, message.body)


async def answer(engine: AsyncEngine, payload: bytes) -> bytes:
    """The reply to a question, whatever came."""
    try:
        question = _question.decode(payload)
    except msgspec.MsgspecError:
        return pack(Answered(_NOT_UNDERSTOOD))
    try:
        told = await _answer(engine, question)
    except (OSError, TimeoutError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return pack(Answered(_AWAY))
    if isinstance(told, Refusal):
        return pack(Answered(told))
    return pack(Answered(), msgspec.json.encode(told))


async def _answer(engine: AsyncEngine, asked: LedgerQuestion) -> dict[str, Any] | Refusal:
    if isinstance(asked, SpendAsked):
        return await reports.spend(engine, asked)
    if isinstance(asked, SavingsAsked):
        return await reports.savings(engine, asked)
    if isinstance(asked, BudgetsAsked):
        return await _budgets(engine)
    return await _request(engine, asked)


async def _request(engine: AsyncEngine, asked: RequestAsked) -> dict[str, Any] | Refusal:
    async with engine.connect() as connection:
        row = (await connection.execute(_REQUEST, {"request_id": asked.request_id})).mappings().first()
        if row is None:
            return Refusal(
                404,
                "request_not_found",
                f"There is no request {asked.request_id} in the ledger: it was refused before a backend was called, "
                "is older than retention.requests_days, or was answered less than 2 seconds ago.",
                param="id",
            )
        attempts = (await connection.execute(_ATTEMPTS, {"request_id": asked.request_id})).mappings().all()
    columns = (
        "request_id", "received_at", "service", "priority", "category", "tier", "backend", "model", "cache", "status",
        "input_tokens", "cached_input_tokens", "output_tokens", "usage_source", "latency_ms", "first_token_ms",
        "policy_version",
    )  # fmt: skip
    return {
        **{name: row[name] for name in columns},
        "reason": row["reason"].split(",") if row["reason"] else [],
        "decision": _decision(row["features"]),
        "attempts": [_attempt(attempt) for attempt in attempts],
        **{f"{what}_usd": decimal_usd(row[f"{what}_nano_usd"]) for what in ("cost", "baseline", "saved")},
    }


async def _budgets(engine: AsyncEngine) -> dict[str, Any]:
    """Of services whose budget is the default's, those that have asked for something today."""
    async with engine.connect() as connection:
        rows = (await connection.execute(_BUDGETS)).mappings().all()
    return {"budgets": [_budget(row) for row in rows]}


def _budget(row: Any) -> dict[str, Any]:
    amounts = {name: row[f"{name}_nano_usd"] for name in ("limit", "spent", "reserved", "remaining", "floor")}
    return {
        "service": row["service"],
        "day": row["day"],
        **{f"{name}_nano_usd": amount for name, amount in amounts.items()},
        **{f"{name}_usd": decimal_usd(amount) for name, amount in amounts.items()},
        "on_exhausted": row["on_exhausted"],
        "exhausted_at": row["exhausted_at"],
        "resets_at": row["resets_at"],
        "set_by": "file" if row["budget"] is None else "operator",
    }


def _attempt(row: Any) -> dict[str, Any]:
    told = dict(row)
    told["cost_usd"] = decimal_usd(told.pop("cost_nano_usd"))
    return told


def _decision(packed: bytes) -> dict[str, Any]:
    """What the classifier measured; nothing of what the caller wrote."""
    features = _features.decode(packed)
    observed = features.observed
    return {
        "evidence": features.evidence,
        "scores": dict(zip(CATEGORIES, features.scores, strict=False)),
        "category_by": "caller" if features.category_said else "evidence",
        "model_asked": features.model,
        "tier_asked": features.tier,
        "needs": features.needs,
        "input_tokens_estimated": features.input_tokens,
        "max_tokens": features.max_tokens or None,
        "max_cost_usd": decimal_usd(features.max_cost_nano_usd) if features.max_cost_nano_usd >= 0 else None,
        "choices": features.choices,
        "messages": features.messages,
        "streamed": features.streamed,
        "tool_turn": features.tool_turn,
        "in_conversation": features.session != 0,
        "observed": {"tier": observed[0], "backend": observed[1]} if len(observed) == 2 else None,
    }

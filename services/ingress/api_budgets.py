"""/api/budgets: how every budget stands today, and operators' words over the file. The ledger keeps them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from services.ingress import errors, replies
from services.ingress.api import CurrentPolicy
from services.ingress.questions import Questions
from shared.contracts import BudgetChangeRequested, BudgetsAsked, LedgerAsked, Refusal, encode
from shared.policy import Budget, Policy, PolicyFault, from_tree

MAX_BODY_BYTES: Final = 64 * 1024
_ANY: Final = b'{"daily_usd": 0}'

_STANDS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Amounts as `*_nano_usd` and `*_usd`. A service under `default` is there once it has asked.",
        "content": {
            "application/json": {
                "example": {
                    "budgets": [
                        {
                            "service": "billing",
                            "day": "2026-11-26",
                            "limit_nano_usd": 1_000_000_000,
                            "spent_nano_usd": 640_000_000,
                            "reserved_nano_usd": 12_000_000,
                            "remaining_nano_usd": 348_000_000,
                            "floor_nano_usd": 0,
                            "limit_usd": "1",
                            "spent_usd": "0.64",
                            "reserved_usd": "0.012",
                            "remaining_usd": "0.348",
                            "floor_usd": "0",
                            "on_exhausted": "downgrade",
                            "exhausted_at": None,
                            "resets_at": "2026-11-26T23:00:00Z",
                            "set_by": "file",
                        }
                    ]
                }
            }
        },
    }
}
_BUDGET: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["daily_usd"],
                    "properties": {
                        "daily_usd": {"type": "number", "minimum": 0, "example": 2.5},
                        "on_exhausted": {"enum": ["downgrade", "reject"]},
                        "downgrade_to": {"type": "string", "example": "small"},
                        "timezone": {"type": "string", "example": "Europe/Berlin"},
                        "when_ledger_is_away": {"enum": ["downgrade", "allow", "reject"]},
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}


def budgets(questions: Questions, current: CurrentPolicy, mint: Callable[[], str]) -> APIRouter:
    router = APIRouter(prefix="/api/budgets", tags=["money"])

    @router.get("", responses=_STANDS)
    async def stand() -> Response:
        """Limit, spent, reserved and what is left of every budget, today."""
        return await _told(LedgerAsked.subject, encode(BudgetsAsked()), mint())

    @router.put("/{service:path}", openapi_extra=_BUDGET)
    async def put(service: str, request: Request) -> Response:
        """A budget for this service, as the file would have it. It wins over the file until it is deleted, holds
        within a second, and survives restarts. `default` is for every service without one of its own.
        """
        request_id = mint()
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                too_long = Refusal(413, "request_too_large", f"a budget has at most {MAX_BODY_BYTES} bytes")
                return replies.refused(too_long, request_id, {"connection": "close"})
        if current.policy is None:
            return replies.refused(errors.NO_POLICY, request_id)
        budget = read(body, service, current.policy)
        if isinstance(budget, Refusal):
            return replies.refused(budget, request_id)
        changed = BudgetChangeRequested(service, msgspec.json.encode(budget).decode())
        return await _told(BudgetChangeRequested.subject, encode(changed), request_id)

    @router.delete("/{service:path}")
    async def delete(service: str) -> Response:
        """What the file says holds again."""
        request_id = mint()
        if current.policy is None:
            return replies.refused(errors.NO_POLICY, request_id)
        named = read(_ANY, service, current.policy)
        if isinstance(named, Refusal):
            return replies.refused(named, request_id)
        return await _told(BudgetChangeRequested.subject, encode(BudgetChangeRequested(service)), request_id)

    async def _told(subject: str, payload: bytes, request_id: str) -> Response:
        told = await questions.ask(subject, payload, "ledger")
        if isinstance(told, Refusal):
            return replies.refused(told, request_id)
        return replies.json(told, request_id)

    return router


def read(body: bytes, service: str, policy: Policy) -> Budget | Refusal:
    """The budget that a body is, checked as if it stood in the file; or every fault of it, in sentences."""
    try:
        tree = msgspec.json.decode(msgspec.json.encode(policy)) | {"budgets": {service: msgspec.json.decode(body)}}
        return from_tree(tree, {}).budgets[service]
    except PolicyFault as fault:
        return _invalid("; ".join(fault.faults))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _invalid(f'the body must be a budget in JSON, for example {{"daily_usd": 2.5}}: {error}')


def _invalid(message: str) -> Refusal:
    return Refusal(400, "invalid_budget", message)

"""/api/explain: how would this be decided? /api/requests/{id}: how was it? Others know; here they are asked."""

from __future__ import annotations

import re
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from services.ingress import errors, replies
from services.ingress.api import CHAT_BODY
from services.ingress.doors import chat
from services.ingress.doors.chat import ChatDoor
from services.ingress.head import BadBody, cut
from services.ingress.questions import Questions
from shared.contracts import (
    MAX_INLINE_BYTES,
    ExplainRequested,
    LedgerAsked,
    Refusal,
    RequestAsked,
    encode,
    pack,
)

MOST_HELD: Final = 64 * 1024 * 1024  # bytes of bodies that are being explained

_ID: Final = re.compile(r"req_[0-9a-z]{12}[0-9a-f]{1,16}")
_NO_ID: Final = Refusal(
    400, "invalid_request_id", "this is no request's id; send what X-Tierwise-Request-Id said", param="id"
)
_BUSY: Final = errors.server_error(503, "no_room", "too much is being explained here; try again in a moment")

# What a client of these routes may rely on; money is in decimal strings.
_EXPLAINED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The decision; where the request would be refused, `refused` says how.",
        "content": {
            "application/json": {
                "example": {
                    "category": "extraction",
                    "evidence": [{"rule": "extract", "category": "extraction", "weight": 4, "found": ["extract"]}],
                    "tier": "small",
                    "reason": ["category"],
                    "candidates": [{"backend": "small-1", "tier": "small", "price_usd": "0.00000123"}],
                    "excluded": [{"backend": "large-1", "because": "lacks vision"}],
                    "estimate": {
                        "input_tokens": 96,
                        "output_tokens": 150,
                        "cost_usd": "0.00000123",
                        "baseline_usd": "0.00174",
                    },
                    "budget": {
                        "service": "default",
                        "limited": False,
                        "available_usd": None,
                        "exhausted": False,
                        "reserved_usd": "0.000164",
                    },
                    "policy_version": 7,
                    "decided_in_us": 17.2,
                    "priority": "normal",
                    "max_tokens": None,
                    "observed": None,
                    "refused": None,
                }
            }
        },
    }
}


class _Held:
    """How much is being explained, by all connections."""

    size = 0


def decisions(door: ChatDoor, questions: Questions) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["decisions"])
    held = _Held()

    @router.post("/explain", openapi_extra=CHAT_BODY, responses=_EXPLAINED)
    async def explain(request: Request) -> Response:
        """How this request would be decided, and why. Body and headers as for chat completions; nothing is called."""
        request_id = door.mint()
        asked = chat.read(request.headers.raw)
        if asked.refusal is not None:
            return replies.refused(asked.refusal, request_id)
        body = bytearray()
        try:
            async for part in request.stream():
                held.size += len(part)
                body += part
                if len(body) > door.server.max_body_bytes:
                    too_large = errors.too_large(door.server.max_body_bytes)
                    return replies.refused(too_large, request_id, {"connection": "close"})
                if held.size > MOST_HELD:
                    return replies.refused(_BUSY, request_id, {"connection": "close"})
            try:
                inline = cut(body) if len(body) > MAX_INLINE_BYTES else bytes(body)
            except BadBody as bad:
                return replies.refused(bad.refusal, request_id)
            received = door.received(request_id, asked, len(body))
        except ClientDisconnect:  # in the middle of its body: nobody is there to be answered
            return Response(status_code=499)
        finally:
            held.size -= len(body)
        told = await questions.ask(ExplainRequested.subject, pack(ExplainRequested(received), inline), "classifier")
        return _reply(told, request_id)

    @router.get("/requests/{id}")
    async def served(id: str) -> Response:  # noqa: A002  # as the path names it
        """The decision, its reasons, attempts and cost of a request that was served: at most 2 s after its answer."""
        request_id = door.mint()
        if not _ID.fullmatch(id):
            return replies.refused(_NO_ID, request_id)
        told = await questions.ask(LedgerAsked.subject, encode(RequestAsked(id)), "ledger")
        return _reply(told, request_id)

    return router


def _reply(told: bytes | Refusal, request_id: str) -> Response:
    if isinstance(told, Refusal):
        return replies.refused(told, request_id)
    return replies.json(told, request_id)

"""Every route but the hot one: models, health, metrics, and their documentation, as a FastAPI application."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from services.ingress import errors
from services.ingress.leadership import Leadership
from services.ingress.replies import refused
from shared.contracts import Refusal
from shared.ops import Readiness
from shared.policy import Policy

CHAT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model", "messages"],
                    "properties": {
                        "model": {"type": "string", "example": "auto"},
                        "messages": {"type": "array", "items": {"type": "object"}},
                        "stream": {"type": "boolean"},
                    },
                    "additionalProperties": True,
                }
            }
        },
    }
}


class CurrentPolicy:
    """The policy in force, as the watch brings it, and who put it there: `leadership`, once NATS has been reached."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.version = 0
        self.since: datetime | None = None  # when it was put into KV, by NATS' clock
        self.leadership: Leadership | None = None

    def set(self, policy: Policy, version: int, since: datetime | None = None) -> None:
        self.policy, self.version, self.since = policy, version, since


def build_api(
    current: CurrentPolicy,
    readiness: Readiness,
    registry: CollectorRegistry,
    mint: Callable[[], str],
    *routers: APIRouter,
) -> FastAPI:
    api = FastAPI(
        title="Tierwise", summary="Each request to the cheapest model that is good enough.", version="0.1.0"
    )

    @api.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            message, code = f"there is no route {request.url.path}; see /docs for those that there are", "not_found"
        elif error.status_code == 405:
            message, code = f"{request.method} is not allowed on {request.url.path}; see /docs", "method_not_allowed"
        else:
            message, code = str(error.detail), "http_error"
        return refused(Refusal(error.status_code, code, message), mint(), dict(error.headers or {}))

    @api.exception_handler(Exception)
    async def broke(_request: Request, _error: Exception) -> Response:
        """Starlette raises it again after this answer, and uvicorn logs it."""
        return refused(errors.BROKEN, mint(), {"connection": "close"})

    @api.get("/v1/models", tags=["OpenAI"])
    async def models() -> Response:
        """`auto` and its variants, every tier, backend and LoRA adapter: what `model` may be."""
        if current.policy is None:
            return refused(errors.NO_POLICY, mint())
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": "tierwise"} for name in _names(current.policy)
        ]
        return JSONResponse({"object": "list", "data": listed})

    @api.post("/v1/chat/completions", tags=["OpenAI"], openapi_extra=CHAT_BODY)
    async def chat_completions() -> Response:
        """OpenAI's chat completions, streamed and not. Answered by services/ingress/fast.py, ahead of this."""
        raise HTTPException(404)  # some spelling of the path that fast.py does not know

    @api.get("/healthz", tags=["operations"])
    async def healthz() -> dict[str, str]:
        """Alive."""
        return {"status": "alive", "service": "ingress"}

    @api.get("/readyz", tags=["operations"])
    async def readyz() -> Response:
        """Can serve, or what it waits for."""
        waiting = readiness.waiting_for
        return JSONResponse(
            {"status": "waiting" if waiting else "ready", "service": "ingress", "waiting_for": waiting},
            status_code=503 if waiting else 200,
        )

    @api.get("/metrics", tags=["operations"])
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    for router in routers:
        api.include_router(router)
    return api


def _names(policy: Policy) -> list[str]:
    adapters = [adapter for backend in policy.backends for adapter in backend.lora_adapters]
    backends = [backend.name for backend in policy.backends]
    return list(dict.fromkeys(["auto", "auto:cheap", "auto:quality", *policy.tiers, *backends, *adapters]))

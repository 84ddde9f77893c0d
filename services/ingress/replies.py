"""What the routes of FastAPI answer with: a refusal in OpenAI's shape, or JSON that is there already."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response

from services.ingress import errors
from shared.contracts import Refusal


def refused(refusal: Refusal, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    said = {**(headers or {}), **_ids(request_id)}
    if refusal.retry_after_s:
        said["retry-after"] = str(refusal.retry_after_s)
    if not refusal.may_retry:
        said["x-should-retry"] = "false"
    return Response(
        errors.body(refusal, request_id), status_code=refusal.status, media_type="application/json", headers=said
    )


def json(body: bytes, request_id: str) -> Response:
    return Response(body, media_type="application/json", headers=_ids(request_id))


def _ids(request_id: str) -> dict[str, str]:
    return {"x-request-id": request_id, "x-tierwise-request-id": request_id}

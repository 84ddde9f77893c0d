"""A refusal as the answer of a FastAPI route. (Those of the hot route are fast.py's.)"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response

from services.ingress import errors
from shared.contracts import Refusal


def refusal(refused: Refusal, request_id: str, headers: Mapping[str, str]) -> Response:
    return Response(
        errors.body(refused, request_id),
        status_code=refused.status,
        media_type="application/json",
        headers={**headers, "x-request-id": request_id, "x-tierwise-request-id": request_id},
    )

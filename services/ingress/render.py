"""The head of an HTTP response as bytes: status line, Tierwise's headers, and how the body is delimited. Pure.

What many answers have in common (all that depends on the decision alone) is rendered once and kept.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Final

from shared.contracts import AnswerHead, PlanRefused, Refusal
from shared.money import decimal_usd

STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED: Final = "transfer-encoding: chunked\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
STAYS: Final = ""
STAYS_AS_ASKED: Final = "connection: keep-alive\r\n"  # HTTP/1.0: where it is not said, it closes
CLOSES: Final = "connection: close\r\n"

_KEPT: Final = 4096
_usd: Final = lru_cache(_KEPT)(decimal_usd)
_decided: Final[dict[tuple[object, ...], str]] = {}


def status_line(status: int) -> str:
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n"


def answer(head: AnswerHead, request_id: str, common: str, connection: str) -> bytes:
    """The head of an answer of known length.

    `common` are the lines that every response has (`date`, `server`), `connection` says whether it stays.
    """
    return (
        f"{_decision(head)}{common}content-length: {head.body_bytes}\r\n"
        f"x-tierwise-cost-usd: {_usd(head.cost_nano_usd)}\r\nx-tierwise-saved-usd: {_usd(head.saved_nano_usd)}\r\n"
        f"x-request-id: {request_id}\r\nx-tierwise-request-id: {request_id}\r\n{connection}\r\n"
    ).encode("latin-1", "replace")


def stream(head: AnswerHead, request_id: str, common: str, connection: str, *, chunked: bool) -> bytes:
    """The head of a stream: chunked, or, for HTTP/1.0, ended by the connection's end."""
    return (
        f"{_decision(head)}{common}cache-control: no-cache\r\n"
        f"{CHUNKED if chunked else ''}"
        f"x-request-id: {request_id}\r\nx-tierwise-request-id: {request_id}\r\n{connection}\r\n"
    ).encode("latin-1", "replace")


def refusal(
    refused: Refusal, request_id: str, length: int, common: str, connection: str, plan: PlanRefused | None = None
) -> bytes:
    """The head of an error answer of `length` bytes. `plan` is there where a classifier or dispatcher refused."""
    retry = f"retry-after: {refused.retry_after_s}\r\n" if refused.retry_after_s else ""
    again = "" if refused.may_retry else "x-should-retry: false\r\n"
    decided = ""
    if plan is not None and plan.category:
        decided = (
            f"x-tierwise-category: {plan.category}\r\nx-tierwise-tier: {plan.tier}\r\n"
            f"x-tierwise-reason: {','.join(plan.reasons)}\r\nx-tierwise-policy: {plan.policy_version}\r\n"
        )
    return (
        f"{status_line(refused.status)}{common}content-type: application/json\r\ncontent-length: {length}\r\n"
        f"x-request-id: {request_id}\r\nx-tierwise-request-id: {request_id}\r\n{decided}{retry}{again}"
        f"{connection}\r\n"
    ).encode("latin-1", "replace")


def _decision(head: AnswerHead) -> str:
    """The status line, and the lines that are the same for every answer that was decided and served alike."""
    key = (
        head.status, head.content_type, head.category, head.tier, head.backend, head.model, head.reasons,
        head.attempts, head.policy_version, head.output_cap,
    )  # fmt: skip
    lines = _decided.get(key)
    if lines is None:
        if len(_decided) >= _KEPT:
            _decided.clear()
        cap = f"x-tierwise-max-tokens: {head.output_cap}\r\n" if head.output_cap else ""
        lines = _decided[key] = (
            f"{status_line(head.status)}content-type: {head.content_type}\r\n"
            f"x-tierwise-category: {head.category}\r\nx-tierwise-tier: {head.tier}\r\n"
            f"x-tierwise-backend: {head.backend}\r\nx-tierwise-model: {head.model}\r\n"
            f"x-tierwise-reason: {','.join(head.reasons)}\r\nx-tierwise-cache: miss\r\n"
            f"x-tierwise-attempts: {head.attempts}\r\nx-tierwise-policy: {head.policy_version}\r\n{cap}"
        )
    return lines

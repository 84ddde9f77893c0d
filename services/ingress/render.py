"""The head of an HTTP response as bytes: status line, Tierwise's headers, and how the body is delimited. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from shared.contracts import AnswerHead, PlanRefused, Refusal
from shared.money import decimal_usd

STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
KEEP: Final = ""
CLOSE: Final = "connection: close\r\n"


def status_line(status: int) -> str:
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n"


def answer(head: AnswerHead, request_id: str, *, common: str, keep_alive: bool, chunked: bool) -> bytes:
    """The head of an answer. `common` are the lines that every response has (`date`, `server`).

    A stream is chunked, or, for HTTP/1.0, ends with the connection.
    """
    if head.body_bytes >= 0:
        length = (
            f"content-length: {head.body_bytes}\r\n"
            f"x-tierwise-cost-usd: {decimal_usd(head.cost_nano_usd)}\r\n"
            f"x-tierwise-saved-usd: {decimal_usd(head.saved_nano_usd)}\r\n"
        )
    else:
        length = "cache-control: no-cache\r\n" + ("transfer-encoding: chunked\r\n" if chunked else "")
    cap = f"x-tierwise-max-tokens: {head.output_cap}\r\n" if head.output_cap else ""
    return (
        f"{status_line(head.status)}{common}content-type: {head.content_type}\r\n{length}"
        f"x-request-id: {request_id}\r\nx-tierwise-request-id: {request_id}\r\n"
        f"x-tierwise-category: {head.category}\r\nx-tierwise-tier: {head.tier}\r\n"
        f"x-tierwise-backend: {head.backend}\r\nx-tierwise-model: {head.model}\r\n"
        f"x-tierwise-reason: {','.join(head.reasons)}\r\nx-tierwise-cache: miss\r\n"
        f"x-tierwise-attempts: {head.attempts}\r\nx-tierwise-policy: {head.policy_version}\r\n{cap}"
        f"{KEEP if keep_alive else CLOSE}\r\n"
    ).encode("latin-1", "replace")


def refusal(
    refused: Refusal, request_id: str, length: int, *, common: str, keep_alive: bool, plan: PlanRefused | None = None
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
        f"{KEEP if keep_alive else CLOSE}\r\n"
    ).encode("latin-1", "replace")

"""What an attempt's outcome means: pass it on, try the next backend, or say no. Pure: no clock, no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from services.dispatcher.providers.openai import UpstreamError
from shared.contracts import Refusal

MAX_ATTEMPTS: Final = 4
RETRY_AFTER_S: Final = 1

# Shares of what is left of a request's time: a backend that took it and hangs leaves the next one the rest. A plain
# answer begins when all of it is there, which on slow hardware takes minutes; a stream begins with its first token.
SILENT_SHARE: Final = 0.5
SILENT_SHARE_STREAMED: Final = 0.25


class Verdict(Enum):
    """Whose fault a status is decides what happens next."""

    ANSWERED = "answered"
    CALLERS = "callers"  # wrong request: never retried, status kept
    OPERATORS = "operators"  # our key or our bill: the next backend, and a word to the operator
    OVERLOADED = "overloaded"  # the next backend; its Retry-After is passed on when there is none
    FAILED = "failed"  # the next backend


_CALLERS: Final = frozenset({400, 404, 409, 413, 422})
_OPERATORS: Final = frozenset({401, 402, 403})


def judge(status: int) -> Verdict:
    """What an HTTP status from a backend means."""
    if 200 <= status < 300:
        return Verdict.ANSWERED
    if status in _CALLERS:
        return Verdict.CALLERS
    if status in _OPERATORS:
        return Verdict.OPERATORS
    if status == 429:
        return Verdict.OVERLOADED
    return Verdict.FAILED


def choose(candidates: Sequence[str], is_full: Callable[[str], bool]) -> str:
    """Which of the remaining candidates is next: the first that has room, or the first, whose turn is waited for."""
    if len(candidates) == 1:
        return candidates[0]
    for name in candidates:
        if not is_full(name):
            return name
    return candidates[0]


def of_caller(status: int, error: UpstreamError, backend: str) -> Refusal:
    """A backend's refusal of the request itself, in OpenAI's shape, status kept."""
    return Refusal(
        status=status,
        code=error.code or "invalid_request",
        message=error.message or f"backend {backend} refused the request with status {status}",
        type=error.type or "invalid_request_error",
        param=error.param,
    )


def of_failures(verdicts: Sequence[Verdict], backends: Sequence[str], retry_after_s: int, last: str) -> Refusal:
    """No candidate answered: why, and when to try again. `last` is what happened at the last one."""
    tried = ", ".join(dict.fromkeys(backends)) or "none"
    if verdicts and all(verdict is Verdict.OPERATORS for verdict in verdicts):
        return Refusal(
            status=503,
            code="backend_refused_key",
            message=f"every backend that was tried refused its API key or account ({tried}); "
            "the operator must check the keys that tierwise.yaml names",
            type="server_error",
            retry_after_s=30,
        )
    if verdicts and verdicts[-1] is Verdict.OVERLOADED:
        return Refusal(
            status=429,
            code="rate_limit_exceeded",
            message=f"the backends are over their rate limit ({tried}); try again later",
            type="rate_limit_error",
            retry_after_s=retry_after_s or RETRY_AFTER_S,
        )
    return Refusal(
        status=503,
        code="no_backend_available",
        message=f"no backend could answer: tried {tried}; the last one: {last}. Try again in a moment",
        type="server_error",
        retry_after_s=retry_after_s or RETRY_AFTER_S,
    )


def of_deadline(deadline_ms: int) -> Refusal:
    return Refusal(
        status=504,
        code="deadline_exceeded",
        message=f"no answer within the request's {deadline_ms} ms; allow more with X-Tierwise-Deadline-Ms",
        type="server_error",
        may_retry=False,
    )


BROKEN: Final = Refusal(500, "internal_error", "the dispatcher failed on this request; its log has the cause",
                        "server_error")  # fmt: skip
UNREADABLE: Final = Refusal(400, "invalid_request", "`stream_options` and `chat_template_kwargs` must be objects")


def of_interruption(why: str) -> Refusal:
    """An answer that broke off after it had begun: too late for another backend."""
    return Refusal(
        status=502,
        code="stream_interrupted",
        message=f"the answer broke off: {why}. Send the request again",
        type="server_error",
    )

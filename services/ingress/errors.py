"""Refusals in the words of OpenAI's API: one shape, whoever refused.

Source of the shape: OpenAI's API reference, "Errors"; `request_id` is ours, so that a pasted body is enough to ask.
"""

from __future__ import annotations

from typing import Final

import msgspec

from shared.contracts import Refusal

_encoder = msgspec.json.Encoder()


def body(refusal: Refusal, request_id: str) -> bytes:
    """The JSON body of an error answer."""
    return _encoder.encode({"error": _error(refusal, request_id)})


def event(refusal: Refusal, request_id: str) -> bytes:
    """The same as the last event of a stream that cannot go on."""
    return b"data: %b\n\n" % body(refusal, request_id)


def _error(refusal: Refusal, request_id: str) -> dict[str, str | None]:
    return {
        "message": refusal.message,
        "type": refusal.type,
        "param": refusal.param or None,
        "code": refusal.code or None,
        "request_id": request_id,
    }


def server_error(status: int, code: str, message: str, retry_after_s: int = 1) -> Refusal:
    return Refusal(status, code, message, "server_error", retry_after_s=retry_after_s)


NATS_AWAY: Final = server_error(503, "bus_unavailable", "the message bus is not reachable; try again in a moment")
NO_POLICY: Final = server_error(503, "no_policy", "no policy is in force yet; try again in a moment")
NO_CLASSIFIER: Final = server_error(503, "no_classifier", "no classifier is running; try again in a moment")
OVERLOADED: Final = server_error(503, "overloaded", "too many requests are under way here; try again in a moment")
HOLDER_DIED: Final = server_error(503, "holder_died", "the process that held this request died; send it again")
MAY_HAVE_RUN: Final = Refusal(
    503,
    "holder_died",
    "the process that held this request died and may have carried it out; it has an Idempotency-Key, so it is not "
    "sent a second time",
    "server_error",
    may_retry=False,
)
STOPPING: Final = server_error(503, "restarting", "this server is restarting; send the request again")
BROKEN: Final = server_error(500, "internal_error", "the door failed on this request; its log has the cause", 0)
NOT_HTTP: Final = Refusal(400, "invalid_http", "this is not valid HTTP/1.1; check the request line and the headers")
NO_TUNNEL: Final = Refusal(400, "connect_unsupported", "this server is no proxy; send the request itself to it")
HEAD_TOO_LARGE: Final = Refusal(
    431,
    "headers_too_large",
    "the request line and its headers are more than 64 KiB or 128 headers; send less, the body may be large",
)
TOO_SLOW: Final = Refusal(
    408, "request_timeout", "the request took too long to come; send it again, over a faster connection"
)
NO_ROOM: Final = server_error(
    503, "no_room", "too many large bodies are under way here; try again in a moment", retry_after_s=5
)


def too_large(limit: int) -> Refusal:
    return Refusal(
        413,
        "request_too_large",
        f"the body is larger than {limit} bytes; send less, or raise server.max_body_bytes in tierwise.yaml",
        may_retry=False,
    )


def deadline(deadline_ms: int) -> Refusal:
    return Refusal(
        504,
        "deadline_exceeded",
        f"no answer within the request's {deadline_ms} ms; allow more with X-Tierwise-Deadline-Ms",
        "server_error",
        may_retry=False,
    )

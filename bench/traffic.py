"""What everyone is measured with: the request in its sizes, and the answers to it."""

from __future__ import annotations

import json

SYSTEM = "You answer customers of a small shop for garden tools, kindly and briefly."
QUESTION = (
    "I bought a spade from you in spring and its handle has come loose. I have tried to tighten the screw, "
    "but it turns without end. Is there something that I can do at home, or should I send it back to you? I "
    "no longer have the box, and I would need the spade again before the weekend, since the roses have to go "
    "into the ground then. Does the warranty that came with it cover such a thing, or is it too late?"
)
STREAMED = "Answer in {pieces} pieces, {pause_ms} ms apart."  # our mock backend does as it is told here
STREAMED_PATTERN = rb"Answer in (\d+) pieces, (\d+) ms apart"
MORE = "The screw was of brass, the handle of ash, and it stood in the shed, dry, over winter. "

ANSWER_TEXT = (
    "That is a nuisance, and easily mended. The screw turns because the wood around it has given way: take it "
    "out, press two matches with wood glue into the hole, let it dry over night, and put the screw back in. If "
    "you would rather not, send the spade to us without its box; we put in a new handle at no cost, but that "
    "takes a week, which would be too late for your roses."
)
USAGE = {"prompt_tokens": 112, "completion_tokens": 84, "total_tokens": 196}
ANSWER = json.dumps({
    "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_700_000_000, "model": "mock",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER_TEXT}}],
    "usage": USAGE,
}).encode()  # fmt: skip


def request(model: str, at_least_bytes: int = 0) -> bytes:
    """A plain chat of about 0.6 KB; with `at_least_bytes`, one whose last message is so much longer."""
    body = _chat(model, QUESTION)
    missing = at_least_bytes - len(body)
    if missing <= 0:
        return body
    return _chat(model, f"{MORE * (missing // len(MORE) + 1)}{QUESTION}")


def streamed_request(model: str, pieces: int, pause_ms: int) -> bytes:
    """The same 0.6 KB, answered in `pieces` chunks and `[DONE]`. Pause 0: as fast as they can be written."""
    told = STREAMED.format(pieces=pieces, pause_ms=pause_ms)
    return _chat(model, f"{QUESTION} {told}", stream=True)


def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    """One event of a stream."""
    return _event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def usage_chunk() -> bytes:
    """The event of a stream whose request has `include_usage`."""
    return _event({"choices": [], "usage": USAGE})


def _chat(model: str, text: str, **fields: bool) -> bytes:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": 128, **fields}).encode()


def _event(said: dict[str, object]) -> bytes:
    shape = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "mock"}
    return b"data: " + json.dumps({**shape, **said}, separators=(",", ":")).encode() + b"\n\n"

"""The one request that everyone is measured with, and the one answer to it."""

from __future__ import annotations

import json

PATH = "/v1/chat/completions"

REQUEST = json.dumps({
    "model": "auto",
    "messages": [
        {"role": "system", "content": "You answer customers of a small shop for garden tools, kindly and briefly."},
        {"role": "user", "content": (
            "I bought a spade from you in spring and its handle has come loose. I have tried to tighten the screw, "
            "but it turns without end. Is there something that I can do at home, or should I send it back to you? I "
            "no longer have the box, and I would need the spade again before the weekend, since the roses have to go "
            "into the ground then."
        )},
    ],
    "max_tokens": 128,
}).encode()  # fmt: skip

ANSWER = json.dumps({
    "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_700_000_000, "model": "mock",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": (
        "That is a nuisance, and easily mended. The screw turns because the wood around it has given way: take it "
        "out, press two matches with wood glue into the hole, let it dry over night, and put the screw back in. If "
        "you would rather not, send the spade to us without its box; we put in a new handle at no cost, but that "
        "takes a week, which would be too late for your roses."
    )}}],
    "usage": {"prompt_tokens": 112, "completion_tokens": 84, "total_tokens": 196},
}).encode()  # fmt: skip

"""The policies that the classifier's tests decide by."""

from __future__ import annotations

import json
from typing import Any

from services.classifier import core, features
from services.classifier.book import Book, compile_policy
from services.classifier.measured import Measured, measure
from services.classifier.outlook import CLEAR, Outlook
from shared import policy
from shared.contracts import PlanRefused, Refusal, RequestPlanned, RequestReceived

BACKENDS: dict[str, dict[str, Any]] = {
    "small-1": {
        "tier": "small",
        "provider": "vllm",
        "model": "qwen-9b",
        "price": {"input_per_1m": 0.005, "output_per_1m": 0.005},
        "context_window": 8192,
        "capabilities": ["json_schema"],
        "lora_adapters": ["sdr"],
    },
    "small-2": {
        "tier": "small",
        "provider": "vllm",
        "model": "qwen-9b",
        "price": {"input_per_1m": 0.005, "output_per_1m": 0.005},
        "context_window": 8192,
        "capabilities": ["json_schema"],
    },
    "large-1": {
        "tier": "large",
        "provider": "vllm",
        "model": "qwen-70b",
        "price": {"input_per_1m": 0.5, "output_per_1m": 0.5},
        "context_window": 131072,
        "capabilities": ["json_schema", "tools"],
    },
    "cloud-1": {
        "tier": "cloud",
        "provider": "openai",
        "model": "gpt-x",
        "price": {"input_per_1m": 2.5, "output_per_1m": 10},
        "context_window": 400000,
        "capabilities": ["json_schema", "tools", "vision"],
    },
    "cloud-2": {
        "tier": "cloud",
        "provider": "anthropic",
        "model": "claude-x",
        "price": {"input_per_1m": 3, "output_per_1m": 15},
    },
}


def book(backends: dict[str, dict[str, Any]] = BACKENDS, **more: Any) -> Book:
    tiers = [tier for tier in ("small", "large", "cloud") if any(one["tier"] == tier for one in backends.values())]
    tree = {
        "tiers": tiers,
        "backends": [{"name": name, "base_url": "http://127.0.0.1:1", **one} for name, one in backends.items()],
        "categories": dict.fromkeys(("extraction", "summarisation", "classification"), tiers[0])
        | dict.fromkeys(("reasoning", "code", "general"), tiers[min(1, len(tiers) - 1)]),
        **more,
    }
    return compile_policy(policy.from_tree(tree, {}), 7)


def received(**fields: Any) -> RequestReceived:
    return RequestReceived(
        **{
            "request_id": "req_abcdefghijkl_1",
            "received_at_us": 1,
            "door": "chat",
            "service": "",
            "priority": "normal",
            "deadline_ms": 60_000,
            "body_bytes": 0,
            **fields,
        }
    )


def chat(text: str = "Extract the invoice number: Invoice 4711 of Acme.", **fields: Any) -> features.ChatRequest:
    body = json.dumps({"messages": [{"role": "user", "content": text}], **fields}).encode()
    return features.read(body, len(body))


def planned(answer: RequestPlanned | PlanRefused) -> RequestPlanned:
    assert isinstance(answer, RequestPlanned), answer
    return answer


def refused(answer: RequestPlanned | PlanRefused) -> PlanRefused:
    assert isinstance(answer, PlanRefused), answer
    return answer


def measured(got: RequestReceived, asked: features.ChatRequest) -> Measured:
    came = measure(got, asked)
    assert not isinstance(came, Refusal), came
    return came[0]


def excluded_from(
    got: RequestReceived, asked: features.ChatRequest, by: Book, outlook: Outlook = CLEAR
) -> tuple[core.Excluded, ...]:
    came = measured(got, asked)
    return core.exclusions(came, core.decide_measured(came, by, outlook), by, outlook)


def plan(asked: features.ChatRequest, by: Book, outlook: Outlook = CLEAR, **fields: Any) -> RequestPlanned:
    return planned(core.decide(received(**fields), asked, by, outlook))

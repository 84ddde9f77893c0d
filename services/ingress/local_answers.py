"""What vLLM, Ollama, llama.cpp and other OpenAI-compatible servers answer when they are asked for their models, read.

Pure, and for every JSON there is: anybody may sit on the port. Only names that may stand in a policy are taken, and
only numbers that make sense.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, Final

import msgspec

from shared.policy import Capability
from shared.policy.checks import LONGEST_MODEL

MOST_MODELS: Final = 200  # of one server
_MOST_TOKENS: Final = 2**31  # more is nobody's window
_USABLE_NAME: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_NUM_CTX: Final = re.compile(r"^num_ctx\s+([0-9]{1,10})\s*$", re.MULTILINE)


class LocalModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model as its server tells of it."""

    name: str
    context_window: int = 0  # tokens that the server takes; 0: not told
    capabilities: tuple[Capability, ...] | None = None  # None: not told
    lora_adapters: tuple[str, ...] = ()
    parameters: int = 0  # 0: not told
    slots: int = 0  # requests at once; 0: not told
    chats: bool = True  # False for embeddings, and for models that another machine runs


def of_openai(listed: Any) -> tuple[LocalModel, ...] | None:
    """`GET /v1/models` of vLLM and of others, which may say less. A LoRA adapter is a model with a parent."""
    if not isinstance(listed, dict) or not isinstance(listed.get("data"), list):
        return None
    entries = [(name, one) for one in items(listed, "data") if (name := usable_name(one.get("id")))][:MOST_MODELS]
    bases = [(name, one) for name, one in entries if not usable_name(one.get("parent"))]
    return tuple(
        LocalModel(
            name=name,
            context_window=_tokens(one.get("max_model_len")),
            lora_adapters=tuple(sorted(adapter for adapter, other in entries if other.get("parent") == name)),
        )
        for name, one in bases
    )


def of_llamacpp(listed: Any, props: Any, adapters: Any) -> tuple[LocalModel, ...] | None:
    """`GET /v1/models`, `/props` and `/lora-adapters`. `/props` is about the one model that is loaded.

    An adapter is applied to every request while its scale is above zero; one that waits to be asked for by its number
    cannot be asked for by name.
    """
    if not isinstance(listed, dict) or not isinstance(listed.get("data"), list):
        return None
    entries = [(name, one) for one in items(listed, "data") if (name := usable_name(one.get("id")))][:MOST_MODELS]
    about = props if isinstance(props, dict) and len(entries) == 1 else {}
    applied = [
        usable_name(PurePath(one["path"]).stem)
        for one in (adapters if isinstance(adapters, list) and len(entries) == 1 else [])
        if isinstance(one, dict) and isinstance(one.get("path"), str) and _above_zero(one.get("scale"))
    ]
    return tuple(
        LocalModel(
            name=name,
            context_window=_tokens(_within(about, "default_generation_settings").get("n_ctx"))
            or _tokens(_within(one, "meta").get("n_ctx")),
            capabilities=_of_llamacpp(one, about),
            lora_adapters=tuple(sorted({adapter for adapter in applied if adapter})),
            parameters=_count(_within(one, "meta").get("n_params")),
            slots=_count(about.get("total_slots")),
        )
        for name, one in entries
    )


def of_ollama(model: str, shown: Any, running: Any) -> LocalModel | None:
    """`POST /api/show` and `GET /api/ps`.

    The window is what the model's file sets, else what it is loaded with, else what it was trained for: how much it
    would load another one with Ollama does not say.
    """
    if not isinstance(shown, dict) or not isinstance(shown.get("details"), dict):
        return None
    info = _within(shown, "model_info")
    parameters = shown.get("parameters")
    set_to = _NUM_CTX.search(parameters) if isinstance(parameters, str) else None
    loaded = next((one for one in items(running, "models") if one.get("name") == model), {})
    can = shown.get("capabilities")
    return LocalModel(
        name=model,
        context_window=(_tokens(int(set_to.group(1))) if set_to else 0)
        or _tokens(loaded.get("context_length"))
        or _tokens(info.get(f"{info.get('general.architecture')}.context_length")),
        capabilities=_of_ollama(can) if isinstance(can, list) else None,
        parameters=_count(info.get("general.parameter_count")),
        chats=not shown.get("remote_host") and (not isinstance(can, list) or "completion" in can),
    )


def _of_llamacpp(entry: dict[str, Any], props: dict[str, Any]) -> tuple[Capability, ...] | None:
    """It binds every model to a schema, and passes over tools without a word where the chat template has none."""
    seen = _within(entry, "architecture").get("input_modalities")
    sees = _within(props, "modalities").get("vision")
    if not isinstance(sees, bool):
        sees = "image" in seen if isinstance(seen, list) else None
    takes_tools = _within(props, "chat_template_caps").get("supports_tools")
    if sees is None and not isinstance(takes_tools, bool):
        return None
    told: dict[Capability, bool] = {
        "json_schema": True,
        "tools": takes_tools is not False,
        "vision": sees is not False,
    }
    return tuple(capability for capability, has in told.items() if has)


def _of_ollama(can: list[Any]) -> tuple[Capability, ...]:
    told: dict[Capability, bool] = {
        "json_schema": "completion" in can,
        "tools": "tools" in can,
        "vision": "vision" in can,
    }
    return tuple(capability for capability, has in told.items() if has)


def usable_name(value: Any) -> str:
    """A name that may stand in a policy as it is, else nothing. `${…}` would be read from the environment there."""
    if not isinstance(value, str) or len(value) > LONGEST_MODEL or "${" in value or not _USABLE_NAME.fullmatch(value):
        return ""
    return value


def _within(node: Any, key: str) -> dict[str, Any]:
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, dict) else {}


def items(node: Any, key: str) -> list[dict[str, Any]]:
    value = node.get(key) if isinstance(node, dict) else None
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53 else 0


def _tokens(value: Any) -> int:
    count = _count(value)
    return count if count < _MOST_TOKENS else 0


def _above_zero(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0

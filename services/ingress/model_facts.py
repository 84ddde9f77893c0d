"""What a library knows of hosted models: what they can do, how much they take, how old they are, what they cost.

The library is `rates`: one table, offline and dated, of what models.dev, LiteLLM and OpenRouter publish. Only that
file is read; none of its code runs here (docs/decisions/0010).
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from shared.policy import Capability

_TABLE: Final = Path("ai", "ledger-ai.json.gz")
_PROVIDERS: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "gemini",
    "mistral": "mistral",
    "groq": "groq",
    "togetherai": "together",
    "fireworks-ai": "fireworks",
}  # the library's name: ours


class Modalities(msgspec.Struct, frozen=True):
    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True):
    """Tokens; None: not known."""

    input: int | None = None
    output: int | None = None


class Lifecycle(msgspec.Struct, frozen=True):
    status: str | None = None
    release_date: str | None = None  # 2026-09-22
    deprecation_date: str | None = None


class UsdPerMillion(msgspec.Struct, frozen=True):
    input_mtok: float | None = None
    output_mtok: float | None = None
    cache_read_mtok: float | None = None


class Known(msgspec.Struct, frozen=True):
    """One model at one provider. None is the library's word for: nobody says."""

    provider: str
    id: str
    family: str | None = None
    type: str | None = None
    modalities: Modalities = Modalities()
    context: Limits = Limits()
    tool_call: bool | None = None
    structured_output: bool | None = None
    price: UsdPerMillion = UsdPerMillion()
    lifecycle: Lifecycle = Lifecycle()

    def capabilities(self) -> tuple[Capability, ...] | None:
        """What it is not known to lack, so that nothing is ruled out by silence; None where nothing is known."""
        sees = "image" in self.modalities.input if self.modalities.input else None
        told: dict[Capability, bool | None] = {
            "json_schema": self.structured_output,
            "tools": self.tool_call,
            "vision": sees,
        }
        if all(one is None for one in told.values()):
            return None
        return tuple(capability for capability, has in told.items() if has is not False)


class Table(msgspec.Struct, frozen=True):
    snapshot_date: str
    models: tuple[Known, ...]


def known(provider: str, names: Sequence[str]) -> Known | None:
    """The first of `names` that the table has at this provider."""
    there = by_provider().get(provider, {})
    return next((there[name] for name in names if name in there), None)


def other_names(provider: str, model: str) -> tuple[str, ...]:
    """How the table may call what genai-prices calls `model`: a dated name's model, Fireworks' without its path."""
    if provider == "fireworks" and model:
        return (f"accounts/fireworks/models/{model}",)
    return (model,)


def snapshot_date() -> str:
    """The day on which the table was made: 2026-09-28."""
    return _table()[0]


def by_provider() -> Mapping[str, Mapping[str, Known]]:
    """The seven providers' models by name: some 230 of the table's 7,900, the rest is let go."""
    return _table()[1]


@functools.cache
def _table() -> tuple[str, Mapping[str, Mapping[str, Known]]]:
    spec = importlib.util.find_spec("rates")
    assert spec is not None
    assert spec.origin is not None
    table = msgspec.json.decode(gzip.decompress((Path(spec.origin).parent / _TABLE).read_bytes()), type=Table)
    there: dict[str, dict[str, Known]] = {ours: {} for ours in _PROVIDERS.values()}
    for model in table.models:
        if model.provider in _PROVIDERS:
            there[_PROVIDERS[model.provider]][model.id] = model
    return table.snapshot_date, there

"""What a classifier knows of the moment: quality, health, load, adapters, budgets. Values; others keep them.

All of it is an argument of the decision. `CLEAR` is a moment of which nothing is known that matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from shared.money import NanoUsd


class Purse(msgspec.Struct, frozen=True, gc=False):
    """What a service's budget allows now, as far as this classifier may spend of it."""

    available_nano_usd: NanoUsd
    exhausted: bool = False
    floor_tier: int = -1  # the place of `downgrade_to`; -1: the cheapest tier that can serve
    rejects: bool = False  # `on_exhausted: reject`
    # For a refusal's words.
    limit_nano_usd: NanoUsd = 0
    spent_nano_usd: NanoUsd = 0
    reserved_nano_usd: NanoUsd = 0
    resets_at: str = ""
    unknown: bool = False  # nobody can say what is left: the ledger is away


class Outlook(msgspec.Struct, frozen=True):
    suspended: Mapping[str, frozenset[str]] = {}  # by category: backends whose answers to it are not trusted
    ailing: frozenset[str] = frozenset()  # backends that do not answer at the moment
    load: Mapping[str, float] = {}  # by backend, any measure that compares; it orders equals only
    adapters: Mapping[str, Mapping[str, float]] = {}  # by backend: LoRA adapters it reports, ADAPTER_* each
    purses: Mapping[str, Purse] = {}  # by service; none: no limit


CLEAR: Final = Outlook()

# What a server says of one of its adapters (vllm:lora_requests_info).
ADAPTER_ACTIVE: Final = 1.0
ADAPTER_HAS_ROOM: Final = 0.8  # also what is taken of one that is configured and not reported
ADAPTER_WAITS: Final = 0.6
ADAPTER_FULL: Final = 0.0

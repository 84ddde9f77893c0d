"""What a decision needs to know of a policy, worked out once per version: names, order, prices, capabilities.

Not here: the decision (core.py), and the policy's own faults (shared/policy.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import reduce
from itertools import groupby, pairwise
from operator import or_
from typing import Final

import msgspec

from services.classifier import rules
from services.classifier.fields import NOT_HEEDED
from services.classifier.listed import Listed
from services.classifier.rules import Rule
from shared.contracts import CATEGORIES
from shared.policy import AUTO_NAMES, Backend, Policy
from shared.prices import Price

CHEAP: Final = "auto:cheap"
QUALITY: Final = "auto:quality"
CHOOSE: Final = frozenset({"", *AUTO_NAMES})  # a model's name where Tierwise is to choose

EASY: Final = frozenset({"extraction", "summarisation", "classification"})
WITHOUT_ADAPTER: Final = frozenset({"anthropic", "gemini"})  # the dispatcher speaks to the others

_UNBOUNDED: Final = 2**62
_NAMES_TOLD: Final = 60  # in a refusal; a policy may list thousands of adapters


class Shelf(msgspec.Struct, frozen=True):
    """A tier's backends that can be sent anything at all, cheapest first."""

    backends: tuple[Listed, ...]
    # The same in groups of equal price, where that is their order for every request: none is cheap to ask but dear to
    # hear. Else nothing, and each request is counted.
    groups: tuple[tuple[Listed, ...], ...] = ()


class Pin(msgspec.Struct, frozen=True):
    """The only backends that a name in `model` allows."""

    backends: tuple[Listed, ...]
    reason: str  # pin, lora


class Alias(msgspec.Struct, frozen=True):
    matches: Callable[[str], re.Match[str] | None]
    target: str


class Book(msgspec.Struct, frozen=True):
    """A policy, made for deciding. Nothing in it changes."""

    version: int
    tiers: tuple[str, ...]
    rank: dict[str, int]  # a tier's place by its name
    shelves: tuple[Shelf, ...]  # by a tier's place
    backends: dict[str, Listed]
    chains: dict[tuple[int, int], tuple[Listed, ...]]  # by first tier and floor, where no request changes the order
    narrowest: int  # tokens that fit into every window that is known
    shortest: int  # tokens that every model whose own maximum is known can answer
    not_heeded: int  # fields.py's bits that some backend does not heed
    pins: dict[str, Pin]
    aliases: tuple[Alias, ...]  # the first that matches counts
    rules: tuple[Rule, ...]  # the first that holds counts
    tier_of: dict[str, int]  # every category has one
    baseline: Listed
    observe: bool
    known_names: str  # for refusals


def compile_policy(policy: Policy, version: int) -> Book:
    """The policy as a book. It must have passed shared/policy.py's checks: every tier is known and has a backend.

    A category that the policy does not name goes to the cheapest tier if it is easy, to the last one otherwise.
    """
    rank = {tier: place for place, tier in enumerate(policy.tiers)}
    listed = {backend.name: _listed(backend, rank) for backend in policy.backends}
    shelves = tuple(
        _shelf([one for one in listed.values() if one.tier == place and not one.unfit])
        for place in range(len(policy.tiers))
    )
    last = len(policy.tiers) - 1
    return Book(
        version=version,
        tiers=policy.tiers,
        rank=rank,
        shelves=shelves,
        backends=listed,
        chains=_chains(shelves),
        narrowest=min([one.context_window for one in listed.values() if one.context_window], default=_UNBOUNDED),
        shortest=min([one.longest_answer for one in listed.values() if one.longest_answer], default=_UNBOUNDED),
        not_heeded=reduce(or_, [one.not_heeded for one in listed.values()], 0),
        pins=_pins(policy, listed),
        aliases=tuple(
            Alias(re.compile(translate(pattern)).match, target) for pattern, target in policy.aliases.items()
        ),
        rules=rules.compiled(policy.rules, rank, listed),
        tier_of={
            category: rank[policy.categories[category]]
            if category in policy.categories
            else 0
            if category in EASY
            else last
            for category in CATEGORIES
        },
        baseline=listed[policy.savings.baseline]
        if policy.savings.baseline
        else _dearest([one for one in listed.values() if one.tier == last]),
        observe=policy.routing.mode == "observe",
        known_names=_known_names(policy),
    )


def _listed(backend: Backend, rank: dict[str, int]) -> Listed:
    unfit = ""
    if backend.provider in WITHOUT_ADAPTER:
        unfit = f"no adapter for {backend.provider} yet"
    elif backend.price is None:
        unfit = "no price is known for it"
    return Listed(
        name=backend.name,
        tier=rank[backend.tier],
        price=backend.price.in_nano_usd() if backend.price else Price(0, 0, 0),
        context_window=backend.context_window,
        capabilities=None if backend.capabilities is None else frozenset(backend.capabilities),
        provider=backend.provider,
        not_heeded=NOT_HEEDED.get(backend.provider, 0),
        longest_answer=backend.max_output_tokens,
        unfit=unfit,
    )


def _chains(shelves: tuple[Shelf, ...]) -> dict[tuple[int, int], tuple[Listed, ...]]:
    """The order of failover from each tier down to each floor: its own, then upward, then downward."""
    chains = {}
    for tier in range(len(shelves)):
        for floor in range(tier + 1):
            passed = [shelves[place] for place in (*range(tier, len(shelves)), *range(tier - 1, floor - 1, -1))]
            if all(len(shelf.groups) == len(shelf.backends) for shelf in passed):
                chains[tier, floor] = tuple([one for shelf in passed for one in shelf.backends])
    return chains


def _pins(policy: Policy, listed: dict[str, Listed]) -> dict[str, Pin]:
    """Every name that pins. A backend's own name is stronger than a model's, and that than an adapter's."""
    models: dict[str, list[Listed]] = {}
    adapters: dict[str, list[Listed]] = {}
    for backend in policy.backends:
        models.setdefault(backend.model, []).append(listed[backend.name])
        for adapter in backend.lora_adapters:
            adapters.setdefault(adapter, []).append(listed[backend.name])
    pins = {name: Pin(tuple(those), "lora") for name, those in adapters.items()}
    pins |= {name: Pin(tuple(those), "pin") for name, those in models.items()}
    pins |= {name: Pin((one,), "pin") for name, one in listed.items()}
    return pins


def _shelf(backends: list[Listed]) -> Shelf:
    ordered = sorted(backends, key=_input_and_output)
    if any(cheap.price.output > dear.price.output for cheap, dear in pairwise(ordered)):
        return Shelf(tuple(ordered))
    return Shelf(tuple(ordered), tuple([tuple(group) for _, group in groupby(ordered, _input_and_output)]))


def _input_and_output(one: Listed) -> tuple[int, int]:
    return one.price.input, one.price.output


def _dearest(backends: list[Listed]) -> Listed:
    return max(backends, key=lambda one: (one.price.input + one.price.output, one.name))


def _known_names(policy: Policy) -> str:
    names = ["auto", CHEAP, QUALITY, *policy.tiers]
    names += [backend.name for backend in policy.backends]
    names += [backend.model for backend in policy.backends]
    names += [adapter for backend in policy.backends for adapter in backend.lora_adapters]
    names += policy.aliases
    distinct = list(dict.fromkeys(names))
    more = len(distinct) - _NAMES_TOLD
    told = ", ".join(distinct[:_NAMES_TOLD])
    return f"{told} and {more} more" if more > 0 else told

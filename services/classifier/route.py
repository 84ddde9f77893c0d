"""What was asked for, before anybody looks at who can serve it: names, the caller's word, rules, the category. Pure.

Precedence, strongest first: a pin, the caller's floor, a rule, the category. Capability and budget are stronger than
all of these but the pin, and come later: candidates.py, budget.py.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.classifier import refusals, rules
from services.classifier.book import CHEAP, CHOOSE, QUALITY, Book, Pin
from services.classifier.listed import Listed
from services.classifier.measured import Measured
from services.classifier.outlook import Outlook
from shared.contracts import Refusal

_LONGEST_MODEL: Final = 256  # longer ones are nobody's name, and globs need not be tried on them


class Route(msgspec.Struct, frozen=True, gc=False):
    tier: int  # to begin with
    floor: int  # never below
    reasons: tuple[str, ...]
    only: tuple[Listed, ...] = ()  # the pinned ones; empty: all
    first: tuple[Listed, ...] = ()  # a rule's, in its order, ahead of all others
    adapter: str = ""  # the LoRA adapter that the pinned ones have under this name


def find_route(measured: Measured, book: Book, outlook: Outlook) -> Route | Refusal:
    """Where to begin, and how far down. A tier that the policy does not have is no floor: `decide` refuses it."""
    model, aliased = unalias(measured.model, book)
    chosen_here = model in CHOOSE
    floor = book.rank.get(measured.tier, 0) if measured.tier else 0
    has_floor = bool(measured.tier)
    if not chosen_here:
        if model in book.rank:
            floor = max(floor, book.rank[model])
            has_floor = True
        else:
            pin = _pin(model, book, outlook)
            if pin is None:
                return refusals.unknown_model(measured.model, model, book.known_names)
            tier = min([one.tier for one in pin.backends])
            reasons = ("alias", pin.reason) if aliased else (pin.reason,)
            return Route(tier, 0, reasons, pin.backends, (), model if pin.reason == "lora" else "")

    tier = book.tier_of[measured.category]
    decided_by = ("caller",) if measured.category_said else ()
    first: tuple[Listed, ...] = ()
    rule = rules.first_that_holds(book.rules, measured) if book.rules else None
    if rule is not None:
        first = rule.backends
        if has_floor:
            first = tuple([one for one in first if one.tier >= floor])
        if rule.tier >= 0 or first:
            decided_by = ("rule",)
    if model == QUALITY:
        tier, decided_by = min(tier + 1, len(book.tiers) - 1), ("caller",)
        if rule is not None and rule.tier > tier:
            tier, decided_by = rule.tier, ("rule",)
    elif rule is not None and rule.tier >= 0:
        tier = rule.tier
    elif model == CHEAP:
        tier, decided_by = max(tier - 1, 0), ("caller",)
    if first:
        tier, decided_by = first[0].tier, ("rule",)
    elif has_floor and floor >= tier:
        tier, decided_by = floor, ("caller",)
    reasons = (*decided_by, "category")
    if aliased:
        reasons = (*reasons, "alias") if chosen_here else ("alias", *reasons)
    return Route(tier, floor, reasons, (), first)


def unalias(model: str, book: Book) -> tuple[str, bool]:
    """The name that counts, and whether an alias gave it."""
    if book.aliases and len(model) <= _LONGEST_MODEL:
        for alias in book.aliases:
            if alias.matches(model):
                return alias.target, True
    return model, False


def _pin(model: str, book: Book, outlook: Outlook) -> Pin | None:
    """A LoRA adapter that a server reports is as good as one that is configured, and adds to it."""
    pin = book.pins.get(model)
    if not outlook.adapters or (pin is not None and pin.reason != "lora"):
        return pin
    configured = pin.backends if pin is not None else ()
    reporting = [
        one for one in book.backends.values() if one not in configured and model in outlook.adapters.get(one.name, ())
    ]
    return Pin((*configured, *reporting), "lora") if reporting else pin

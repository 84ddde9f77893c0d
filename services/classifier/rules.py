"""The policy's rules as a decision meets them: the first whose every condition holds. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate

import msgspec

from services.classifier.listed import Listed
from services.classifier.measured import Measured, header_hash
from shared import policy


class Rule(msgspec.Struct, frozen=True):
    """Empty conditions hold always."""

    name: str
    tier: int  # its place; -1: the rule names none
    backends: tuple[Listed, ...]  # in the rule's order, those that can be sent anything at all
    service: str = ""
    category: str = ""
    priority: str = ""
    model: Callable[[str], re.Match[str] | None] | None = None  # of the name as the caller sent it
    headers: frozenset[int] = frozenset()

    def holds(self, measured: Measured) -> bool:
        return (
            (not self.service or self.service == measured.service)
            and (not self.category or self.category == measured.category)
            and (not self.priority or self.priority == measured.priority)
            and (self.model is None or self.model(measured.model) is not None)
            and (not self.headers or self.headers.issubset(measured.headers))
        )


def compiled(rules: Iterable[policy.Rule], rank: dict[str, int], listed: dict[str, Listed]) -> tuple[Rule, ...]:
    """Names that the policy does not have are passed over: its own checks refuse them."""
    return tuple(
        Rule(
            rule.name,
            rank.get(rule.tier, -1) if rule.tier else -1,
            tuple([listed[name] for name in rule.backends if name in listed and not listed[name].unfit]),
            rule.when.service or "",
            rule.when.category or "",
            rule.when.priority or "",
            None if rule.when.model is None else re.compile(translate(rule.when.model)).match,
            frozenset([header_hash(name, value) for name, value in rule.when.headers.items()]),
        )
        for rule in rules
    )


def first_that_holds(rules: tuple[Rule, ...], measured: Measured) -> Rule | None:
    for rule in rules:
        if rule.holds(measured):
            return rule
    return None

"""What of a policy is allowed and may still not be what was meant: told by `tierwise check`, never refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from shared.policy import AUTO_NAMES, Backend, Fault, Policy

WATCHING_IS_DEAR: Final = 0.5  # of what routing saves
USUAL_MIX: Final = 0.75  # of a request's tokens are sent, the rest comes back

_WILD: Final = re.compile(r"[*?[]")


def advice(policy: Policy) -> Iterator[Fault]:
    """`policy` has all prices."""
    yield from _names(policy)
    yield from _order(policy)
    yield from _aliases(policy)
    yield from _rules(policy)
    for service, budget in policy.budgets.items():
        if budget.on_exhausted == "reject" and budget.downgrade_to is not None:
            at = f"budgets.{service}.downgrade_to"
            yield Fault(("budgets", service, "downgrade_to"), f"{at}: has no effect, for `reject` has no floor")
    yield from _saving(policy)


def _names(policy: Policy) -> Iterator[Fault]:
    for i, tier in enumerate(policy.tiers):
        if tier in AUTO_NAMES:
            yield Fault(("tiers", i), f"tiers[{i}]: as a model {tier!r} means that Tierwise chooses, never this tier")
    for i, backend in enumerate(policy.backends):
        if backend.name in {*AUTO_NAMES, *policy.tiers}:
            yield Fault(
                ("backends", i, "name"),
                f"backends[{i}] ({backend.name}).name: means something else as a model, so no request can name it",
            )


def _order(policy: Policy) -> Iterator[Fault]:
    """Tiers are told apart by their cheapest backends."""
    cheapest = {
        tier: min(_usd(backend) for backend in policy.backends if backend.tier == tier) for tier in policy.tiers
    }
    for i, (lower, higher) in enumerate(zip(policy.tiers, policy.tiers[1:], strict=False)):
        if cheapest[lower] > cheapest[higher]:
            yield Fault(
                ("tiers", i + 1),
                f"tiers[{i + 1}]: {higher!r} is cheaper than {lower!r} before it; write them cheapest first",
            )


def _aliases(policy: Policy) -> Iterator[Fault]:
    patterns = list(policy.aliases)
    for pattern in patterns[patterns.index("*") + 1 :] if "*" in patterns else ():
        yield Fault(("aliases", pattern), f"aliases.{pattern}: is never reached, for `*` before it takes every name")


def _rules(policy: Policy) -> Iterator[Fault]:
    """A rule's `model` does not make a name known: where Tierwise chooses is for `aliases` to say."""
    chosen = ("", *AUTO_NAMES, *policy.tiers)
    led = [pattern for pattern, target in policy.aliases.items() if target in chosen]
    for i, rule in enumerate(policy.rules):
        glob = rule.when.model
        if glob is None or any(fnmatchcase(name, glob) for name in chosen):
            continue
        if not any(_may_meet(glob, pattern) for pattern in led):
            yield Fault(
                ("rules", i, "when", "model"),
                f"rules[{i}] ({rule.name}).when.model: holds for no request, for {glob!r} is no name where Tierwise "
                f"chooses; with the alias {glob!r}: auto it is one",
            )


def _may_meet(one: str, other: str) -> bool:
    """Is there perhaps a name that both globs take? As far as what stands before their first wildcards tells."""
    begins, also = (_WILD.split(glob, maxsplit=1)[0] for glob in (one, other))
    return begins.startswith(also) or also.startswith(begins)


def _saving(policy: Policy) -> Iterator[Fault]:
    cheap = min((backend for backend in policy.backends if backend.tier == policy.tiers[0]), key=_usd)
    last = [backend for backend in policy.backends if backend.tier == policy.tiers[-1]]
    baseline = policy.backend(policy.savings.baseline or "") or max(last, key=_usd)
    saved = _usd(baseline) - _usd(cheap)
    if saved <= 0 and len(policy.backends) > 1:
        at = "savings.baseline: " if policy.savings.baseline else ""
        yield Fault(
            ("savings", "baseline"),
            f"{at}routing saves nothing against {baseline.name}, for {cheap.name} of the first tier is not cheaper",
        )
    quality = policy.quality
    reference = policy.backend(quality.reference) if quality is not None and quality.reference else None
    if quality is None or reference is None or saved <= 0:
        return
    share = quality.sample_rate * _usd(reference) / saved
    if share >= WATCHING_IS_DEAR:
        yield Fault(
            ("quality", "reference"),
            f"quality.reference: asking {reference.name} about {quality.sample_rate:.1%} of the requests costs about "
            f"{share:.0%} of what routing from {baseline.name} to {cheap.name} saves; a cheaper reference or a lower "
            f"sample_rate leaves more (max_share_of_savings caps it at {quality.max_share_of_savings:.0%})",
        )


def _usd(backend: Backend) -> float:
    """Per million tokens of the usual mix."""
    price = backend.price
    assert price is not None
    return USUAL_MIX * price.input_per_1m + (1 - USUAL_MIX) * price.output_per_1m

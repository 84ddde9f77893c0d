"""What of a policy only makes sense together: names that must be there, orders that must lead somewhere. Pure.

Each fault is a path and what is wrong there. A policy that could not be read whole has UNREADABLE where a name was to
be; what would only follow from that is not told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final, TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from shared.contracts import CREDENTIAL_HEADERS, LONGEST_SAID_NAME, MOST_RULED_HEADERS
from shared.policy.faults import Path, did_you_mean
from shared.policy.names import NAME, without_names
from shared.policy.sections import AUTO_NAMES, Backend, Budget, Policy, Rule

Told: TypeAlias = tuple[Path, str]

UNREADABLE: Final = "\0"
LONGEST_NAME: Final = 64
LONGEST_MODEL: Final = 256
MOST_NAMES_TOLD: Final = 20

_USERINFO = re.compile(r"//([^/?#]*)@")
_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")  # names travel in headers: no line breaks, no spaces at the ends
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name: RFC 9110, 5.6.2
_ORIGIN = re.compile(r"\*|https?://[^/\s?#@]+")


def cross_check(policy: Policy) -> Iterator[Told]:
    """Every fault that is left once all values are of their types and in their ranges."""
    yield from _tiers(policy)
    yield from _backends(policy)
    for category, tier in policy.categories.items():
        yield from _known(("categories", category), "tier", tier, policy.tiers)
    yield from _aliases(policy)
    yield from _rules(policy)
    yield from _budgets(policy)
    for service in policy.rate_limits:
        yield from _service(("rate_limits", service), service)
    names = [backend.name for backend in policy.backends]
    yield from _known(("savings", "baseline"), "backend", policy.savings.baseline, names)
    if policy.quality is not None:
        yield from _known(("quality", "reference"), "backend", policy.quality.reference, names)
        for i, service in enumerate(policy.quality.exclude_services):
            yield from _service(("quality", "exclude_services", i), service)
    for i, origin in enumerate(policy.server.cors_origins):
        if not _ORIGIN.fullmatch(origin) and origin != UNREADABLE:
            yield ("server", "cors_origins", i), "is no origin: write it without a path, as https://chat.example.com"


def _tiers(policy: Policy) -> Iterator[Told]:
    if not policy.tiers:
        yield ("tiers",), "at least one tier is needed, cheapest first, for example `tiers: [small, large]`"
    for i, tier in enumerate(policy.tiers):
        yield from _name(("tiers", i), tier)
        if tier in policy.tiers[:i] and tier != UNREADABLE:
            order = " < ".join(policy.tiers)
            yield (
                ("tiers", i),
                f"tier {tier!r} is named twice: in {order} it would be cheaper than itself",
            )
        elif not any(backend.tier in {tier, UNREADABLE} for backend in policy.backends) and policy.backends:
            yield ("tiers", i), f"tier {tier!r} has no backend; add one with `tier: {tier}` or remove the tier"


def _backends(policy: Policy) -> Iterator[Told]:
    if not policy.backends:
        yield ("backends",), "at least one backend is needed"
    first: dict[str, int] = {}
    for i, backend in enumerate(policy.backends):
        at = ("backends", i)
        yield from _name((*at, "name"), backend.name)
        if first.setdefault(backend.name, i) != i and backend.name != UNREADABLE:
            other = f"backends[{first[backend.name]}]"
            yield (*at, "name"), f"two backends have this name, {other} too; give each its own"
        yield from _known((*at, "tier"), "tier", backend.tier, policy.tiers)
        yield from _name((*at, "model"), backend.model, LONGEST_MODEL)
        for j, adapter in enumerate(backend.lora_adapters):
            yield from _name((*at, "lora_adapters", j), adapter, LONGEST_MODEL)
        if backend.is_local and backend.price is None:
            example = "price: {input_per_1m: 0.005, output_per_1m: 0.005}"
            yield (*at, "price"), f"a local model needs a price, for it is not free; for example {example}"
        for what in _address(backend):
            yield (*at, "base_url"), what


def _address(backend: Backend) -> Iterator[str]:
    """No value is told: it may be the secret itself."""
    if not backend.url:
        if str(backend.provider) != UNREADABLE:
            yield f"is needed for provider {backend.provider}, for example http://127.0.0.1:8001/v1"
    elif backend.base_url == UNREADABLE:
        return
    elif NAME.search(backend.url):
        pass  # what it is, is known where the backend is called
    elif not backend.url.startswith(("http://", "https://")):
        yield "must start with http:// or https://"
    elif not _can_be_called(backend.url):
        yield "is no address that can be called; write it as http://127.0.0.1:8001/v1: host, port and path, no more"
    userinfo = _USERINFO.search(backend.base_url)
    if userinfo and without_names(userinfo.group(1)).replace(":", ""):
        yield "holds a user or a password; write ${NAME} in their place and export NAME=…"


def _can_be_called(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not parts.query and not parts.fragment and " " not in url
    except ValueError:  # a port that is none, half a bracket
        return False


def _aliases(policy: Policy) -> Iterator[Told]:
    known = {*AUTO_NAMES, *policy.tiers}
    for backend in policy.backends:
        known |= {backend.name, backend.model, *backend.lora_adapters}
    if UNREADABLE in known:
        return
    for alias, target in policy.aliases.items():
        if target in known or target == UNREADABLE:
            continue
        chain = _follow(alias, policy.aliases, known)
        if len(chain) == 2:
            why = (
                "name auto, auto:cheap, auto:quality, a tier, a backend, its model or a LoRA adapter that is listed"
                f"{_perhaps(target, known)}"
            )
        elif chain[-1] in chain[:-1]:
            why = f"the aliases go round in a circle, {' → '.join(chain)}; name what is meant instead"
        else:
            why = f"it is an alias, and aliases are applied once; name what it leads to: {chain[-1]!r}"
        yield ("aliases", alias), f"nothing is called {target!r}; {why}"


def _follow(alias: str, aliases: dict[str, str], known: set[str]) -> list[str]:
    """From alias to alias, until a name that is none, or one that was there before."""
    chain = [alias]
    while True:
        target = aliases[chain[-1]]
        following = next((pattern for pattern in aliases if fnmatchcase(target, pattern)), None)
        if target in known or following is None:
            return [*chain, target]
        if following in chain:
            return [*chain, following]
        chain.append(following)


def _rules(policy: Policy) -> Iterator[Told]:
    names = [backend.name for backend in policy.backends]
    for i, rule in enumerate(policy.rules):
        at = ("rules", i)
        yield from _name((*at, "name"), rule.name)
        if rule.name != UNREADABLE and rule.name in [other.name for other in policy.rules[:i]]:
            yield (*at, "name"), "two rules have this name; a decision's reasons could not tell them apart"
        if rule.tier is None and not rule.backends:
            yield at, "leads nowhere; give it `tier: …` or `backends: […]`"
        yield from _known((*at, "tier"), "tier", rule.tier, policy.tiers)
        for j, name in enumerate(rule.backends):
            yield from _known((*at, "backends", j), "backend", name, names)
            if name in rule.backends[:j] and name != UNREADABLE:
                yield (*at, "backends", j), f"backend {name!r} stands there twice; it is asked once"
        yield from _when(rule, at)
    looked_at = {name.lower() for rule in policy.rules for name in rule.when.headers}
    if len(looked_at) > MOST_RULED_HEADERS:
        yield ("rules",), f"look at {len(looked_at)} headers in all; at most {MOST_RULED_HEADERS} travel along"


def _when(rule: Rule, at: Path) -> Iterator[Told]:
    at = (*at, "when")
    when = rule.when
    fields = {"service": when.service, "category": when.category, "priority": when.priority, "model": when.model}
    for key, value in fields.items():
        if value == "":
            yield (*at, key), "is empty, and nothing is called so; leave it out to mean any"
    seen: set[str] = set()
    for name in when.headers:
        if not _TOKEN.fullmatch(name):
            yield (*at, "headers", name), "is no header's name: letters, digits and - only, as X-Team"
        elif name.lower() in CREDENTIAL_HEADERS:
            yield (*at, "headers", name), "holds callers' secrets, which do not travel with a request; use `service`"
        elif name.lower() in seen:
            yield (*at, "headers", name), "stands there twice: in headers' names capital letters are as small ones"
        seen.add(name.lower())


def _budgets(policy: Policy) -> Iterator[Told]:
    for service, budget in policy.budgets.items():
        at = ("budgets", service)
        yield from _service(at, service)
        if budget.timezone != UNREADABLE and not _is_zone(budget.timezone):
            named = _shown(budget.timezone) + _perhaps(budget.timezone, available_timezones())
            yield (*at, "timezone"), f"there is no time zone {named}; write it as Europe/Berlin or UTC"
        if budget.downgrade_to not in {None, UNREADABLE} and UNREADABLE not in policy.tiers:
            for what in _leads_upward(service, budget, policy):
                yield (*at, "downgrade_to"), what


def _leads_upward(service: str, budget: Budget, policy: Policy) -> Iterator[str]:
    """Going down must end lower than it began: not in a circle of budgets, and not in the dearest tier."""
    floor, tiers = str(budget.downgrade_to), policy.tiers
    cheaper = ", ".join(tiers[:-1] or tiers)
    if floor not in tiers:
        circle = _circle(service, policy)
        if circle:
            yield f"the budgets go down in a circle, {' → '.join(circle)}; it takes a tier: name one of {cheaper}"
        elif floor in policy.budgets:
            yield f"takes a tier, and {floor!r} is a budget; name one of {cheaper}"
        else:
            yield from (what for _, what in _known((), "tier", floor, tiers))
    elif len(tiers) == 1:
        yield f"{floor!r} is the only tier, so going down would end where it began; say on_exhausted: reject instead"
    elif floor == tiers[-1]:
        yield (
            f"{floor!r} is the last tier, the dearest: nothing costs less there, so going down would end where it "
            f"began, or above; name one of {cheaper}"
        )
    else:
        of_floor = _prices(policy, [floor])
        above = _prices(policy, tiers[tiers.index(floor) + 1 :])
        if of_floor and above and min(of_floor) > max(above):
            yield (
                f"every backend of {floor!r} costs more than any of the tiers after it, so going down would go up in "
                "price; order `tiers` cheapest first, or correct the prices"
            )


def _circle(service: str, policy: Policy) -> list[str]:
    """The budgets that `downgrade_to` leads through, where it comes back to one of them."""
    chain = [service]
    while (budget := policy.budgets.get(chain[-1])) is not None and budget.downgrade_to is not None:
        chain.append(budget.downgrade_to)
        if chain[-1] in chain[:-1]:
            return chain
    return []


def _prices(policy: Policy, tiers: Sequence[str]) -> list[float]:
    """USD for a million tokens there and back; of the backends whose price stands in the file."""
    return [
        backend.price.input_per_1m + backend.price.output_per_1m
        for backend in policy.backends
        if backend.tier in tiers and backend.price is not None
    ]


def _known(at: Path, what: str, name: str | None, known: Sequence[str]) -> Iterator[Told]:
    if name is None or name in known or UNREADABLE in {name, *known}:
        return
    more = f" and {len(known) - MOST_NAMES_TOLD} more" if len(known) > MOST_NAMES_TOLD else ""
    there = f"the {what}s are {', '.join(known[:MOST_NAMES_TOLD])}{more}" if known else f"there is no {what} at all"
    yield at, f"there is no {what} {_shown(name)}{_perhaps(name, known)}; {there}"


def _perhaps(name: str, known: Iterable[str]) -> str:
    meant = did_you_mean(name, known)
    return f" (did you mean {meant}?)" if meant else ""


def _name(at: Path, name: str, longest: int = LONGEST_NAME) -> Iterator[Told]:
    if name != UNREADABLE and (len(name) > longest or not _PRINTABLE.fullmatch(name)):
        yield at, f"{_shown(name)} must be 1 to {longest} printable ASCII characters without a space at either end"


def _service(at: Path, name: str) -> Iterator[Told]:
    """What a request can carry, in its header or its body, and nothing else."""
    if name != UNREADABLE and not (0 < len(name) <= LONGEST_SAID_NAME and name.isprintable()):
        yield at, f"{_shown(name)} must be 1 to {LONGEST_SAID_NAME} printable characters, as a request can say them"


def _shown(name: str) -> str:
    return repr(name) if len(name) <= LONGEST_NAME else f"of {len(name)} characters"


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there; a path that leads out; a folder
        return False
    return True

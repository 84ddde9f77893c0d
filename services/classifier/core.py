"""Which backends may answer this request, in which order, and why? Pure: no clock, no network, no settings.

In the order of a decision: what the request is (measured.py), where that begins (route.py), who can serve it,
cheapest first (candidates.py), and what it may cost. Precedence, once: pin, capability, budget, promotion, the
caller's floor, rule, category. docs/decisions/0009-the-decision.md tells why.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.classifier import candidates, refusals
from services.classifier.book import Book
from services.classifier.candidates import Because, Obstacle
from services.classifier.features import ChatRequest
from services.classifier.listed import Listed, usual_price, worst_case
from services.classifier.measured import Measured, measure, record
from services.classifier.outlook import CLEAR, Outlook, Purse
from services.classifier.route import Route, find_route
from shared.contracts import PlanRefused, Refusal, RequestPlanned, RequestReceived
from shared.money import NanoUsd, decimal_usd

BEFORE_ALL: Final = "the request was refused before a backend was looked for"
_NO_ROUTE: Final = Route(0, 0, ())


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Who serves. `route` and `limit` are kept for telling why others do not."""

    route: Route
    tier: int  # of the first choice, or where it would be if nobody only observed
    reasons: tuple[str, ...]
    candidates: tuple[Listed, ...]  # at least one
    reserved_nano_usd: NanoUsd  # the worst case of the first choice's tier: any of it may answer
    output_cap: int = 0  # put in; 0: none
    limit_nano_usd: NanoUsd = -1  # that nobody exceeds; -1: any
    is_floored: bool = False  # given because the budget was reached: not counted against it
    observed: tuple[str, ...] = ()  # tier and backend that would have served
    dearest_nano_usd: NanoUsd = 0  # the worst case of all candidates, where the service has a budget


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Who does not, and why."""

    refusal: Refusal
    route: Route = _NO_ROUTE
    limit_nano_usd: NanoUsd = -1


class Excluded(msgspec.Struct, frozen=True, gc=False):
    """A backend that is not in the plan."""

    backend: str
    because: str


def decide(
    received: RequestReceived, chat: ChatRequest, book: Book, outlook: Outlook = CLEAR
) -> RequestPlanned | PlanRefused:
    """The plan for a request, or the reason why there is none. Same arguments, same answer."""
    came = measure(received, chat)
    if isinstance(came, Refusal):
        return PlanRefused(came, received.send, policy_version=book.version)
    measured, verdict = came
    if measured.tier and measured.tier not in book.rank:
        unknown = refusals.unknown("tier", measured.tier, book.tiers, said_in_header=bool(received.tier))
        return PlanRefused(unknown, received.send, policy_version=book.version)
    decision = decide_measured(measured, book, outlook)
    if isinstance(decision, Refused):
        route = decision.route
        if route is _NO_ROUTE:
            return PlanRefused(decision.refusal, received.send, policy_version=book.version)
        return PlanRefused(
            decision.refusal, received.send, measured.category, book.tiers[route.tier], route.reasons, book.version
        )
    return RequestPlanned(
        received.request_id,
        received.received_at_us,
        received.door,
        measured.service,
        measured.priority,
        _deadline_ms(received, chat.wishes.deadline_ms),
        received.body_bytes,
        received.framed,
        received.send,
        book.version,
        measured.category,
        book.tiers[decision.tier],
        decision.reasons,
        tuple([one.name for one in decision.candidates]),
        book.baseline.name,
        chat.streamed,
        chat.usage_wanted,
        chat.input_tokens,
        decision.reserved_nano_usd,
        output_cap=decision.output_cap,
        cache=received.cache or chat.wishes.cache,
        features=record(measured, chat, verdict, decision.observed),
        model=decision.route.adapter,
        dearest_nano_usd=decision.dearest_nano_usd,
        hand_on=_hand_on(decision.candidates, decision.route),
    )


def decide_measured(measured: Measured, book: Book, outlook: Outlook = CLEAR) -> Decision | Refused:
    """The decision itself, of live traffic and of what was recorded."""
    route = find_route(measured, book, outlook)
    if isinstance(route, Refusal):
        return Refused(route)
    chained = candidates.chain(route, measured, book, outlook)
    able = candidates.able(chained, measured, route, book, outlook)
    if not able:
        return Refused(_nobody(measured, route, book, outlook), route)
    limit = measured.max_cost_nano_usd
    fitting, cap = candidates.affordable(able, measured, limit)
    if not fitting:
        cheapest = min(able, key=lambda one: worst_case(one, measured))
        refusal = refusals.too_dear(cheapest.name, worst_case(cheapest, measured), limit)
        return Refused(refusal, route, limit)

    purse = outlook.purses.get(measured.service) if outlook.purses else None
    if purse is not None:
        asked = fitting[0]
        available = 0 if purse.exhausted else purse.available_nano_usd  # what costs nothing is within that too
        within = available if limit < 0 else min(limit, available)
        fitting, cap = candidates.affordable(able, measured, within)
        if not fitting or fitting[0].tier < asked.tier:
            return _floored(asked, measured, route, book, outlook, purse)
        limit = within

    first = fitting[0]
    reasons = route.reasons
    if first.tier != able[0].tier:
        reasons = ("max_cost", *reasons)
    if able[0] is not chained[0] or able[0].tier != route.tier:
        reasons = (*candidates.moved_by(chained, able[0], measured, route, outlook), *reasons)
    if measured.session and _has_equals(fitting, measured) and not route.first:
        reasons = (*reasons, "session")
    tier = first.tier
    observed: tuple[str, ...] = ()
    if book.observe and not route.only:
        observed = (book.tiers[tier], first.name)
        fitting, cap = _at_baseline(fitting, measured, route, book, outlook, limit)
        first = fitting[0]
        reasons = ("observe", *reasons)
    return Decision(
        route,
        tier,
        reasons,
        fitting,
        max([worst_case(one, measured, cap) for one in fitting if one.tier == first.tier]),
        cap,
        limit,
        False,
        observed,
        0 if purse is None else max([worst_case(one, measured, cap) for one in fitting]),
    )


def _at_baseline(
    fitting: tuple[Listed, ...], measured: Measured, route: Route, book: Book, outlook: Outlook, limit: NanoUsd
) -> tuple[tuple[Listed, ...], int]:
    """Where nothing is to change: the baseline; when it is full or fails, its tier and those above; those below only
    where there is nobody else.
    """
    baseline = book.baseline
    itself = () if baseline.unfit else candidates.able((baseline,), measured, route, book, outlook)
    others = [one for one in fitting if one is not baseline]
    others.sort(key=lambda one: (one.tier < baseline.tier, abs(one.tier - baseline.tier)))
    above = [one for one in others if one.tier >= baseline.tier]
    near, cap = candidates.affordable((*itself, *above), measured, limit)
    return (near, cap) if near else candidates.affordable(tuple(others), measured, limit)


def _floored(
    asked: Listed, measured: Measured, route: Route, book: Book, outlook: Outlook, purse: Purse
) -> Decision | Refused:
    """The budget is spent: its floor, else the cheapest tier that can serve; if that is cheaper than what was asked.

    Stronger than promotions, rules and the caller's floor; not than a pin, a capability, or what the caller allows.
    Where nobody knows whether it is spent, what is as cheap as the floor is served too.
    """
    limit = measured.max_cost_nano_usd
    if route.only or purse.rejects:
        because = "what `model` pins is not re-routed" if route.only else "it says `on_exhausted: reject`"
        return Refused(refusals.over_budget(measured.service, purse, because), route, 0)
    trusting = msgspec.structs.replace(outlook, suspended={})
    suspended = outlook.suspended.get(measured.category, ())
    for tier in (*([purse.floor_tier] if purse.floor_tier >= 0 else []), *range(len(book.tiers))):
        there = tuple(candidates.of_tier(book.shelves[tier], measured, outlook))
        there = candidates.able(there, measured, route, book, trusting)
        if not there:
            continue
        there = tuple(sorted(there, key=lambda one: one.name in suspended))
        below = usual_price(asked, measured) + (1 if purse.unknown else 0)
        cheaper = tuple([one for one in there if usual_price(one, measured) < below])
        fitting, cap = candidates.affordable(cheaper, measured, limit)
        if not fitting:
            break
        reserved = max([worst_case(one, measured, cap) for one in fitting])
        return Decision(
            route, tier, ("budget_downgrade", *route.reasons), fitting, reserved, cap, limit, is_floored=True
        )
    because = "no tier that it may fall back to is cheaper than what was asked for"
    return Refused(refusals.over_budget(measured.service, purse, because), route, 0)


def _has_equals(fitting: tuple[Listed, ...], measured: Measured) -> bool:
    """Was there a draw for the first place?"""
    if len(fitting) == 1:
        return False
    first, second = fitting[0], fitting[1]
    return first.tier == second.tier and usual_price(first, measured) == usual_price(second, measured)


def _nobody(measured: Measured, route: Route, book: Book, outlook: Outlook) -> Refusal:
    """Whose fault it is: the request's, unless one that could serve it is out for another reason."""
    asked = route.only or [one for one in book.backends.values() if one.tier >= route.floor]
    met = [(one.name, candidates.obstacle(one, measured, route, outlook) or _NONE) for one in asked]
    lacks = [(name, obstacle.told) for name, obstacle in met]
    causes = {obstacle.because for _, obstacle in met}
    pinned = bool(route.only)
    if causes & {Because.PROMOTED, Because.FAILOVER}:
        return refusals.unavailable(lacks, pinned=pinned, passes=True)
    if causes == {Because.UNFIT}:
        return refusals.unavailable(lacks, pinned=pinned, passes=False)
    return refusals.incapable(lacks, pinned=pinned)


_NONE: Final = Obstacle(Because.CAPABILITY, "cannot serve it")


def _hand_on(chosen: tuple[Listed, ...], route: Route) -> int:
    """How many are no worse than the first: what is full is no reason to do hard work cheaply, what fails is one.

    A rule's order is its author's.
    """
    for place, one in enumerate(chosen):
        if one.tier < chosen[0].tier and one not in route.first:
            return place
    return 0


def _deadline_ms(received: RequestReceived, wished_ms: int) -> int:
    if not wished_ms:
        return received.deadline_ms
    return max(1, min(received.deadline_ms, wished_ms - received.waited_ms))


# Why not ----------------------------------------------------------------------------------------------------


def exclusions(
    measured: Measured, decision: Decision | Refused, book: Book, outlook: Outlook = CLEAR
) -> tuple[Excluded, ...]:
    """Why each backend that does not serve does not. For people: `decide` does not pay for it."""
    serve = decision.candidates if isinstance(decision, Decision) else ()
    return tuple(
        [
            Excluded(one.name, _because(one, measured, decision, book, outlook))
            for one in book.backends.values()
            if one not in serve
        ]
    )


def _because(one: Listed, measured: Measured, decision: Decision | Refused, book: Book, outlook: Outlook) -> str:
    route = decision.route
    if route is _NO_ROUTE:
        return BEFORE_ALL
    if route.only and one not in route.only:
        return f"the request is pinned to {', '.join([pinned.name for pinned in route.only])}"
    met = candidates.obstacle(one, measured, route, outlook)
    if met is not None:
        return met.told
    if isinstance(decision, Decision) and decision.is_floored:
        return f"the budget of {measured.service} is spent, and its floor is {book.tiers[decision.tier]}"
    if isinstance(decision, Decision) and decision.observed and one.tier < book.baseline.tier:
        return f"`routing.mode: observe`, and its tier is below that of the baseline, {book.baseline.name}"
    if one.tier < route.floor:
        return f"its tier is below {book.tiers[route.floor]}, which the caller asked for"
    cap = decision.output_cap if isinstance(decision, Decision) else 0
    limit, cost = decision.limit_nano_usd, worst_case(one, measured, cap)
    if 0 <= limit < cost:
        if limit == measured.max_cost_nano_usd:
            return refusals.above(cost, limit)
        return f"may cost {decimal_usd(cost)} USD, the budget of {measured.service} has no room for it"
    asked = f"asks for up to {measured.output_cap} more" if measured.output_cap else f"is capped at {cap} more"
    if 0 < one.longest_answer < (measured.output_cap or cap):
        return f"its answers end at {one.longest_answer} tokens, the request {asked.removesuffix(' more')}"
    return (
        f"its context window is {one.context_window} tokens, the request has about {measured.input_tokens} "
        f"and {asked}"
    )

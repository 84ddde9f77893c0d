"""Who may serve a request, in which order, and why another may not. Pure.

Within a tier price comes first. Of equals, a conversation always gets the same one (its KV cache is warm, and a
tool's result comes back to the model that asked for it); all else gets of two that are drawn the one with less to do.
Draws come from hashes of what is recorded, so that every classifier and every replay draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final
from zlib import crc32

import msgspec

from services.classifier import fields
from services.classifier.book import Book, Shelf
from services.classifier.listed import (
    UNKNOWN_OUTPUT_CAP,
    Listed,
    cap_within,
    largest_cap,
    longest,
    usual_price,
    worst_case,
)
from services.classifier.measured import Measured
from services.classifier.outlook import ADAPTER_FULL, ADAPTER_HAS_ROOM, Outlook
from services.classifier.route import Route
from shared.money import TOKENS_PER_PRICE, NanoUsd


class Because(IntEnum):
    """Why a backend cannot serve; of several, the least one is told and counts. Names are those of reasons."""

    UNFIT = 0  # the operator's
    CAPABILITY = 1  # the request's
    CONTEXT = 2  # the request's
    PROMOTED = 3  # the moment's: it is suspended for the category
    FAILOVER = 4  # the moment's: it does not answer


class Obstacle(msgspec.Struct, frozen=True, gc=False):
    because: Because
    told: str


_NOBODY: Final[frozenset[str]] = frozenset()


# In which order ---------------------------------------------------------------------------------------------


def chain(route: Route, measured: Measured, book: Book, outlook: Outlook) -> tuple[Listed, ...]:
    """A rule's own; the route's tier, then upward, then downward to the floor. A pin allows its own alone."""
    if route.only:
        return in_order(route.only, route.adapter, measured, outlook)
    known = book.chains.get((route.tier, route.floor))
    if known is None:
        gathered: list[Listed] = []
        for tier in (*range(route.tier, len(book.tiers)), *range(route.tier - 1, route.floor - 1, -1)):
            gathered += of_tier(book.shelves[tier], measured, outlook)
        known = tuple(gathered)
    if route.first:
        return (*route.first, *[one for one in known if one not in route.first])
    return known


def of_tier(shelf: Shelf, measured: Measured, outlook: Outlook) -> Sequence[Listed]:
    """A tier's, cheapest first for this request."""
    if not shelf.groups:
        return in_order(shelf.backends, "", measured, outlook)
    ordered: list[Listed] = []
    for equals in shelf.groups:
        ordered += equals if len(equals) == 1 else _drawn(equals, measured, outlook)
    return ordered


def in_order(backends: tuple[Listed, ...], adapter: str, measured: Measured, outlook: Outlook) -> tuple[Listed, ...]:
    """Cheapest first for this request; where an adapter is asked for, those whose slots are full come last."""
    if len(backends) <= 1:
        return backends
    priced: dict[tuple[bool, int, float], list[Listed]] = {}
    for one in backends:
        room = outlook.adapters.get(one.name, {}).get(adapter, ADAPTER_HAS_ROOM) if adapter else ADAPTER_HAS_ROOM
        priced.setdefault((room <= ADAPTER_FULL, usual_price(one, measured), -room), []).append(one)
    ordered: list[Listed] = []
    for key in sorted(priced):
        equals = priced[key]
        ordered += equals if len(equals) == 1 else _drawn(tuple(equals), measured, outlook)
    return tuple(ordered)


def _drawn(equals: tuple[Listed, ...], measured: Measured, outlook: Outlook) -> list[Listed]:
    if measured.session:
        # The highest of hashes: who is left out, or new, moves no other conversation.
        seed = measured.session.to_bytes(4, "big")
        return sorted(equals, key=lambda one: crc32(seed + one.name.encode()))
    number = crc32(measured.request_id.encode())
    place = number % len(equals)
    ordered = [*equals[place:], *equals[:place]]
    if outlook.load:
        other = 1 + number // len(equals) % (len(equals) - 1)
        if outlook.load.get(ordered[other].name, 0.0) < outlook.load.get(ordered[0].name, 0.0):
            ordered.insert(0, ordered.pop(other))
    return ordered


# Who cannot -------------------------------------------------------------------------------------------------


def obstacle(one: Listed, measured: Measured, route: Route, outlook: Outlook) -> Obstacle | None:
    """Why this one cannot serve, or nothing. A pin is stronger than a suspension: who names a model gets it."""
    if one.unfit:
        return Obstacle(Because.UNFIT, one.unfit)
    if measured.needs and one.capabilities is not None:
        lacking = [need for need in measured.needs if need not in one.capabilities]
        if lacking:
            return Obstacle(Because.CAPABILITY, f"lacks {' and '.join(lacking)}")
    unheeded = measured.fields & one.not_heeded
    if unheeded:
        return Obstacle(Because.CAPABILITY, f"{one.provider} does not heed {' and '.join(fields.names(unheeded))}")
    if 0 < one.context_window <= measured.input_tokens:
        told = f"its context window is {one.context_window} tokens, the request has about {measured.input_tokens}"
        return Obstacle(Because.CONTEXT, told)
    if not route.only and one.name in outlook.suspended.get(measured.category, _NOBODY):
        return Obstacle(Because.PROMOTED, f"its quality is suspended for {measured.category}")
    if one.name in outlook.ailing:
        return Obstacle(Because.FAILOVER, "it does not answer at the moment")
    return None


def able(
    chained: tuple[Listed, ...], measured: Measured, route: Route, book: Book, outlook: Outlook
) -> tuple[Listed, ...]:
    """Those that can serve. The caller's cap need fit only where there is somebody whom it fits."""
    whole = measured.input_tokens + measured.output_cap
    if not (
        measured.needs
        or route.only
        or measured.fields & book.not_heeded
        or whole >= book.narrowest
        or measured.output_cap > book.shortest
        or outlook.suspended
        or outlook.ailing
    ):
        return chained
    there = tuple([one for one in chained if obstacle(one, measured, route, outlook) is None])
    if not measured.output_cap:
        return there
    return tuple([one for one in there if takes_cap(one, measured)]) or there


def takes_cap(one: Listed, measured: Measured) -> bool:
    """Would it heed the caller's cap? Who cannot answer for so long refuses it."""
    whole = measured.input_tokens + measured.output_cap
    return not 0 < one.context_window < whole and not 0 < one.longest_answer < measured.output_cap


def affordable(able_ones: tuple[Listed, ...], measured: Measured, limit: NanoUsd) -> tuple[tuple[Listed, ...], int]:
    """Those whose worst case `limit` (-1: any) covers, and the cap that this takes (0: none).

    A cap is put in where the first choice would be left out without one, or where somebody's answer might not end; it
    is as long as the first choice may answer. Who would refuse it for its length is left out.
    """
    if limit < 0:
        return able_ones, 0
    must_end = not measured.output_cap and 0 in [longest(one) for one in able_ones]
    for one in able_ones:
        cap = 0
        if must_end or worst_case(one, measured) > limit:
            cap = cap_within(one, measured, limit)
            if not cap or worst_case(one, measured, cap) > limit:
                continue
        return _within(able_ones, measured, limit, cap), cap
    return (), 0


def _within(ones: tuple[Listed, ...], measured: Measured, limit: NanoUsd, cap: int) -> tuple[Listed, ...]:
    """Whose `worst_case` the limit covers, in a third of the time that the calls would take."""
    if cap:
        ones = tuple([one for one in ones if cap <= largest_cap(one, measured)])
    spendable = limit * TOKENS_PER_PRICE
    sent, choices = measured.input_tokens, measured.choices
    cap = cap or measured.output_cap
    return tuple(
        [
            one
            for one in ones
            if sent * one.price.input + (cap or longest(one) or UNKNOWN_OUTPUT_CAP) * choices * one.price.output
            <= spendable
        ]
    )


def moved_by(
    chained: tuple[Listed, ...], first: Listed, measured: Measured, route: Route, outlook: Outlook
) -> tuple[str, ...]:
    """The reason why the first that is able is not the one that was meant, where that is worth a word."""
    meant = chained[0]
    if route.only or first.tier == route.tier:
        met = obstacle(meant, measured, route, outlook)
        return (met.because.name.lower(),) if met is not None and met.because >= Because.PROMOTED else ()
    there = [one for one in chained if one.tier == route.tier]
    met_there = [obstacle(one, measured, route, outlook) for one in there]
    least = min([met.because for met in met_there if met is not None], default=Because.CONTEXT)
    if not there or least is Because.UNFIT:
        return ("capability",)
    if least is Because.PROMOTED and first.tier < route.tier:
        return ("failover",)  # nobody above can: it is no promotion
    return (least.name.lower(),)

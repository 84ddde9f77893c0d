"""Which backends may answer this request, in which order, and why? Pure: no clock, no network, no settings.

In the order of a decision: the name in `model`, the caller's word, the evidence; then a tier; then who of it
can serve, cheapest first, and who steps in. Precedence: pin, capability, the caller's floor, category.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

import msgspec
from msgspec import Raw

from services.classifier import evidence
from services.classifier.book import CHEAP, CHOOSE, QUALITY, Book, Listed
from services.classifier.evidence import Verdict
from services.classifier.features import ChatRequest
from shared.contracts import (
    CATEGORIES,
    PRIORITIES,
    Features,
    PlanRefused,
    Refusal,
    RequestPlanned,
    RequestReceived,
    encode,
)
from shared.money import NanoUsd, decimal_usd
from shared.prices import cost

UNKNOWN_OUTPUT_CAP: Final = 4096  # reserved where neither the caller nor the model says how long an answer gets
LARGEST_AMOUNT: Final = 2**63 - 1  # what a message and a column can hold

# What an answer comes to, in tokens, for comparing prices: round guesses, until the ledger's own figures are used.
USUAL_OUTPUT: Final = {
    "extraction": 150,
    "summarisation": 200,
    "classification": 20,
    "reasoning": 800,
    "code": 800,
    "general": 400,
}

_SPELLINGS: Final = {category: category for category in CATEGORIES} | {"summarization": "summarisation"}
_MODEL_BYTES: Final = 64  # of a model's name in Features, which have 300 bytes for all
_LONGEST_MODEL: Final = 256  # longer ones are nobody's name, and globs need not be tried on them


class Excluded(msgspec.Struct, frozen=True, gc=False):
    """A backend that is not in the plan."""

    backend: str
    because: str


class Route(msgspec.Struct, frozen=True, gc=False):
    """What was asked for, before anybody looked at who can serve it."""

    category: str
    tier: int  # to begin with
    floor: int  # never below
    only: tuple[Listed, ...]  # the pinned ones; empty: all
    reasons: tuple[str, ...]
    verdict: Verdict
    service: str
    priority: str
    max_cost_nano_usd: NanoUsd  # -1: any
    adapter: str = ""  # the LoRA adapter that the pinned ones have under this name


def decide(received: RequestReceived, chat: ChatRequest, book: Book) -> RequestPlanned | PlanRefused:
    """The plan for a request, or the reason why there is none. Same arguments, same answer."""
    route = find_route(received, chat, book)
    if isinstance(route, Refusal):
        return PlanRefused(route, received.send, policy_version=book.version)

    chain = _chain(route, received, chat, book)
    able = chain
    if chat.needs or route.only or chat.input_tokens + chat.output_cap >= book.narrowest:
        able = _able(chain, chat)
    fitting = _affordable(able, chat, route.max_cost_nano_usd)
    if not fitting:
        refusal = _too_dear(able, chat, route) if able else _incapable(chat, route, book)
        return PlanRefused(
            refusal, received.send, route.category, book.tiers[route.tier], route.reasons, book.version
        )

    first = fitting[0]
    tier, reasons = route.tier, route.reasons
    if first.tier != tier and not route.only:
        reasons = (_displaced_by(route, chat, chain, able), *reasons)
    tier = first.tier
    if book.observe and not route.only:
        observed = _affordable(_able((book.baseline,), chat), chat, route.max_cost_nano_usd)
        if observed:
            first = book.baseline
            fitting = (first, *[one for one in fitting if one is not first])
            reasons = ("observe", *reasons)

    verdict = route.verdict
    return RequestPlanned(
        received.request_id,
        received.received_at_us,
        received.door,
        route.service,
        route.priority,
        _deadline_ms(received, chat.wishes.deadline_ms),
        received.body_bytes,
        received.framed,
        received.send,
        book.version,
        route.category,
        book.tiers[tier],
        reasons,
        tuple([one.name for one in fitting]),
        book.baseline.name,
        chat.streamed,
        chat.usage_wanted,
        chat.input_tokens,
        max([worst_case(one, chat) for one in fitting if one.tier == first.tier]),  # any of these may answer
        cache=received.cache or chat.wishes.cache,
        features=Raw(
            encode(
                Features(
                    evidence.names(verdict),
                    verdict.scores,
                    _cut(chat.model),
                    chat.input_tokens,
                    chat.output_cap,
                    chat.needs,
                    chat.messages,
                    chat.streamed,
                    chat.temperature_zero,
                )
            )
        ),
        model=route.adapter,
    )


def _deadline_ms(received: RequestReceived, wished_ms: int) -> int:
    if not wished_ms:
        return received.deadline_ms
    return max(1, min(received.deadline_ms, wished_ms - received.waited_ms))


def exclusions(
    received: RequestReceived, chat: ChatRequest, book: Book, plan: RequestPlanned | PlanRefused
) -> tuple[Excluded, ...]:
    """Why each backend that is not in `plan` is not. For people: `decide` does not pay for it."""
    route = find_route(received, chat, book)
    if isinstance(route, Refusal):
        return tuple(
            [Excluded(name, "the request was refused before a backend was looked for") for name in book.backends]
        )
    planned = plan.candidates if isinstance(plan, RequestPlanned) else ()
    return tuple(
        [
            Excluded(one.name, _because(one, route, chat, book))
            for one in book.backends.values()
            if one.name not in planned
        ]
    )


def worst_case(one: Listed, chat: ChatRequest) -> NanoUsd:
    """What a call may cost at most, as far as lengths can be known: what is reserved for it."""
    cap = chat.output_cap or one.context_window or UNKNOWN_OUTPUT_CAP
    return min(cost(one.price, chat.input_tokens, 0, cap * chat.choices), LARGEST_AMOUNT)


def usual_output(category: str, chat: ChatRequest) -> int:
    """Tokens that an answer of this category usually has, within the caller's cap. An estimate."""
    usual = USUAL_OUTPUT[category]
    return (min(usual, chat.output_cap) if chat.output_cap else usual) * chat.choices


# What was asked for -----------------------------------------------------------------------------------------


def find_route(received: RequestReceived, chat: ChatRequest, book: Book) -> Route | Refusal:
    """Category, tier and pins of a request: aliases, then the name in `model`, the caller's word, the evidence."""
    spelt = received.category or chat.wishes.category
    category = _SPELLINGS.get(spelt, "") if spelt else ""
    if spelt and not category:
        return _unknown("category", spelt, CATEGORIES, said_in_header=bool(received.category))
    asked_tier = received.tier or chat.wishes.tier
    floor = book.rank.get(asked_tier, -1) if asked_tier else 0
    if floor < 0:
        return _unknown("tier", asked_tier, book.tiers, said_in_header=bool(received.tier))
    priority = received.priority or chat.wishes.priority or "normal"
    if priority not in PRIORITIES:
        return _unknown("priority", priority, PRIORITIES, said_in_header=bool(received.priority))

    model, aliased = _unalias(chat.model, book)
    chosen_here = model in CHOOSE
    pin = None
    if not chosen_here:
        if model in book.rank:
            floor = max(floor, book.rank[model])
            asked_tier = model
        else:
            pin = book.pins.get(model)
            if pin is None:
                return _unknown_model(chat.model, model, book)

    verdict = Verdict(category, (), ()) if category else evidence.weigh(chat)
    by_caller = ("caller",) if category else ()
    category = verdict.category
    service = received.service or chat.wishes.service or "default"
    max_cost = received.max_cost_nano_usd if received.max_cost_nano_usd >= 0 else chat.wishes.max_cost_nano_usd
    if pin is not None:
        reasons = ("alias", pin.reason) if aliased else (pin.reason,)
        tier = min([one.tier for one in pin.backends])
        adapter = model if pin.reason == "lora" else ""
        return Route(category, tier, 0, pin.backends, reasons, verdict, service, priority, max_cost, adapter)

    tier = book.tier_of[category]
    if model == CHEAP:
        tier, by_caller = max(tier - 1, 0), ("caller",)
    elif model == QUALITY:
        tier, by_caller = min(tier + 1, len(book.tiers) - 1), ("caller",)
    if asked_tier and floor >= tier:
        tier, by_caller = floor, ("caller",)
    reasons = (*by_caller, "category")
    if aliased:
        reasons = (*reasons, "alias") if chosen_here else ("alias", *reasons)
    return Route(category, tier, floor, (), reasons, verdict, service, priority, max_cost)


def _unalias(model: str, book: Book) -> tuple[str, bool]:
    if len(model) <= _LONGEST_MODEL:
        for alias in book.aliases:
            if alias.matches(model):
                return alias.target, True
    return model, False


# Who can serve it -------------------------------------------------------------------------------------------


def _chain(route: Route, received: RequestReceived, chat: ChatRequest, book: Book) -> tuple[Listed, ...]:
    """The route's tier, then upward, then downward to the floor; each tier by price. A pin allows its own alone."""
    if route.only:
        return _by_price(route.only, route, received, chat)
    chain: list[Listed] = []
    for tier in (*range(route.tier, len(book.tiers)), *range(route.tier - 1, route.floor - 1, -1)):
        shelf = book.shelves[tier]
        chain += shelf.backends if shelf.settled else _by_price(shelf.backends, route, received, chat)
    return tuple(chain)


def _by_price(
    backends: tuple[Listed, ...], route: Route, received: RequestReceived, chat: ChatRequest
) -> tuple[Listed, ...]:
    """Cheapest first for this request; equals take turns by its id, so that a replay draws the same."""
    if len(backends) == 1:
        return backends
    drawn = crc32(received.request_id.encode()) % len(backends)
    sent, answered = chat.input_tokens, usual_output(route.category, chat)
    return tuple(
        sorted(
            backends[drawn:] + backends[:drawn],
            key=lambda one: sent * one.price.input + answered * one.price.output,
        )
    )


def _able(chain: tuple[Listed, ...], chat: ChatRequest) -> tuple[Listed, ...]:
    """Those that can serve. The caller's cap need fit into the window only where somebody has such a window."""
    able = tuple([one for one in chain if not _lacks(one, chat)])
    if not chat.output_cap:
        return able
    whole = chat.input_tokens + chat.output_cap
    return tuple([one for one in able if not 0 < one.context_window < whole]) or able


def _lacks(one: Listed, chat: ChatRequest) -> str:
    if one.unfit:
        return one.unfit
    if chat.needs and one.capabilities is not None:
        lacking = [need for need in chat.needs if need not in one.capabilities]
        if lacking:
            return f"lacks {' and '.join(lacking)}"
    if 0 < one.context_window <= chat.input_tokens:
        return f"its context window is {one.context_window} tokens, the request has about {chat.input_tokens}"
    return ""


def _affordable(able: tuple[Listed, ...], chat: ChatRequest, max_cost: NanoUsd) -> tuple[Listed, ...]:
    if max_cost < 0:
        return able
    return tuple([one for one in able if worst_case(one, chat) <= max_cost])


def _displaced_by(route: Route, chat: ChatRequest, chain: tuple[Listed, ...], able: tuple[Listed, ...]) -> str:
    """Why the first candidate is of another tier than the route's."""
    if any(one.tier == route.tier for one in able):
        return "max_cost"
    there = [one for one in chain if one.tier == route.tier]
    for one in there:
        if chat.needs and _lacks(one, chat).startswith("lacks"):
            return "capability"
    return "context" if any(one.context_window for one in there) else "capability"


def _because(one: Listed, route: Route, chat: ChatRequest, book: Book) -> str:
    if route.only and one not in route.only:
        return f"the request is pinned to {', '.join([pinned.name for pinned in route.only])}"
    lack = _lacks(one, chat)
    if lack:
        return lack
    if one.tier < route.floor:
        return f"its tier is below {book.tiers[route.floor]}, which the caller asked for"
    if route.max_cost_nano_usd >= 0 and worst_case(one, chat) > route.max_cost_nano_usd:
        return _price_sentence(one, chat, route)
    return (
        f"its context window is {one.context_window} tokens, the request has about {chat.input_tokens} "
        f"and asks for up to {chat.output_cap} more"
    )


def _price_sentence(one: Listed, chat: ChatRequest, route: Route) -> str:
    return (
        f"may cost {decimal_usd(worst_case(one, chat))} USD, "
        f"the request allows {decimal_usd(route.max_cost_nano_usd)}"
    )


# Refusals ---------------------------------------------------------------------------------------------------


def _unknown(what: str, value: str, valid: tuple[str, ...], *, said_in_header: bool) -> Refusal:
    param = f"X-Tierwise-{what.capitalize()}" if said_in_header else f"metadata.tierwise_{what}"
    return Refusal(
        400,
        f"unknown_{what}",
        f"There is no {what} {_short(value)}. Use one of: {', '.join(valid)}.",
        param=param,
    )


def _unknown_model(asked: str, model: str, book: Book) -> Refusal:
    alias = "" if asked == model else f" (what the alias for {_short(asked)} names)"
    return Refusal(
        404,
        "model_not_found",
        f"There is no model {_short(model)}{alias}. Use one of: {book.known_names}.",
        param="model",
    )


def _incapable(chat: ChatRequest, route: Route, book: Book) -> Refusal:
    asked = route.only or [one for one in book.backends.values() if one.tier >= route.floor]
    lacks = "; ".join([f"{one.name}: {_lacks(one, chat)}" for one in asked[:20]])
    pinned = " that `model` names" if route.only else ""
    return Refusal(
        400,
        "no_capable_backend",
        f"No backend{pinned} can serve this request ({lacks}). Change the request, or ask the operator for a backend "
        "that can.",
        param="model" if route.only else "",
    )


def _too_dear(able: tuple[Listed, ...], chat: ChatRequest, route: Route) -> Refusal:
    cheapest = min(able, key=lambda one: worst_case(one, chat))
    return Refusal(
        402,
        "max_cost_exceeded",
        f"Every backend that can serve this request may cost more than it allows (the cheapest, {cheapest.name}, "
        f"{_price_sentence(cheapest, chat, route)}). Raise X-Tierwise-Max-Cost-Usd, or lower max_tokens.",
        type="insufficient_quota",
        param="X-Tierwise-Max-Cost-Usd",
        may_retry=False,
    )


def _short(value: str) -> str:
    return repr(value if len(value) <= 100 else f"{value[:100]}…")


def _cut(name: str) -> str:
    """At most _MODEL_BYTES of a name, whole characters."""
    if len(name) * 4 <= _MODEL_BYTES:
        return name
    return name.encode()[:_MODEL_BYTES].decode(errors="ignore")

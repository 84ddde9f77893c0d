"""A decision told to a person: what `tierwise explain` and `POST /api/explain` answer. Pure; off the hot path.

Amounts of money are decimal strings, as in the response headers: exact, whatever a reader makes of JSON's numbers.
"""

from __future__ import annotations

import msgspec

from services.classifier import core, evidence
from services.classifier.book import Book
from services.classifier.core import Decision, Excluded, Refused
from services.classifier.features import ChatRequest
from services.classifier.listed import Listed, usual_output
from services.classifier.measured import Measured, measure
from services.classifier.outlook import CLEAR, Outlook, Purse
from shared.contracts import PlanRefused, Refusal, RequestReceived
from shared.money import decimal_usd
from shared.prices import cost


class Found(msgspec.Struct, frozen=True):
    """A rule of the evidence, and the words by which it was found; of some rules there are none."""

    rule: str
    category: str  # that it speaks for
    weight: int
    found: list[str]


class Candidate(msgspec.Struct, frozen=True):
    backend: str
    tier: str
    price_usd: str  # what this request would usually come to there


class Estimate(msgspec.Struct, frozen=True):
    input_tokens: int
    output_tokens: int  # what an answer of the category usually has
    cost_usd: str | None  # at the first candidate; nothing where nobody serves
    baseline_usd: str


class BudgetState(msgspec.Struct, frozen=True):
    service: str
    limited: bool
    available_usd: str | None  # nothing: as much as one likes
    exhausted: bool
    reserved_usd: str | None  # that the request would hold until it is answered


class Observed(msgspec.Struct, frozen=True):
    tier: str
    backend: str


class RefusedAs(msgspec.Struct, frozen=True):
    status: int
    code: str
    message: str


class Explanation(msgspec.Struct, frozen=True):
    category: str
    evidence: list[Found]
    tier: str
    reason: tuple[str, ...]
    candidates: list[Candidate]  # in the order in which they would be asked
    excluded: tuple[Excluded, ...]
    estimate: Estimate | None
    budget: BudgetState | None
    policy_version: int
    decided_in_us: float
    priority: str = ""
    max_tokens: int | None = None  # a cap that would be put in
    observed: Observed | None = None  # with `routing.mode: observe`: who would have served
    refused: RefusedAs | None = None


def explain(
    received: RequestReceived,
    chat: ChatRequest,
    book: Book,
    outlook: Outlook = CLEAR,
    *,
    decided_in_us: float,
    purse: Purse | None = None,
) -> Explanation:
    """What `decide` makes of the same arguments, with all that it does not say. `purse` is what the service's budget
    allows, where the outlook has only a share of it.
    """
    plan = core.decide(received, chat, book, outlook)
    refusal = plan.refusal if isinstance(plan, PlanRefused) else None
    took = round(decided_in_us, 1)
    came = measure(received, chat)
    decision: Decision | Refused
    if isinstance(came, Refusal) or (came[0].tier and came[0].tier not in book.rank):
        assert refusal is not None  # a word that nobody knows: there is nothing to explain but that
        left_out = tuple([Excluded(name, core.BEFORE_ALL) for name in book.backends])
        refused = _refused(refusal)
        return Explanation("", [], "", (), [], left_out, None, None, book.version, took, refused=refused)
    measured, _ = came
    decision = core.decide_measured(measured, book, outlook)
    chosen = decision.candidates if isinstance(decision, Decision) else ()
    return Explanation(
        measured.category,
        [] if measured.category_said else found(chat),
        plan.tier,
        plan.reasons,
        [Candidate(one.name, book.tiers[one.tier], _usual_usd(one, measured)) for one in chosen],
        core.exclusions(measured, decision, book, outlook),
        Estimate(
            measured.input_tokens,
            usual_output(measured),
            _usual_usd(chosen[0], measured) if chosen else None,
            _usual_usd(book.baseline, measured),
        ),
        _budget(measured, decision, purse or outlook.purses.get(measured.service)),
        book.version,
        took,
        measured.priority,
        (decision.output_cap or None) if isinstance(decision, Decision) else None,
        Observed(*decision.observed) if isinstance(decision, Decision) and decision.observed else None,
        None if refusal is None else _refused(refusal),
    )


def found(chat: ChatRequest) -> list[Found]:
    """The evidence with its words."""
    return [Found(one.rule, one.category, one.weight, list(one.found)) for one in evidence.explain(chat)]


def _usual_usd(one: Listed, measured: Measured) -> str:
    return decimal_usd(cost(one.price, measured.input_tokens, 0, usual_output(measured)))


def _budget(measured: Measured, decision: Decision | Refused, purse: Purse | None) -> BudgetState:
    reserved = None
    if isinstance(decision, Decision):
        reserved = decimal_usd(0 if decision.is_floored else decision.reserved_nano_usd)
    return BudgetState(
        measured.service,
        purse is not None,
        None if purse is None else decimal_usd(purse.available_nano_usd),
        purse is not None and purse.exhausted,
        reserved,
    )


def _refused(refusal: Refusal) -> RefusedAs:
    return RefusedAs(refusal.status, refusal.code, refusal.message)

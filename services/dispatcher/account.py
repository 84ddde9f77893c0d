"""What one plan's attempts used and what they cost: the record that goes to the ledger. Pure but for its own list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from services.dispatcher.providers.openai import Usage
from shared.contracts import AttemptUsage, Features, RequestPlanned, RequestUsage
from shared.money import LARGEST_NANO_USD, NanoUsd
from shared.prices import cost

if TYPE_CHECKING:
    from services.dispatcher.backends import Target

UNKNOWN_OUTPUT_CAP: Final = 4096  # tokens, where neither the caller nor the model says how long an answer gets
NOTHING: Final = Usage(0, 0, 0)
_features = msgspec.msgpack.Decoder(Features)


class Spent(msgspec.Struct, frozen=True):
    """Tokens, and who says so: `reported` by the provider, `counted` by us, `unknown`, or `none` were used."""

    usage: Usage
    source: str


NONE = Spent(NOTHING, "none")
UNKNOWN = Spent(NOTHING, "unknown")  # a provider may bill what we did not see: never taken for nothing


def released(plan: RequestPlanned, status: int, latency_ms: float) -> RequestUsage:
    """For a plan that nobody was called for: it says that nothing came of its reservation."""
    return RequestUsage(
        plan.request_id, plan.send, plan.received_at_us, plan.service, plan.priority, plan.category,
        plan.tier, "", "", ",".join(plan.reasons), "bypass" if "bypass" in plan.cache else "miss",
        status, 0, 0, 0, "none", latency_ms, -1, 0, 0,
        plan.policy_version, plan.lease_id, plan.reserved_nano_usd, plan.features, (),
    )  # fmt: skip


class Account:
    """Grows by one attempt at a time, and is closed once, with the answer."""

    __slots__ = ("_plan", "_targets", "attempts")

    def __init__(self, plan: RequestPlanned, targets: dict[str, Target]) -> None:
        self._plan = plan
        self._targets = targets
        self.attempts: list[AttemptUsage] = []

    def enter(
        self, target: Target, outcome: str, status: int, spent: Spent, started_at_us: int, latency_ms: float
    ) -> None:
        """One call of a backend that is over. What the provider says it bills is what it cost; what is unknown is
        charged at its worst case.
        """
        usage, source = spent.usage, spent.source
        is_cost_reported = usage.cost_nano_usd >= 0
        if is_cost_reported:
            price = usage.cost_nano_usd
        elif source == "unknown":
            price = self._worst_case(target)
        else:
            price = cost(target.price, usage.input, usage.cached_input, usage.output)
        price = min(price, LARGEST_NANO_USD)
        attempt = AttemptUsage(  # by position: names would cost as much as all the rest of it
            len(self.attempts) + 1, target.name, started_at_us, outcome, status,
            usage.input, usage.cached_input, usage.output, source, price, latency_ms, target.tier,
            False, is_cost_reported,
        )  # fmt: skip
        self.attempts.append(attempt)

    def close(self, status: int, reasons: tuple[str, ...], latency_ms: float, first_token_ms: float) -> RequestUsage:
        """The request as the ledger gets it. The last attempt is the one that answered, if any did."""
        plan, attempts = self._plan, self.attempts
        last = attempts[-1]
        target = self._targets[last.backend]
        paid = last.cost_nano_usd if len(attempts) == 1 else sum([attempt.cost_nano_usd for attempt in attempts])
        return RequestUsage(
            plan.request_id, plan.send, plan.received_at_us, plan.service, plan.priority, plan.category,
            target.tier, target.name, plan.model or target.model, ",".join(reasons),
            "bypass" if "bypass" in plan.cache else "miss", status, last.input_tokens, last.cached_input_tokens,
            last.output_tokens, last.usage_source, latency_ms, first_token_ms, paid, self._baseline(last),
            plan.policy_version, plan.lease_id, plan.reserved_nano_usd, plan.features, tuple(attempts),
        )  # fmt: skip

    def covers(self, target: Target) -> bool:
        """Whether what is left of the reservation pays for a call of `target` too. Only a budget is that strict."""
        plan = self._plan
        if not plan.lease_id:
            return True
        return self._longest_answer(target) <= plan.reserved_nano_usd - self._spent()

    def _worst_case(self, target: Target) -> NanoUsd:
        """At least what was reserved; more where failover went to a dearer backend than was reserved for. Of a lease
        two calls may be paid, so each counts for itself; with the input twice, as it was reserved, where so much is
        left: the provider may count more tokens than we do.
        """
        plan, here = self._plan, self._longest_answer(target)
        if not plan.lease_id:
            return min(max(plan.reserved_nano_usd, here), LARGEST_NANO_USD)
        cautious = here + cost(target.price, plan.input_tokens, 0, 0)
        return cautious if cautious <= plan.reserved_nano_usd - self._spent() else here

    def _spent(self) -> NanoUsd:
        return sum([attempt.cost_nano_usd for attempt in self.attempts])

    def _longest_answer(self, target: Target) -> NanoUsd:
        plan = self._plan
        features = _features.decode(plan.features)
        cap = plan.output_cap or features.max_tokens or target.longest_answer or UNKNOWN_OUTPUT_CAP
        return min(cost(target.price, plan.input_tokens, 0, cap * max(features.choices, 1)), LARGEST_NANO_USD)

    def _baseline(self, last: AttemptUsage) -> NanoUsd:
        """What the same tokens would have cost at the baseline; nothing for what was not answered."""
        baseline = self._targets.get(self._plan.baseline)
        if baseline is None or last.outcome != "answered":
            return 0
        there = cost(baseline.price, last.input_tokens, last.cached_input_tokens, last.output_tokens)
        return min(there, LARGEST_NANO_USD)

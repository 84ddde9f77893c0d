"""What one plan's attempts used and what they cost: the record that goes to the ledger. Pure but for its own list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from services.dispatcher.providers.openai import Usage
from shared.contracts import AttemptUsage, RequestPlanned, RequestUsage
from shared.money import NanoUsd
from shared.prices import cost

if TYPE_CHECKING:
    from services.dispatcher.backends import Target

UNKNOWN_OUTPUT_CAP: Final = 4096  # tokens, where neither the caller nor the model says how long an answer gets
LARGEST_NANO_USD: Final = 2**63 - 1  # what a message and a column can hold
NOTHING: Final = Usage(0, 0, 0)


class Spent(msgspec.Struct, frozen=True):
    """Tokens, and who says so: `reported` by the provider, `counted` by us, `unknown`, or `none` were used."""

    usage: Usage
    source: str


NONE = Spent(NOTHING, "none")
UNKNOWN = Spent(NOTHING, "unknown")  # a provider may bill what we did not see: never taken for nothing


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
        """One call of a backend that is over. What is unknown is charged at its worst case."""
        usage = spent.usage
        if spent.source == "unknown":
            price = self._worst_case(target)
        else:
            price = cost(target.price, usage.input, usage.cached_input, usage.output)
        self.attempts.append(
            AttemptUsage(
                attempt=len(self.attempts) + 1,
                backend=target.name,
                started_at_us=started_at_us,
                outcome=outcome,
                status=status,
                input_tokens=usage.input,
                cached_input_tokens=usage.cached_input,
                output_tokens=usage.output,
                usage_source=spent.source,
                cost_nano_usd=price,
                latency_ms=latency_ms,
                tier=target.tier,
            )
        )

    def close(self, status: int, reasons: tuple[str, ...], latency_ms: float, first_token_ms: float) -> RequestUsage:
        """The request as the ledger gets it. The last attempt is the one that answered, if any did."""
        plan, last = self._plan, self.attempts[-1]
        target = self._targets[last.backend]
        return RequestUsage(
            request_id=plan.request_id,
            send=plan.send,
            received_at_us=plan.received_at_us,
            service=plan.service,
            priority=plan.priority,
            category=plan.category,
            tier=target.tier,
            backend=target.name,
            model=target.model,
            reason=",".join(reasons),
            cache="bypass" if "bypass" in plan.cache else "miss",
            status=status,
            input_tokens=last.input_tokens,
            cached_input_tokens=last.cached_input_tokens,
            output_tokens=last.output_tokens,
            usage_source=last.usage_source,
            latency_ms=latency_ms,
            first_token_ms=first_token_ms,
            cost_nano_usd=min(sum([attempt.cost_nano_usd for attempt in self.attempts]), LARGEST_NANO_USD),
            baseline_nano_usd=self._baseline(last),
            policy_version=plan.policy_version,
            lease_id=plan.lease_id,
            reserved_nano_usd=plan.reserved_nano_usd,
            features=plan.features,
            attempts=tuple(self.attempts),
        )

    def _worst_case(self, target: Target) -> NanoUsd:
        """At least what was reserved; more where failover went to a dearer backend than was reserved for."""
        plan = self._plan
        cap = plan.output_cap or plan.features.max_tokens or target.context_window or UNKNOWN_OUTPUT_CAP
        here = cost(target.price, plan.input_tokens, 0, cap)
        return min(max(plan.reserved_nano_usd, here), LARGEST_NANO_USD)

    def _baseline(self, last: AttemptUsage) -> NanoUsd:
        """What the same tokens would have cost at the baseline; nothing for what was not answered."""
        baseline = self._targets.get(self._plan.baseline)
        if baseline is None or last.outcome != "answered":
            return 0
        return cost(baseline.price, last.input_tokens, last.cached_input_tokens, last.output_tokens)

"""What the dispatcher counts: plain integers on the hot path, made into Prometheus' families as they are scraped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.contracts import RequestUsage
from shared.money import NANO

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class Counts(Collector):
    """By backend and outcome; the backends are the operator's, so the labels are few."""

    def __init__(self) -> None:
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._cost: Counter[str] = Counter()
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def finished(self, usage: RequestUsage) -> None:
        for attempt in usage.attempts:
            self._attempts[attempt.backend, attempt.outcome] += 1
            self._tokens[attempt.backend, "input"] += attempt.input_tokens
            self._tokens[attempt.backend, "output"] += attempt.output_tokens
            self._cost[attempt.backend] += attempt.cost_nano_usd

    def collect(self) -> Iterable[Metric]:
        attempts = CounterMetricFamily(
            "tierwise_attempts", "Calls of backends, by how they ended", labels=["backend", "outcome"]
        )
        for labels, count in list(self._attempts.items()):
            attempts.add_metric(labels, count)
        tokens = CounterMetricFamily(
            "tierwise_tokens", "Tokens, by backend and direction", labels=["backend", "kind"]
        )
        for labels, count in list(self._tokens.items()):
            tokens.add_metric(labels, count)
        cost = CounterMetricFamily("tierwise_cost_usd", "What was spent, in US dollars", labels=["backend"])
        for backend, nano_usd in list(self._cost.items()):
            cost.add_metric([backend], nano_usd / NANO)
        yield from (attempts, tokens, cost)
        for name, (documentation, read) in self.gauges.items():
            yield GaugeMetricFamily(name, documentation, value=read())

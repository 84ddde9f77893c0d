"""What the dispatcher counts: plain integers on the hot path, made into Prometheus' families as they are scraped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.contracts import RequestUsage
from shared.money import NANO

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class Sum:
    """Of all attempts at one backend that ended in one way."""

    __slots__ = ("attempts", "cost_nano_usd", "input_tokens", "output_tokens")

    def __init__(self) -> None:
        self.attempts = self.input_tokens = self.output_tokens = self.cost_nano_usd = 0


class Counts(Collector):
    """By backend and outcome; the backends are the operator's, so the labels are few."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, str], Sum] = defaultdict(Sum)
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def finished(self, usage: RequestUsage) -> None:
        for attempt in usage.attempts:
            total = self._sums[attempt.backend, attempt.outcome]
            total.attempts += 1
            total.input_tokens += attempt.input_tokens
            total.output_tokens += attempt.output_tokens
            total.cost_nano_usd += attempt.cost_nano_usd

    def collect(self) -> Iterable[Metric]:
        labels = ["backend", "outcome"]
        attempts = CounterMetricFamily("tierwise_attempts", "Calls of backends, by how they ended", labels=labels)
        tokens = CounterMetricFamily("tierwise_tokens", "Tokens, by direction", labels=[*labels, "direction"])
        cost = CounterMetricFamily("tierwise_cost_usd", "What was spent, in US dollars", labels=labels)
        for key, total in list(self._sums.items()):
            attempts.add_metric(key, total.attempts)
            tokens.add_metric([*key, "input"], total.input_tokens)
            tokens.add_metric([*key, "output"], total.output_tokens)
            cost.add_metric(key, total.cost_nano_usd / NANO)
        yield from (attempts, tokens, cost)
        for name, (documentation, read) in self.gauges.items():
            yield GaugeMetricFamily(name, documentation, value=read())

"""What the classifier counts: plain integers, made into Prometheus' families as they are scraped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from shared.contracts import PlanRefused, RequestPlanned

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class Counts(Collector):
    def __init__(self) -> None:
        self._planned: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[str] = Counter()

    def planned(self, plan: RequestPlanned) -> None:
        self._planned[plan.category, plan.tier] += 1

    def refused(self, refused: PlanRefused) -> None:
        self._refused[refused.refusal.code] += 1

    def collect(self) -> Iterable[Metric]:
        planned = CounterMetricFamily(
            "tierwise_plans", "Requests that were planned, by category and tier", labels=["category", "tier"]
        )
        for labels, count in list(self._planned.items()):
            planned.add_metric(labels, count)
        refused = CounterMetricFamily("tierwise_refusals", "Requests that were refused, by code", labels=["code"])
        for code, count in list(self._refused.items()):
            refused.add_metric([code], count)
        yield from (planned, refused)

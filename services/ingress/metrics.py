"""What the ingress counts: plain integers on the hot path, made into Prometheus' families as they are scraped."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

# Seconds. A router adds less than a millisecond, a model answers in minutes: both must be seen.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Counts(Collector):
    def __init__(self) -> None:
        self._statuses: Counter[int] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def ended(self, status: int, seconds: float) -> None:
        self._statuses[status] += 1
        self._buckets[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def refused(self, status: int, times: int = 1) -> None:
        """At the door: it never was under way, so it has no duration."""
        self._statuses[status] += times

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "tierwise_requests", "Requests, by the status of their answer", labels=["status"]
        )
        for status, count in list(self._statuses.items()):
            requests.add_metric([str(status)], count)
        yield requests
        buckets, total = [], 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._buckets, strict=True):
            total += count
            buckets.append((bound, total))
        duration = HistogramMetricFamily(
            "tierwise_request_duration_seconds", "From the request's last byte to its answer's"
        )
        duration.add_metric([], buckets=buckets, sum_value=self._seconds)
        yield duration
        for name, (documentation, read) in self.gauges.items():
            yield GaugeMetricFamily(name, documentation, value=read())

"""Which runs count. Fixed before anything was measured; who changes it measures something else.

A run during which processes other than the subject, the load and the backends used more than a quarter of a core
is thrown out and repeated, at most twice. Time that the host of a virtual machine kept for itself is counted as
theirs; the kernel's own threads are not, since they work for the subject. The subjects that wait for their turn are
others too. A figure is the median of the clean runs; errors and stalls are summed up, and of what is called largest
or peak it is the largest. If a subject has no clean run in a case, its least disturbed run is shown, and said to be
disturbed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.taken import cpu_of_others, snapshot

LIMIT_CORES = 0.25
TRIES = 3  # of each run
SUMMED = frozenset({"errors", "stalled", "slow_consumers"})
LARGEST = frozenset({"gap_max_ms", "peak_mib"})
RULE = " ".join((__doc__ or "").split("\n\n", 1)[1].split())

SETTLED_WITHIN_S = 10.0
LOOK_S = 0.2


@dataclass(frozen=True)
class Disturbance:
    cores: float
    by: str  # the name of whoever used most

    @property
    def is_too_much(self) -> bool:
        return self.cores > LIMIT_CORES


def disturbance(taken_s: Mapping[str, float], seconds: float) -> Disturbance:
    """`taken_s`: CPU time of others, by name."""
    return Disturbance(max(0.0, sum(taken_s.values())) / seconds, max(taken_s, key=lambda name: taken_s[name]))


def figure(name: str, values: Sequence[float]) -> float:
    """What is told of the runs' values of one figure."""
    if name in SUMMED:
        return sum(values)
    return max(values) if name in LARGEST else median(values)


def settle() -> None:
    """Waits until nobody uses more than the limit, but not for ever: the rule decides anyway."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while time.monotonic() < deadline:
        before = snapshot()
        time.sleep(LOOK_S)
        if not disturbance(cpu_of_others(before, snapshot(), ()), LOOK_S).is_too_much:
            return

"""What was to be reached, and what was. Pure: figures in, sentences' parts out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.cases import LARGE, PACED, PLAIN_1, PLAIN_64, SLOW, UNPACED
from bench.router import FRAME
from bench.series import Measured
from bench.subject import DIRECT, LITELLM, NGINX, TENSORZERO, TIERWISE

Cases = Mapping[str, Mapping[str, Measured]]  # by case, by subject


@dataclass(frozen=True)
class Target:
    figure: str
    what: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def limit(self) -> str:
        return f"≤ {self.at_most:,g}" if self.at_most is not None else f"≥ {self.at_least:,g}"

    def is_reached(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)


# At 64 connections and 0.6 KB where nothing else is said. The first figures are the frame's: ingress, classifier,
# dispatcher and NATS. A stream stalls when it is silent for a second.
TARGETS = (
    Target("frame_us", "CPU µs a request: ingress, classifier, dispatcher, NATS", at_most=55),
    Target("ledger_us", "CPU µs a record in the ledger, until it has taken in all", at_most=15),
    Target("all_but_postgres_us", "CPU µs a request of all processes but PostgreSQL", at_most=100),
    Target("requests_per_second", "requests a second", at_least=12_000),
    Target("errors", "requests that failed", at_most=0),
    Target("ratio_tensorzero", "times TensorZero's requests a second", at_least=1.9),
    Target("ratio_litellm", "times LiteLLM's requests a second", at_least=70),
    Target("p50_added_ms", "ms added at one connection, p50", at_most=0.5),
    Target("unpaced_us", "CPU µs a chunk, unpaced streams", at_most=15),
    Target("paced_us", "CPU µs a chunk, one each 10 ms", at_most=50),
    Target("slow_cores", "cores for 1,000 slow streams", at_most=1.5),
    Target("slow_mib", "MiB for 1,000 slow streams", at_most=250),
    Target("slow_stalled", "of 1,000 slow streams stalled or failed", at_most=0),
    Target("large_unanswered", "of 64 bodies of 20 MiB not answered", at_most=0),
    Target("large_mib", "MiB at the peak of 64 bodies of 20 MiB", at_most=600),
    Target("large_slow_consumers", "slow consumers at 64 bodies of 20 MiB", at_most=0),
    Target("soak_growth_mib", "MiB by which the process that grew most grew over the soak", at_most=10),
)


# What nothing is asked of, and everything is read by.
YARDSTICKS = {
    "pace_ms": "CPU ms of a fixed piece of work meanwhile: the machine's pace",
    "nginx_us": "CPU µs a request of nginx' proxy_pass: the least, on this machine",
    "cpu_ratio_tensorzero_to_frame": "TensorZero's CPU a request, in times of the frame's",
    "cpu_ratio_tensorzero_to_all": "the same, of all processes' with PostgreSQL",
    "cpu_ratio_litellm_to_frame": "LiteLLM's CPU a request, in times of the frame's",
    "cpu_ratio_litellm_to_all": "the same, of all processes' with PostgreSQL",
}


@dataclass(frozen=True)
class Verdict:
    figure: str
    what: str
    limit: str
    value: float | None  # None: not measured
    is_reached: bool | None
    is_clean: bool  # else no run was undisturbed


def main_figures(cases: Cases) -> dict[str, float]:
    """Those that are there, by the names of `TARGETS` and `YARDSTICKS`."""
    figures: dict[str, float] = {}
    many, one, slow, large = (_of(cases, case) for case in (PLAIN_64, PLAIN_1, SLOW, LARGE))
    if many:
        figures |= {
            "requests_per_second": many.figures["per_second"],
            "pace_ms": many.pace_ms,
            "errors": many.figures["errors"],
            "frame_us": many.frame_us or 0.0,
            "ledger_us": many.figures["ledger_us"],
            "postgres_us": many.figures["postgres_us"],
            "all_but_postgres_us": _all_but_postgres(many),
        }
        for peer, name in ((TENSORZERO, "tensorzero"), (LITELLM, "litellm")):
            figures |= _ratios(many, _of(cases, PLAIN_64, peer), name)
    nginx = _of(cases, PLAIN_64, NGINX)
    if nginx:
        figures["nginx_us"] = sum(nginx.cpu_us.values())
    direct = _of(cases, PLAIN_1, DIRECT)
    if one and direct:
        figures["p50_added_ms"] = one.figures["p50_ms"] - direct.figures["p50_ms"]
    for case, name in ((UNPACED, "unpaced_us"), (PACED, "paced_us")):
        measured = _of(cases, case)
        if measured:
            figures[name] = measured.frame_us or 0.0
    if slow:
        figures["slow_cores"] = sum(slow.cores[name] for name in FRAME)
        figures["slow_mib"] = sum(slow.memory_mib[name] for name in FRAME)
        figures["slow_stalled"] = slow.figures["stalled"] + slow.figures["errors"]
    if large:
        figures["large_unanswered"] = large.figures["errors"]
        figures["large_mib"] = large.figures["peak_mib"]
        figures["large_slow_consumers"] = large.figures["slow_consumers"]
    return figures


def verdicts(figures: Mapping[str, float], cases: Cases) -> list[Verdict]:
    """In the order of `TARGETS`."""
    return [
        Verdict(
            target.figure,
            target.what,
            target.limit,
            figures.get(target.figure),
            target.is_reached(figures[target.figure]) if target.figure in figures else None,
            _is_clean(target.figure, cases),
        )
        for target in TARGETS
    ]


def as_json(given: list[Verdict]) -> list[dict[str, Any]]:
    return [asdict(one) for one in given]


def _of(cases: Cases, case: str, subject: str = TIERWISE) -> Measured | None:
    measured = cases.get(case, {}).get(subject)
    return None if measured is None or measured.failed else measured


def _all_but_postgres(measured: Measured) -> float:
    """The ledger's share is what a record costs it: it may lag behind the load."""
    others = sum(cpu_us for name, cpu_us in measured.cpu_us.items() if name not in {"postgres", "ledger"})
    return others + measured.figures["ledger_us"]


def _ratios(ours: Measured, peer: Measured | None, name: str) -> dict[str, float]:
    """Of requests a second; of CPU, against our frame, and against all that we have, PostgreSQL too."""
    if peer is None or not peer.figures["per_second"]:
        return {}
    theirs = sum(peer.cpu_us.values())
    ours_all = _all_but_postgres(ours) + ours.figures["postgres_us"]
    return {
        f"ratio_{name}": ours.figures["per_second"] / peer.figures["per_second"],
        f"cpu_ratio_{name}_to_frame": theirs / (ours.frame_us or 1.0),
        f"cpu_ratio_{name}_to_all": theirs / ours_all,
    }


_CASES_OF = {
    "p50_added_ms": (PLAIN_1,),
    "unpaced_us": (UNPACED,),
    "paced_us": (PACED,),
    "slow": (SLOW,),
    "large": (LARGE,),
    "soak": (),
}


def _is_clean(figure: str, cases: Cases) -> bool:
    names = next((found for start, found in _CASES_OF.items() if figure.startswith(start)), (PLAIN_64,))
    peers = {"ratio_tensorzero": TENSORZERO, "ratio_litellm": LITELLM, "p50_added_ms": DIRECT}
    subjects = {TIERWISE, peers.get(figure, TIERWISE)}
    return all(
        cases[case][name].is_clean for case in names if case in cases for name in subjects if name in cases[case]
    )

"""Runs of one case in turn, A B C A B C …, and what is told of them. bench/noise.py says which runs count."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench import noise
from bench.cases import Case
from bench.measure import Run, run, warm_up
from bench.processes import CannotRun
from bench.router import FRAME
from bench.subject import Running


@dataclass(frozen=True)
class Measured:
    """One case on one subject. Empty where `failed` says why."""

    figures: dict[str, float] = field(default_factory=dict)
    cpu_us: dict[str, float] = field(default_factory=dict)
    cores: dict[str, float] = field(default_factory=dict)
    memory_mib: dict[str, float] = field(default_factory=dict)
    pace_ms: float = 0.0
    runs: int = 0
    thrown_out: int = 0
    is_clean: bool = True
    others_cores: float = 0.0  # the most of the runs that count
    each: list[dict[str, float]] = field(default_factory=list)  # what the runs that count had, in their order
    failed: str = ""

    @property
    def frame_us(self) -> float | None:
        """What a request passes; None for a subject that has no such parts."""
        return sum(self.cpu_us[name] for name in FRAME) if set(FRAME) <= set(self.cpu_us) else None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "frame_us": self.frame_us}


def measure(
    case: Case,
    alive: Mapping[str, Running],
    backends: Collection[int],
    on_run: Callable[[str], None],
    say: Callable[[str], None],
) -> dict[str, Measured]:
    """`on_run` is called before each planned run, with the subject's name."""
    subjects = {name: running for name, running in alive.items() if case.only is None or name in case.only}
    clean: dict[str, list[Run]] = {name: [] for name in subjects}
    thrown: dict[str, list[Run]] = {name: [] for name in subjects}
    failed: dict[str, str] = {}
    for turn in range(case.rounds):
        for name, running in subjects.items():
            on_run(name)
            if name in failed:
                continue
            try:
                if turn == 0:
                    warm_up(case, running)
                _run_until_clean(case, running, backends, clean[name], thrown[name], say)
            except CannotRun as error:
                failed[name] = str(error)
                say(f"{case.name}: {name} failed: {error}")
    return {
        name: Measured(failed=failed[name]) if name in failed else told(clean[name], thrown[name])
        for name in subjects
    }


def _run_until_clean(
    case: Case,
    running: Running,
    backends: Collection[int],
    clean: list[Run],
    thrown: list[Run],
    say: Callable[[str], None],
) -> None:
    for _ in range(noise.TRIES):
        done = run(case, running, backends)
        if not done.others.is_too_much:
            clean.append(done)
            return
        thrown.append(done)
        say(f"{case.name}: a run thrown out: {done.others.cores:.2f} cores used by others, most by {done.others.by}")


def told(clean: Sequence[Run], thrown: Sequence[Run]) -> Measured:
    """Raises ValueError where there is no run at all."""
    counted = clean or [min(thrown, key=lambda one: one.others.cores)]
    return Measured(
        figures=_told([one.figures for one in counted]),
        cpu_us=_told([one.cpu_us for one in counted]),
        cores=_told([one.cores for one in counted]),
        memory_mib=_told([one.memory_mib for one in counted]),
        pace_ms=median(one.pace_ms for one in counted),
        runs=len(counted),
        thrown_out=len(thrown),
        is_clean=bool(clean),
        others_cores=max(one.others.cores for one in counted),
        each=[
            {
                "per_second": one.figures["per_second"],
                "cpu_us": sum(one.cpu_us.values()),
                "pace_ms": one.pace_ms,
                "others_cores": one.others.cores,
            }
            for one in counted
        ],
    )


def _told(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: noise.figure(name, [one[name] for one in runs]) for name in runs[0]}

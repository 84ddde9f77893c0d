"""`python -m bench`: measures, shows tables, and keeps the figures in bench/results/."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import facts, noise, report, results, targets
from bench.cases import Case, cases
from bench.processes import CannotRun
from bench.series import Measured, measure
from bench.soak import Soak, soak
from bench.subject import DIRECT, LITELLM, NGINX, TENSORZERO, TIERWISE, Running, Subject, check_answers
from bench.subjects import backends, subjects
from bench.taken import PROC

RESULTS = Path(__file__).parent / "results"
CACHE = Path(".bench")
SHORT = {"direct": DIRECT, "nginx": NGINX, "tierwise": TIERWISE, "tensorzero": TENSORZERO, "litellm": LITELLM}
PEERS = frozenset({TENSORZERO, LITELLM})


@dataclass(frozen=True)
class Whole:
    """All that one run has found."""

    cases: dict[str, dict[str, Measured]]
    unavailable: dict[str, str]
    soak: Soak | None


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    try:
        _run(_options())
    except KeyboardInterrupt:
        sys.exit(130)


def _run(options: argparse.Namespace) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    if options.history:
        console.print(report.history_table(results.kept(options.results)))
        return
    if not PROC.exists():
        sys.exit("python -m bench reads what processes take from /proc, which only Linux has")
    chosen = _chosen(options)
    began, at = time.monotonic(), datetime.now(UTC)
    machine, versions = facts.machine(), facts.versions()
    whole = _measure_all(console, chosen, options)
    main_figures = targets.main_figures(whole.cases)
    if whole.soak and whole.soak.most_mib is not None:
        main_figures["soak_growth_mib"] = whole.soak.most_mib
    verdicts = targets.verdicts(main_figures, whole.cases)
    result = {
        "schema": results.SCHEMA,
        "at": at.isoformat(timespec="seconds"),
        "took_s": round(time.monotonic() - began),
        "quick": options.quick,
        "machine": machine,
        "versions": versions,
        "load": facts.loaded_by(),
        "backend": facts.answered_by(),
        "noise_rule": {"text": noise.RULE, "limit_cores": noise.LIMIT_CORES, "tries": noise.TRIES},
        "unavailable": whole.unavailable,
        "cases": results.cases_as_json(chosen, whole.cases),
        "soak": whole.soak.as_json() if whole.soak else None,
        "main": main_figures,
        "targets": targets.as_json(verdicts),
    }
    file = results.keep(result, options.results)  # before anything is shown: that may be cut off
    report.show(console, chosen, whole.cases, whole.unavailable)
    if whole.soak:
        console.print(report.soak_table(whole.soak))
    if main_figures:
        console.print(report.targets_table(verdicts, main_figures))
    console.print(f"kept in {file}; took {result['took_s']} s")
    if TIERWISE in whole.unavailable:
        sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="What a request costs, side by side with what else there is: about a quarter of an hour.",
        epilog="Example: python -m bench --quick --only direct tierwise --cases plain-64 plain-1",
    )
    every = [case.name for case in cases(quick=False)]
    parser.add_argument("--quick", action="store_true", help="one short run each of what matters most: two minutes")
    parser.add_argument(
        "--only", nargs="+", choices=SHORT, metavar="NAME", help=f"these subjects: {', '.join(SHORT)}"
    )
    parser.add_argument("--no-peers", action="store_true", help="without TensorZero and LiteLLM")
    parser.add_argument("--cases", nargs="+", choices=every, metavar="CASE", help=f"these cases: {', '.join(every)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="runs of each subject in each case")
    parser.add_argument(
        "--soak",
        type=int,
        metavar="N",
        help="then N requests more, and is memory flat? (not done; 1000000 is the aim)",
    )
    parser.add_argument("--history", action="store_true", help="measure nothing; show how the figures went so far")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the peers' environments (.bench)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the figures (bench/results)")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Case]:
    chosen = cases(quick=options.quick)
    if options.cases:
        known = {case.name: case for case in [*cases(quick=False), *chosen]}
        chosen = [known[name] for name in options.cases]
    return [case if options.rounds is None else replace(case, rounds=options.rounds) for case in chosen]


def _is_wanted(subject: Subject, options: argparse.Namespace) -> bool:
    if options.only:
        return subject.name in {SHORT[short] for short in options.only}
    return not (options.no_peers and subject.name in PEERS)


def _measure_all(console: Console, chosen: list[Case], options: argparse.Namespace) -> Whole:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # The system's own folders hold sockets, whose paths must be short, and are entered by another user.
    with (
        tempfile.TemporaryDirectory(prefix="tierwise-bench-") as name,
        Progress(*columns, console=console, refresh_per_second=2) as progress,
        ExitStack() as started,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        task = progress.add_task("starting", total=None)
        to = started.enter_context(backends(folder))
        wanted = [each for each in subjects(to, folder, options.cache) if _is_wanted(each, options)]
        alive, unavailable = _start(wanted, started, lambda what: progress.update(task, description=what))
        runs = sum(case.rounds for case in chosen for name in alive if case.only is None or name in case.only)
        progress.update(task, total=runs)
        measured: dict[str, dict[str, Measured]] = {}

        def say(sentence: str) -> None:
            progress.console.print(sentence, markup=False, style="yellow")

        for case in chosen:

            def on_run(subject: str, case: Case = case) -> None:
                progress.update(task, advance=1, description=f"{case.name}: {subject}")

            measured[case.name] = measure(case, alive, [server.pid for server in to.values()], on_run, say)
        soaked = None
        if options.soak and TIERWISE in alive:
            task = progress.add_task("soak", total=options.soak)
            soaked = soak(alive[TIERWISE], options.soak, lambda done: progress.update(task, completed=done))
    return Whole(measured, unavailable, soaked)


def _start(wanted: list[Subject], started: ExitStack, say: Any) -> tuple[dict[str, Running], dict[str, str]]:
    """Those that run and answer, and why the others do not."""
    alive: dict[str, Running] = {}
    unavailable: dict[str, str] = {}
    for subject in wanted:
        say(f"starting {subject.name}")
        try:
            with ExitStack() as starting:
                running = starting.enter_context(subject.start())
                check_answers(running)
                started.push(starting.pop_all())
        except (CannotRun, OSError) as error:
            unavailable[subject.name] = str(error)
        else:
            alive[subject.name] = running
    return alive, unavailable


if __name__ == "__main__":
    main()

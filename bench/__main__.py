"""`python -m bench`: measures, shows a table, and keeps the figures in bench/results/."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.measure import QUICK, Lengths, Measured, measure
from bench.mock_upstream import has_nginx, mock_upstream
from bench.subjects import subjects

RESULTS = Path(__file__).parent / "results"
QUIET = 0.5  # load average up to which a machine has nothing else to do


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="What a request costs: requests a second, added latency, CPU and memory by process.",
        epilog="Example: python -m bench --quick --only Tierwise",
    )
    parser.add_argument("--quick", action="store_true", help="one run of 2 s each instead of three of 5 s")
    parser.add_argument("--connections", type=int, default=64, help="of the load (64)")
    parser.add_argument("--only", metavar="NAME", help="this subject alone, and direct to compare with")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the figures (bench/results)")
    options = parser.parse_args()
    console = Console()
    busy = os.getloadavg()[0]
    if busy > QUIET:
        console.print(f"[yellow]the machine is busy (load average {busy:.1f}): the figures will be too bad[/]")
    measured = _measure_all(console, options.connections, QUICK if options.quick else Lengths(), options.only)
    console.print(_table(measured, options.connections))
    if any(each.cpu_us for each in measured):
        console.print(_processes(measured))
    console.print(f"kept in {_keep(measured, options.connections, busy, options.results)}")


def _measure_all(console: Console, connections: int, lengths: Lengths, only: str | None) -> list[Measured]:
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    # The system's own folders hold sockets, whose paths must be short, and are entered by another user.
    with (
        tempfile.TemporaryDirectory(prefix="tierwise-bench-") as name,
        Progress(*columns, console=console) as progress,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        with mock_upstream(folder) as mock:
            chosen = [each for each in subjects(mock, folder) if only in {None, each.name} or each.name == "direct"]
            task = progress.add_task("", total=len(chosen))
            measured = []
            for subject in chosen:
                progress.update(task, description=f"measuring {subject.name}")
                with subject.start() as running:
                    measured.append(measure(subject.name, running, connections, lengths))
                progress.advance(task)
    return measured


def _table(measured: list[Measured], connections: int) -> Table:
    load, mock = _tools()
    table = Table(title=f"{connections} connections, {os.cpu_count()} cores shared with {load} and {mock}")
    for column in ("", "req/s", "p50 ms", "p99 ms", "not 2xx", "frame CPU µs", "p50 at 1 conn., ms", "added ms"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=not column)
    direct = measured[0]
    for each in measured:
        frame = each.frame_us
        table.add_row(
            each.subject,
            f"{each.many.per_second:,.0f}",
            f"{each.many.p50_ms:.2f}",
            f"{each.many.p99_ms:.2f}",
            f"{each.many.bad + each.one.bad:,}",
            "" if frame is None else f"{frame:.1f}",
            f"{each.one.p50_ms:.3f}",
            "" if each is direct else f"{each.one.p50_ms - direct.one.p50_ms:.3f}",
        )
    return table


def _processes(measured: list[Measured]) -> Table:
    table = Table(title="by process")
    for column in ("", "process", "CPU µs a request", "MiB"):
        table.add_column(column, justify="left" if column in {"", "process"} else "right")
    for each in measured:
        for name, cpu_us in each.cpu_us.items():
            table.add_row(each.subject, name, f"{cpu_us:.1f}", f"{each.rss_mib[name]:.0f}")
    return table


def _keep(measured: list[Measured], connections: int, busy: float, folder: Path) -> Path:
    """One small file a run, so that a change of the figures can be dated."""
    at = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{at:%Y-%m-%d-%H%M%S}.json"
    figures = {
        "at": at.isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()},
        "load": _tools()[0],
        "mock": _tools()[1],
        "connections": connections,
        "load_average_before": busy,
        "measured": [{**asdict(each), "frame_us": each.frame_us} for each in measured],
    }
    file.write_text(json.dumps(figures, indent=1) + "\n")
    return file


def _tools() -> tuple[str, str]:
    """What loads and what answers here."""
    return "wrk" if shutil.which("wrk") else "bench.load", "nginx" if has_nginx() else "bench.mock_upstream"


if __name__ == "__main__":
    main()

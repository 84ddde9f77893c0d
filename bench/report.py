"""What a run is told as: a table a case, Tierwise by process, the targets, and the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.cases import LARGE, PLAIN_1, SLOW, Case
from bench.router import FRAME
from bench.series import Measured
from bench.soak import Soak
from bench.subject import DIRECT, TIERWISE
from bench.targets import TARGETS, YARDSTICKS, Cases, Verdict

HISTORY_RUNS = 8  # as many as a screen is wide

# Column: figure of a run, and how it is written.
PLAIN = {"req/s": ("per_second", ",.0f"), "p50 ms": ("p50_ms", ",.3f"), "p99 ms": ("p99_ms", ",.2f")}
STREAMED = {
    "chunks/s": ("per_second", ",.0f"),
    "first p50 ms": ("first_p50_ms", ",.2f"),
    "first p99 ms": ("first_p99_ms", ",.1f"),
    "longest gap ms": ("gap_max_ms", ",.0f"),
}
SLOW_TOO = {"stalled": ("stalled", ",.0f")}
TOGETHER = {
    "answered": ("requests", ",.0f"),
    "after s": ("seconds", ",.1f"),
    "peak MiB": ("peak_mib", ",.0f"),
    "slow consumers": ("slow_consumers", ",.0f"),
}


def show(console: Console, chosen: Sequence[Case], cases: Cases, unavailable: Mapping[str, str]) -> None:
    for case in chosen:
        if case.name in cases:
            console.print(_case(case, cases[case.name], unavailable))
    ours = {case: cases[case.name][TIERWISE] for case in chosen if TIERWISE in cases.get(case.name, {})}
    if ours:
        console.print(_processes(ours))
        console.print(_books(ours))
    for name, why in unavailable.items():
        console.print(f"[yellow]{name} was not measured:[/] ", end="")
        console.print(why, markup=False)


def targets_table(verdicts: Sequence[Verdict], figures: Mapping[str, float]) -> Table:
    table = _table("targets", "", "target", "measured", "", "")
    for one in verdicts:
        if one.value is None:
            table.add_row(one.what, one.limit, "", "not measured", "")
            continue
        word = "[green]reached[/]" if one.is_reached else "[red]missed[/]"
        table.add_row(one.what, one.limit, f"{one.value:,.4g}", word, "" if one.is_clean else "disturbed")
    for name, what in YARDSTICKS.items():
        if name in figures:
            table.add_row(what, "", f"{figures[name]:,.4g}", "", "", style="dim")
    return table


def soak_table(soak: Soak) -> Table:
    names = list(soak.samples[0].memory_mib)
    table = _table(f"memory over {soak.requests:,} requests, MiB ({soak.errors:,} failed)", "requests", *names)
    for one in soak.samples:
        table.add_row(f"{one.requests:,}", *(f"{one.memory_mib[name]:.0f}" for name in names))
    table.add_row("growth", *(f"{soak.growth_mib[name]:+.1f}" for name in names), style="bold")
    return table


def history_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """One column a run, the newest last; a row a figure."""
    results = [one for one in results if one["main"]][-HISTORY_RUNS:]
    columns = [f"{one['at'][5:16].replace('T', ' ')}\n{_commit(one)}" for one in results]
    table = _table("from run to run (a star: a quick one)", "", "target", *columns)
    rows = [(target.figure, target.what, target.limit) for target in TARGETS]
    for figure, what, limit in [*rows, *((figure, what, "") for figure, what in YARDSTICKS.items())]:
        values = [_in_history(one, figure) for one in results]
        if any(values):
            table.add_row(what, limit, *values)
    return table


def _commit(result: Mapping[str, Any]) -> str:
    """Abbreviated, and a plus where there was more than it."""
    commit, dirty, _ = str(result["versions"]["commit"]).partition("-dirty")
    return commit[:7] + ("+" if dirty else "")


def _in_history(result: Mapping[str, Any], figure: str) -> str:
    value = result["main"].get(figure)
    return "" if value is None else f"{value:,.4g}{'*' if result['quick'] else ''}"


def _case(case: Case, measured: Mapping[str, Measured], unavailable: Mapping[str, str]) -> Table:
    columns = dict({"plain": PLAIN, "streams": STREAMED, "together": TOGETHER}[case.wanted.kind])
    if case.name == SLOW:
        columns |= SLOW_TOO
    unit = {"requests": "a request", "chunks": "a chunk"}[case.per]
    added = ["added ms"] if case.name == PLAIN_1 else []
    last = ["cores"] if case.name == SLOW else []
    heads = [*columns, *added, "failed", f"CPU µs {unit}", "of it frame", *last, "MiB", "pace", "runs"]
    table = _table(case.title, "", *heads)
    direct = measured.get(DIRECT)
    for name, one in measured.items():
        if one.failed:
            table.add_row(name, "failed", *[""] * (len(heads) - 1))
            continue
        cells = [_cell(one, *column) for column in columns.values()]
        if added:
            cells.append("" if direct is None or one is direct else _added(one, direct))
        cells += [f"{one.figures['errors']:,.0f}", _cpu(one), "" if one.frame_us is None else f"{one.frame_us:,.1f}"]
        if last:
            cells.append(f"{sum(one.cores.values()):.2f}" if one.cores else "")
        cells += [f"{sum(one.memory_mib.values()):,.0f}" if one.memory_mib else "", f"{one.pace_ms:.2f}", _runs(one)]
        table.add_row(name, *cells, style="bold" if name == TIERWISE else "")
    for name in unavailable:
        if case.only is None or name in case.only:
            table.add_row(name, "not measured", *[""] * (len(heads) - 1), style="dim")
    return table


def _cell(one: Measured, figure: str, shape: str) -> str:
    return format(one.figures[figure], shape) if figure in one.figures else ""


def _added(one: Measured, direct: Measured) -> str:
    return f"{one.figures['p50_ms'] - direct.figures['p50_ms']:.3f}"


def _cpu(one: Measured) -> str:
    return f"{sum(one.cpu_us.values()):,.1f}" if one.cpu_us else ""


def _runs(one: Measured) -> str:
    thrown = f", {one.thrown_out} out" if one.thrown_out else ""
    return f"{one.runs}{thrown}" if one.is_clean else f"disturbed ({one.others_cores:.2f}){thrown}"


def _processes(ours: Mapping[Case, Measured]) -> Table:
    """CPU by process, and the memory of the first case."""
    shown = [(case, one) for case, one in ours.items() if not one.failed and case.name != LARGE]
    table = _table("Tierwise, CPU µs by process", "", *(case.name for case, _ in shown), "MiB")
    if not shown:
        return table
    first = shown[0][1]
    for name in first.cpu_us:
        cells = [f"{one.cpu_us[name]:,.1f}" for _, one in shown]
        table.add_row(name, *cells, f"{first.memory_mib[name]:.0f}", style="bold" if name in FRAME else "")
    return table


def _books(ours: Mapping[Case, Measured]) -> Table:
    table = _table(
        "usage, until the ledger has taken in all", "", "records", "ledger µs", "PostgreSQL µs", "behind s", ""
    )
    for case, one in ours.items():
        if one.failed:
            continue
        figures = one.figures
        table.add_row(
            case.name,
            f"{figures['records']:,.0f}",
            f"{figures['ledger_us']:,.1f}",
            f"{figures['postgres_us']:,.1f}",
            f"{figures['behind_s']:,.1f}",
            "" if figures["drained"] == 1 else "not drained in time",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=not i)
    return table

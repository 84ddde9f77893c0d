"""`tierwise statement`: a day's books, by service: what was there before, what was spent where, and what that makes.

Asked of a running Tierwise over HTTP (`GET /api/spend`), so that it works from wherever an operator sits, with the
same token, and shows what everybody else is shown.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tierwise.client import NoAnswer, get

COLUMNS = (
    "day", "service", "entry", "tier", "backend", "requests", "input_tokens", "output_tokens", "amount_nano_usd",
    "amount_usd",
)  # fmt: skip
WIDEST = 1000  # characters


# A spreadsheet runs a cell that begins so as a formula, and callers name services as they please (CSV injection).
# A quote in front makes it text; it stands before a name's own too, so that no two names look the same.
FORMULA_BEGINS = tuple("=+-@\t\r\n'\uff1d\uff0b\uff0d\uff20")  # the last four are the wide = + - @


class Line(NamedTuple):
    """One entry. `counts` are requests, input tokens, output tokens; None: it is no spend but a sum."""

    service: str
    entry: str  # opening, budget, floor, validation, lost, total, closing, cache_saved, batch_saved
    tier: str
    backend: str
    counts: tuple[int, int, int] | None
    nano_usd: int
    usd: str


def run(day: str, service: str, form: str) -> int:
    """As a table, csv or json. The exit code: 1 where there is no answer."""
    parameters = {"day": day} | ({"service": service} if service else {})
    try:
        told = get("/api/spend", parameters, os.environ, Path.cwd())
    except NoAnswer as none:
        print(none, file=sys.stderr)
        return 1
    if form == "json":
        print(json.dumps(told, indent=2))
    elif form == "csv":
        write_csv(told, sys.stdout)
    else:
        # In a pipe no line is cut for a terminal's sake.
        Console(width=None if sys.stdout.isatty() else WIDEST).print(table(told))
    return 0


def lines(told: dict[str, Any]) -> Iterator[Line]:
    """Each service: its opening, each line of spend, what they make, and apart what cache and batch saved."""
    for each in told["services"]:
        service = each["service"]
        yield _sum(service, "opening", each)
        for line in each["lines"]:
            counts = (line["requests"], line["input_tokens"], line["output_tokens"])
            amount = line["cost_nano_usd"], line["cost_usd"]
            yield Line(service, line["payer"], line["tier"], line["backend"], counts, *amount)
        for entry in ("total", "closing", "cache_saved", "batch_saved"):
            yield _sum(service, entry, each)


def _sum(service: str, entry: str, amounts: dict[str, Any]) -> Line:
    return Line(service, entry, "", "", None, amounts[f"{entry}_nano_usd"], amounts[f"{entry}_usd"])


def write_csv(told: dict[str, Any], out: TextIO) -> None:
    """A name that a spreadsheet would take for a formula has a `'` in front. JSON has every name as it is."""
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    for line in lines(told):
        counts = line.counts or ("", "", "")
        names = map(_as_text, (line.service, line.entry, line.tier, line.backend))
        rows.writerow((told["first"], *names, *counts, line.nano_usd, line.usd))


def _as_text(name: str) -> str:
    return f"'{name}" if name.startswith(FORMULA_BEGINS) else name


def table(told: dict[str, Any]) -> Table:
    shown = Table(title=f"Statement of {told['first']}", title_justify="left", caption_justify="left")
    for name in ("service", "entry", "tier", "backend"):
        shown.add_column(name, overflow="fold")
    for name in ("requests", "tokens in", "tokens out", "USD"):
        shown.add_column(name, justify="right", no_wrap=True)  # where there is little room, names give way
    for line in lines(told):
        is_first, is_sum = line.entry == "opening", line.counts is None
        if line.entry in {"cache_saved", "batch_saved"} and not line.nano_usd:
            continue
        if is_first and shown.row_count:
            shown.add_section()
        counts = ("", "", "") if line.counts is None else tuple(f"{count:,}" for count in line.counts)
        names = (line.service if is_first else "", line.entry.replace("_", " "), line.tier, line.backend)
        # As text: what a caller calls his service is not to be read as markup.
        shown.add_row(*map(Text, (*names, *counts, line.usd)), style="bold" if is_sum and not is_first else None)
    total = told["total"]
    shown.caption = (
        f"spent {total['total_usd']} USD: budget {total['budget_usd']}, floor {total['floor_usd']}, "
        f"validation {total['validation_usd']}, lost leases {total['lost_usd']}"
    )
    return shown

"""`python -m bench.classifier FILE`: what the classifier makes of labelled requests, as tables."""

from __future__ import annotations

import argparse
import gc
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.classifier.families import set_aside
from bench.classifier.judged import Judged, Unlabelled, judge_all, savings_recall, unsafe
from shared.contracts import CATEGORIES

COSTLY = 10
FEWEST = 5  # of a language that gets a row of its own


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.classifier",
        description="Confusion, unsafe rate and savings recall of the classifier on labelled requests.",
        epilog="Example: make classifier-report DATA=labelled.jsonl",
    )
    parser.add_argument("file", type=Path, help='JSON lines: {"category", "request", and "source" or "family"}')
    parser.add_argument(
        "--mistakes", type=int, default=COSTLY, metavar="N", help=f"show the N most costly ({COSTLY})"
    )
    options = parser.parse_args()
    # No markup: prompts have brackets of their own.
    console = Console(width=None if Console().is_terminal else 140, markup=False)
    gc.disable()  # what is kept here for the tables is no part of a decision's time
    try:
        judged = judge_all(options.file)
    except (OSError, Unlabelled) as error:
        parser.error(str(error))
    aside = set_aside(one.family for one in judged)
    parts = [("all", judged)]
    if len({one.family for one in judged}) > 2 * len(aside):
        parts += [
            ("families that rules were written by", [one for one in judged if one.family not in aside]),
            (f"the {len(aside)} families set aside", [one for one in judged if one.family in aside]),
        ]
    console.print(_rates(parts))
    for title, part in parts:
        console.print(_confusion(title, part))
    console.print(_by("category", judged, lambda one: one.item.category))
    console.print(_by("language", judged, _language()))
    console.print(_mistakes(judged, options.mistakes))


def _rates(parts: Sequence[tuple[str, list[Judged]]]) -> Table:
    table = _table(
        "Rates, with 95 % intervals by family", "", "requests", "unsafe", "savings recall", "median, p99 µs",
        "system prompt known",
    )  # fmt: skip
    for title, part in parts:
        table.add_row(
            title, str(len(part)), str(unsafe(part)), str(savings_recall(part)),
            _times(one.decided_in_us for one in part), _times(one.known_in_us for one in part),
        )  # fmt: skip
    return table


def _times(took_us: Iterable[float]) -> str:
    """Median and 99th percentile."""
    times = sorted(took_us)
    return f"{times[len(times) // 2]:.0f}, {times[int(0.99 * len(times))]:.0f}"


def _confusion(title: str, judged: Sequence[Judged]) -> Table:
    table = _table(f"Confusion, {title} (rows: what it is)", "", *CATEGORIES)
    counts = Counter((one.item.category, one.verdict.category) for one in judged)
    for category in CATEGORIES:
        table.add_row(category, *(str(counts[category, found] or "·") for found in CATEGORIES))
    return table


def _by(what: str, judged: Sequence[Judged], key: Callable[[Judged], str]) -> Table:
    table = _table(f"By {what}", "", "requests", "unsafe", "savings recall")
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(key(one), []).append(one)
    for name, group in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        if len(group) >= FEWEST:
            table.add_row(name, str(len(group)), str(unsafe(group)), str(savings_recall(group)))
    return table


def _language() -> Callable[[Judged], str]:
    from py3langid import classify  # reads its model, which takes a second

    def language(one: Judged) -> str:
        found: tuple[str, float] = classify(f"{one.chat.system}\n{one.chat.user}")
        return found[0]

    return language


def _mistakes(judged: Sequence[Judged], most: int) -> Table:
    """Unsafe ones first, by how sure we were of them; then easy ones that go to a dear model, by their length."""
    table = _table(
        f"The {most} most costly mistakes", "what it is", "taken for", "margin", "source", "evidence", "asked"
    )
    unsafe_ones = sorted((one for one in judged if one.is_unsafe), key=lambda one: -one.margin)
    missed = sorted((one for one in judged if one.is_missed), key=lambda one: -one.chat.input_tokens)
    for one in [*unsafe_ones, *missed][:most]:
        asked = " ".join((one.chat.system or one.chat.user).split())
        evidence = ", ".join(f"{cue.name} {cue.weight}" for cue in one.verdict.cues)
        table.add_row(
            one.item.category,
            one.verdict.category,
            str(one.margin),
            one.item.source or one.family,
            evidence,
            asked[:60],
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right" if column in CATEGORIES else "left")
    return table


if __name__ == "__main__":
    main()

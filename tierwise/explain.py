"""`tierwise explain`: a chat request in, the decision out. Nothing is called, nothing spent, nothing else need run.

The decision is the classifier's own code, with the config as `tierwise up` would choose it, and no knowledge of the
moment: no budget is spent, every backend is well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import msgspec

from services.classifier import core, features
from services.classifier.book import Book, compile_policy
from services.classifier.explain import Explanation, explain
from services.ingress import errors
from services.ingress.catalogue import with_prices
from services.ingress.head import BadBody, cut
from shared import policy_file
from shared.contracts import MAX_INLINE_BYTES, Refusal, RequestReceived
from shared.policy import PolicyFault
from tierwise.choices import Misused, choose_config

if TYPE_CHECKING:
    from rich.table import Table

# The first run of any code is several times as slow as those in a service that has decided before.
WARM_UP: Final = 20
_HELLO: Final = b'{"messages":[{"role":"user","content":"Say hello."}]}'

# Of a request that nobody sent: the same each time, so that the same request is decided the same.
_RECEIVED: Final = RequestReceived("req_explained", 0, "chat", "", "", 600_000, 0)


def run(source: Path, config: Path | None, *, jsonl: bool) -> int:
    """The exit code: 1 where something could not be decided, 2 where there is nothing to decide by."""
    try:
        rules = read_rules(config, os.environ, Path.cwd())
    except (Misused, PolicyFault) as fault:
        print(fault, file=sys.stderr)
        return 2
    try:
        with _opened(source) as file:
            return _each_line(file, rules) if jsonl else _one(file, rules)
    except _Unreadable as error:
        print(f"{source}: cannot be read: {error}", file=sys.stderr)
        return 2


class Rules(NamedTuple):
    book: Book
    largest: int  # bytes of a body


class _Unreadable(Exception):
    """What is to be explained."""


def read_rules(config: Path | None, environment: Mapping[str, str], folder: Path) -> Rules:
    """By the config that is named, else the environment's, else ./tierwise.yaml. Raises Misused, PolicyFault."""
    path = choose_config(config, environment, folder, demo=None).config
    if path is None:
        raise Misused(
            "there is no config to decide by: name one with --config FILE, or let `tierwise init` write one"
        )
    policy = policy_file.read(path, environment).policy
    rules = Rules(compile_policy(with_prices(policy), 0), policy.server.max_body_bytes)
    for _ in range(WARM_UP):
        decided(_HELLO, rules)
    return rules


def decided(body: bytes, rules: Rules) -> Explanation | Refusal:
    """As door and classifier would, on this machine; a body that is no chat request is refused."""
    if len(body) > rules.largest:
        return errors.too_large(rules.largest)
    book = rules.book
    received = msgspec.structs.replace(_RECEIVED, body_bytes=len(body))
    try:
        inline = cut(body) if len(body) > MAX_INLINE_BYTES else body
        began = perf_counter_ns()
        chat = features.read(inline, len(body))
        core.decide(received, chat, book)
        took = (perf_counter_ns() - began) / 1000
        return explain(received, chat, book, decided_in_us=took)
    except (features.BadRequest, BadBody) as bad:
        return bad.refusal


def _opened(source: Path) -> BinaryIO:
    if str(source) == "-":
        return sys.stdin.buffer
    try:
        return source.open("rb")
    except OSError as error:
        raise _Unreadable(error.strerror) from None


def _one(file: BinaryIO, rules: Rules) -> int:
    try:
        body = file.read(rules.largest + 1)
    except OSError as error:
        raise _Unreadable(error.strerror) from None
    told = decided(body, rules)
    if isinstance(told, Refusal):
        print(told.message, file=sys.stderr)
        return 1
    if sys.stdout.isatty():
        _show(told)
    else:
        print(msgspec.json.format(msgspec.json.encode(told)).decode())
    return 0


def _each_line(file: BinaryIO, rules: Rules) -> int:
    """In order, each written as it is decided, so that a file of any length passes through."""
    failed = False
    for number, line in _lines(file):
        told = decided(line, rules)
        if isinstance(told, Refusal):
            failed = True
            error = {"message": told.message, "code": told.code, "param": told.param or None, "line": number}
            answer = msgspec.json.encode({"error": error})
        else:
            answer = msgspec.json.encode(told)
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()
    return 1 if failed else 0


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    try:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.rstrip(b"\r\n")
    except OSError as error:
        raise _Unreadable(error.strerror) from None


# For people -------------------------------------------------------------------------------------------------


def _show(told: Explanation) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # No markup: brackets are the caller's and the config's own, and mean nothing.
    console = Console(highlight=False, markup=False)
    if told.refused is not None:
        refused = f" {told.refused.status} {told.refused.code}: {told.refused.message}"
        console.print(Text.assemble(("refused", "bold"), refused))
    else:
        first = told.candidates[0]
        because = f", because of {', '.join(told.reason)}"
        console.print(Text.assemble((first.backend, "bold"), " in tier ", (first.tier, "bold"), because))
    if told.observed is not None:
        console.print(f"without `routing.mode: observe` it would be {told.observed.backend} in {told.observed.tier}")
    console.print(f"category {told.category or 'not known'}, decided in {told.decided_in_us:g} µs")
    if told.max_tokens is not None:
        console.print(f"the answer is capped at {told.max_tokens} tokens")
    for table in _tables(told, Table):
        console.print(table)
    if told.estimate is not None:
        cost = told.estimate.cost_usd or "nothing"
        console.print(
            f"about {told.estimate.input_tokens} tokens in and {told.estimate.output_tokens} out: {cost} USD, "
            f"{told.estimate.baseline_usd} at the baseline"
        )


def _tables(told: Explanation, table: type[Table]) -> Iterator[Table]:
    rows: list[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]] = [
        (
            "evidence",
            ("rule", "for", "weight", "found"),
            [(one.rule, one.category, f"{one.weight:+}", ", ".join(one.found)) for one in told.evidence],
        ),
        (
            "candidates",
            ("backend", "tier", "USD"),
            [(one.backend, one.tier, one.price_usd) for one in told.candidates],
        ),
        ("left out", ("backend", "because"), [(one.backend, one.because) for one in told.excluded]),
    ]
    for title, columns, cells in rows:
        if cells:
            shown = table(*columns, title=title, title_justify="left")
            for row in cells:
                shown.add_row(*row)
            yield shown

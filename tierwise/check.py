"""`tierwise check FILE`: each fault of a config is a line; of a good one, what it amounts to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.classifier.book import Book, compile_policy
from services.ingress.catalogue import with_prices
from shared import policy_file
from shared.policy import Backend, Fault, Policy, PolicyFault, encode_published, written_out_keys
from tierwise.advice import advice


def check(file: Path, environment: Mapping[str, str] = os.environ, console: Console | None = None) -> int:
    """The exit code: 1 where something is wrong with the file. Nothing is called; only the environment is asked."""
    console = console or Console(highlight=False)
    try:
        document, policy = read_whole(file, environment)
    except PolicyFault as fault:
        _say(console, *fault.faults)
        return 1
    book = compile_policy(policy, 0)
    _summarise(console, policy, book, file)
    warnings: list[Fault | str] = [*written_out_keys(policy), *_unfit(policy, book), *advice(policy)]
    _say(console, *(f"warning: {told}" for told in document.located(warnings)))
    return 0


def read_whole(file: Path, environment: Mapping[str, str]) -> tuple[policy_file.Document, Policy]:
    """The file, and its policy with all prices. Raises PolicyFault for all that anybody who runs it would refuse."""
    document = policy_file.read(file, environment, with_secrets=True)
    try:
        policy = with_prices(document.policy)
        encode_published(policy)
    except PolicyFault as fault:
        raise PolicyFault(document.located(fault.found)) from None
    return document, policy


def _unfit(policy: Policy, book: Book) -> list[str]:
    return [
        f"backends[{i}] ({backend.name}).provider: {unfit}, so no request goes there"
        for i, backend in enumerate(policy.backends)
        if (unfit := book.backends[backend.name].unfit)
    ]


def _summarise(console: Console, policy: Policy, book: Book, file: Path) -> None:
    tiers, backends = count(len(policy.tiers), "tier"), count(len(policy.backends), "backend")
    _say(console, f"{file} is fine: {tiers}, {backends}.")
    of_tiers = [(tier, one) for tier in policy.tiers for one in policy.backends if one.tier == tier]
    of_categories: dict[str, list[str]] = {tier: [] for tier in policy.tiers}
    for category, place in book.tier_of.items():
        of_categories[policy.tiers[place]].append(category)
    if not console.is_terminal:
        for tier, one in of_tiers:
            _say(console, f"{tier}: {one.name} ({one.provider} {one.model}), {_price(one)} USD per 1M tokens")
        _say(console, *(f"{', '.join(names)}: {tier}" for tier, names in of_categories.items() if names))
        return
    table = Table("tier", "backend", "provider", "model", "USD per 1M tokens, in / out", "categories", box=None)
    named: set[str] = set()
    for tier, backend in of_tiers:
        first = tier not in named
        named.add(tier)
        categories = ", ".join(of_categories[tier]) if first else ""
        table.add_row(
            tier if first else "", backend.name, backend.provider, backend.model, _price(backend), categories
        )
    console.print(table)


def _price(backend: Backend) -> str:
    assert backend.price is not None
    return f"{backend.price.input_per_1m:g} / {backend.price.output_per_1m:g}"


def count(number: int, noun: str) -> str:
    """`1 tier`, `2 tiers`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _say(console: Console, *lines: str) -> None:
    """A line each, however narrow the terminal: they are for grep and for editors too."""
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)

"""The whole router with two backends of ours behind it, and what its ledger says."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.support.caller import Answer, Caller, Crowd, ask
from tests.support.nobody import nobody
from tests.support.running import complete
from tests.support.stack import Stack
from tests.support.upstream import Upstream
from tests.support.wait import wait_until

BACKENDS = ("first-1", "second-1", "nobody-1", "third-1")


@dataclass
class Router:
    """`first` answers for tier small; `second` steps in. In tier large nobody listens at the cheaper backend."""

    stack: Stack
    first: Upstream
    second: Upstream

    @property
    def url(self) -> str:
        return self.stack.url

    def caller(self) -> Caller:
        return Caller(self.url)

    def ask(self, *arguments: Any, **headers: str) -> Answer:
        return ask(self.url, *arguments, **headers)

    def crowd(self) -> Crowd:
        return Crowd(self.url)

    def rows(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        return rows(self.stack.run["database_url"], sql, *arguments)

    def row(self, request_id: str) -> dict[str, Any]:
        """Of `tierwise.requests`, when it is there."""
        sql = "SELECT * FROM tierwise.requests WHERE request_id = $1"
        return wait_until(lambda: self.rows(sql, request_id), f"the row of {request_id}")[0]

    def attempts(self, request_id: str) -> list[dict[str, Any]]:
        self.row(request_id)
        return self.rows("SELECT * FROM tierwise.attempts WHERE request_id = $1 ORDER BY attempt", request_id)

    def answers(self) -> bool:
        try:
            return self.ask().status == 200
        except OSError:
            return False

    def database_answers(self) -> bool:
        try:
            return self.rows("SELECT 1 AS one") == [{"one": 1}]
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    def wait_until_it_answers(self) -> None:
        wait_until(self.answers, "the router to answer again")

    def check_books(self, answered: Sequence[str], *, every_call: bool = True) -> None:
        """Each answered request is in the ledger once, and (`every_call`) each call of a backend too."""
        wait_until(self.database_answers, "PostgreSQL to answer")
        missing = set(answered)
        assert len(missing) == len(answered), "a request id was given out twice"

        def all_there() -> bool:
            found = self.rows("SELECT request_id FROM tierwise.requests WHERE status = 200")
            missing.difference_update(row["request_id"] for row in found)
            return not missing

        wait_until(all_there, f"the ledger to have every answered request; missing: {missing}")
        calls = len(self.first.requests) + len(self.second.requests)
        if every_call:
            wait_until(lambda: self.count("attempts") >= calls, "every call to be recorded")
            assert self.count("attempts") == calls, "a call was recorded twice"
        else:
            assert self.count("attempts") <= calls
        [total] = self.rows("SELECT count(*) AS all, count(DISTINCT request_id) AS each FROM tierwise.requests")
        assert total["all"] == total["each"]
        [spent] = self.rows(
            "SELECT (SELECT sum(cost_nano_usd) FROM tierwise.requests) AS requests, "
            "(SELECT sum(cost_nano_usd) FROM tierwise.attempts) AS attempts"
        )
        assert spent["requests"] == spent["attempts"], "the requests' cost is the sum of their attempts'"
        assert self.count("ledger_conflicts") == self.count("ledger_poison") == self.count("ledger_resends") == 0

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) AS n FROM tierwise.{table}")[0]["n"])


@contextmanager
def running_router(environment: Mapping[str, str] | None = None) -> Iterator[Router]:
    with Upstream() as first, Upstream() as second, nobody() as port:
        text = config(first.url, second.url, f"http://127.0.0.1:{port}/v1")
        with Stack(text, environment={**keys(), **(environment or {})}) as stack:
            yield Router(stack, first, second)


def keys() -> dict[str, str]:
    """The environment that `config` refers to."""
    return {key_of(name): f"key-of-{name}" for name in BACKENDS}


def key_of(backend: str) -> str:
    """The environment variable with its key."""
    return f"KEY_OF_{backend.upper().replace('-', '_')}"


def config(first: str, second: str, nobody: str) -> str:
    backends = "".join(
        f"""
  - name: {name}
    tier: {tier}
    provider: openai-compatible
    base_url: {url}
    model: {name}-model
    api_key: ${{{key_of(name)}}}
    price: {{input_per_1m: {price}, output_per_1m: {2 * price}}}
    context_window: 100000000
    capabilities: [json_schema, tools]
    max_concurrent: 64"""
        for name, tier, url, price in (
            ("first-1", "small", first, 10),
            ("second-1", "small", second, 20),
            ("nobody-1", "large", nobody, 30),
            ("third-1", "large", second, 40),
        )
    )
    return f"""
tiers: [small, large]
backends:{backends}
categories: {{general: small, extraction: small, summarisation: small, classification: small, reasoning: large}}
savings: {{baseline: third-1}}
"""


def rows(database_url: str, sql: str, *arguments: object) -> list[dict[str, Any]]:
    async def fetch() -> list[dict[str, Any]]:
        connection = await asyncpg.connect(database_url, ssl=False)
        try:
            return [dict(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close()

    return complete(fetch())

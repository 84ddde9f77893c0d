"""`tierwise up`, a request, Ctrl-C, and `tierwise up` again: what was recorded is still there."""

import signal

from tests.support.caller import ask
from tests.support.folders import passable_folder
from tests.support.router import config, keys, rows
from tests.support.stack import Stack
from tests.support.upstream import Upstream
from tests.support.wait import wait_until

BOOKS = "SELECT request_id, cost_nano_usd FROM tierwise.requests ORDER BY received_at"


def test_the_next_start_finds_the_ledger_as_it_was_left():
    with passable_folder() as folder, Upstream() as upstream:
        policy = config(upstream.url, upstream.url, upstream.url)
        with Stack(policy, state=folder / "state", environment=keys()) as stack:
            answered = [ask(stack.url).request_id for _ in range(20)]
            assert stack.stop(signal.SIGINT) == 0  # at once: what was answered last is recorded all the same
        with Stack(policy, state=folder / "state", environment=keys()) as stack:
            before = wait_until(lambda: all_of(answered, stack), "the rows of the first run")
            last = ask(stack.url)
            assert last.status == 200
            wait_until(
                lambda: rows(stack.run["database_url"], BOOKS)[20:] == [
                    {"request_id": last.request_id, "cost_nano_usd": 7 * 10_000 + 3 * 20_000}
                ],
                "the new row behind the old ones",
            )  # fmt: skip
            assert rows(stack.run["database_url"], BOOKS)[:20] == before


def all_of(answered, stack):
    found = rows(stack.run["database_url"], BOOKS)
    return [row["request_id"] for row in found] == answered and found

"""Budgets as callers and operators meet them. What the mock was asked for is the bill, whoever still knows of it."""

import json
import os
import signal
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.ledger.leases import GRACE_S, SILENT_S
from tests.support.caller import Answer, Caller, chat
from tests.support.noon import ZONE, today
from tests.support.router import rows
from tests.support.running import running
from tests.support.stack import Stack
from tests.support.upstream import Gate, Upstream, answer, gated
from tests.support.wait import PATIENCE_S, wait_until
from tierwise.lineup import SERVICES, Wiring, service_parts
from tierwise.ports import FreePorts

NANO = 1_000_000_000
TOKENS = 50  # of every answer; twice as many are asked for, and so reserved
COST = 5_000_000  # of an answer of the large tier; two hundred are a dollar
FLOOR_COST = 50_000
TIMEOUT_S = 5
REFUSED_WAITS_S = 0.2
AT_ONCE_S = 10.0  # on a busy machine; what was leased before would last longer
HARD = "Prove that the square root of two is irrational, step by step."


def config(small: str, large: str, budgets: str, input_usd: int = 0) -> str:
    """The day of each budget does not end meanwhile."""
    return f"""
server: {{request_timeout_s: {TIMEOUT_S}}}
tiers: [small, large]
backends:
  - {{name: small-1, tier: small, provider: openai-compatible, base_url: "{small}", model: s, context_window: 100000,
      max_concurrent: 500, price: {{input_per_1m: 0, output_per_1m: 1}}}}
  - {{name: large-1, tier: large, provider: openai-compatible, base_url: "{large}", model: l, context_window: 100000,
      max_concurrent: 500, price: {{input_per_1m: {input_usd}, output_per_1m: 100}}}}
budgets: {budgets.replace("daily_usd", f"timezone: {ZONE}, daily_usd")}
"""


@dataclass
class Shop:
    stack: Stack
    small: Upstream
    large: Upstream

    @property
    def bill(self) -> int:
        return COST * calls(self.large)

    def ask(self, service: str = "billing", **headers: str) -> Answer:
        with Caller(self.stack.url) as caller:
            return caller.ask(request(), x_tierwise_service=service, **headers)

    def ask_many(self, count: int, at_once: int, service: str = "billing") -> list[Answer]:
        """Each of `at_once` callers asks again as soon as it was answered; where it was refused, a little later."""
        left, lock = iter(range(count)), threading.Lock()

        def work() -> list[Answer]:
            answers = []
            with Caller(self.stack.url, timeout_s=60) as caller:
                while True:
                    with lock:
                        if next(left, None) is None:
                            return answers
                    answers.append(caller.ask(request(), x_tierwise_service=service))
                    if answers[-1].status != 200:
                        time.sleep(REFUSED_WAITS_S)

        with ThreadPoolExecutor(at_once) as pool:
            return [one for work in [pool.submit(work) for _ in range(at_once)] for one in work.result()]

    def rows(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        return rows(self.stack.run["database_url"], sql, *arguments)

    def status(self, service: str = "billing") -> dict[str, Any]:
        [row] = self.rows("SELECT * FROM tierwise.budget_status WHERE service = $1", service)
        return row

    def settled(self, service: str = "billing", within_s: float = PATIENCE_S) -> dict[str, Any]:
        def is_settled() -> bool:
            try:
                return bool(self.status(service)["reserved_nano_usd"] == 0)
            except asyncpg.CannotConnectNowError:  # it was killed, and comes back
                return False

        wait_until(is_settled, "nothing to be reserved", within_s)
        return self.status(service)

    def stated(self, service: str = "billing") -> int:
        """What the books say that its budget has spent today: a statement's `budget` and `lost`."""

        def told() -> Any:
            status, books = self.api("GET", f"?service={service}&day={today()}", of="spend")
            return status == 200 and books

        [each] = wait_until(told, "a statement")["services"]
        return int(each["budget_nano_usd"] + each["lost_nano_usd"])

    def api(self, method: str, path: str = "", body: Any = None, of: str = "budgets") -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.stack.url}/api/{of}{path}", data, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=30) as told:
                return told.status, json.load(told)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)


def calls(upstream: Upstream) -> int:
    """Those that a provider bills: a server is asked what it can do, too."""
    return sum(one.line.startswith("POST ") for one in upstream.requests)


def request() -> dict[str, Any]:
    return chat(messages=[{"role": "user", "content": HARD}], max_tokens=2 * TOKENS)


def is_floored(one: Answer) -> bool:
    return "budget_downgrade" in one.headers["x-tierwise-reason"].split(",")


@contextmanager
def shop(budgets: str, *, counts: int = 20, input_usd: int = 0) -> Iterator[Shop]:
    """`counts`: the tokens of input that the providers report, whatever was sent."""
    with Upstream() as small, Upstream() as large:
        for upstream in (small, large):
            upstream.always(answer(usage=(counts, TOKENS), after_s=0.05))
        with Stack(config(small.url, large.url, budgets, input_usd)) as stack:
            yield Shop(stack, small, large)


def test_a_provider_that_counts_many_times_our_tokens_passes_no_limit():
    """Of such requests the limit pays for some; what one reserves is learned from those before it."""
    counts, input_usd = 1_000, 50
    cost = counts * input_usd * NANO // 10**6 + COST
    with shop("{default: {daily_usd: 1, on_exhausted: reject}}", counts=counts, input_usd=input_usd) as one:
        answers = one.ask_many(60, 4)
        answered = sum(answer.status == 200 for answer in answers)
        assert answered == calls(one.large)
        assert NANO - 2 * cost <= answered * cost <= NANO
        assert one.settled()["spent_nano_usd"] == answered * cost == one.stated()


@pytest.fixture
def dollar() -> Iterator[Shop]:
    with shop("{default: {daily_usd: 1}}") as one:
        yield one


def test_a_dollar_is_spent_to_the_last_and_the_rest_is_answered_by_the_floor(dollar):
    answers = dollar.ask_many(500, 100)
    assert {one.status for one in answers} == {200}
    floored = [one for one in answers if is_floored(one)]
    assert {one.headers["x-tierwise-tier"] for one in floored} == {"small"}
    assert dollar.bill <= NANO
    assert dollar.bill >= 0.95 * NANO
    assert len(floored) == calls(dollar.small) == 500 - calls(dollar.large)
    wait_until(lambda: dollar.status()["floor_nano_usd"] == FLOOR_COST * len(floored), "the floor's books")
    status = dollar.settled()
    assert status["spent_nano_usd"] == dollar.bill
    [spent] = dollar.rows("SELECT sum(cost_nano_usd) AS all FROM tierwise.requests")
    assert spent["all"] == dollar.bill + FLOOR_COST * len(floored)
    assert status["exhausted_at"] is not None


def test_the_first_request_of_a_service_is_not_sent_to_the_floor(dollar):
    for number in range(10):
        assert not is_floored(dollar.ask(f"service-{number}"))


def test_who_says_reject_is_told_what_is_spent_and_when_it_begins_anew():
    with shop("{default: {daily_usd: 0.012, on_exhausted: reject}}") as one:
        first = one.ask()
        one.settled()
        second = one.ask()
        assert (first.status, second.status) == (200, 402)
        assert second.error["code"] == "budget_exhausted"
        assert second.headers["x-should-retry"] == "false"
        for told in ("0.005 USD are spent", "0.012", "begins anew at"):
            assert told in second.error["message"]


def test_an_operator_sets_a_limit_and_it_holds_at_once_and_survives_a_restart(dollar):
    assert not is_floored(dollar.ask())
    assert dollar.api("PUT", "/billing", {"daily_usd": 0.001, "timezone": ZONE})[0] == 200
    wait_until(lambda: is_floored(dollar.ask()), "the limit to hold", AT_ONCE_S)
    dollar.stack.kill_and_wait_for_next("ledger")
    dollar.stack.kill_and_wait_for_next("classifier")
    wait_until(lambda: dollar.ask().status == 200, "answers")
    assert is_floored(dollar.ask())
    status, told = wait_until(lambda: (got := dollar.api("GET"))[0] == 200 and got, "the ledger")
    [billing] = [one for one in told["budgets"] if one["service"] == "billing"]
    assert (status, billing["limit_usd"], billing["set_by"]) == (200, "0.001", "operator")
    wait_until(lambda: dollar.api("DELETE", "/billing")[0] == 200, "the ledger to take it back")
    wait_until(lambda: not is_floored(dollar.ask()), "the file's limit to hold", AT_ONCE_S)


def test_a_service_that_the_file_does_not_limit_is_limited_by_an_operator():
    with shop("{}") as one:
        assert not is_floored(one.ask())
        assert one.api("PUT", "/billing", {"daily_usd": 0.006, "on_exhausted": "reject", "timezone": ZONE})[0] == 200
        wait_until(lambda: one.ask().status == 402, "the limit to hold", AT_ONCE_S)
        assert one.api("DELETE", "/billing")[0] == 200
        wait_until(lambda: one.ask().status == 200, "no limit to hold", AT_ONCE_S)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"daily_usd": -1}, "daily_usd"),
        ({"daily_usd": "much"}, "daily_usd"),
        ({"dayly_usd": 1}, "dayly_usd"),
        ({"daily_usd": 1, "downgrade_to": "nowhere"}, "nowhere"),
        ({"daily_usd": 1, "timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ([], "budgets.billing"),
    ],
)
def test_a_budget_that_is_none_is_refused(api, body, complaint):
    status, told = api.api("PUT", "/billing", body)
    assert status == 400
    assert complaint in told["error"]["message"]


@pytest.mark.parametrize("path", ["/a%00b", "/", "/a%1Fb", "/" + 129 * "a"])
@pytest.mark.parametrize(("method", "body"), [("PUT", {"daily_usd": 1}), ("DELETE", None)])
def test_a_name_that_no_service_has_is_refused(api, method, path, body):
    status, told = api.api(method, path, body)
    assert (status, told["error"]["code"]) == (400, "invalid_budget")


@pytest.mark.parametrize("service", ["team/a", "büro", "財" * 128, " =SUM(A1) "])
def test_whatever_service_a_request_can_name_can_be_given_a_budget(api, service):
    path = "/" + urllib.parse.quote(service, safe="")
    assert api.api("PUT", path, {"daily_usd": 0.001, "on_exhausted": "reject", "timezone": ZONE})[0] == 200
    assert api.status(service)["limit_nano_usd"] == NANO // 1000

    def is_refused() -> bool:
        with Caller(api.stack.url) as caller:
            return caller.ask({**request(), "metadata": {"tierwise_service": service}}).status == 402

    wait_until(is_refused, "the limit to hold", AT_ONCE_S)
    assert api.api("DELETE", path)[0] == 200


@pytest.fixture(scope="module")
def api() -> Iterator[Shop]:
    with shop("{default: {daily_usd: 1}}") as one:
        yield one


def test_while_the_ledger_is_away_what_is_leased_is_spent_and_then_it_is_as_the_budget_says():
    budgets = """{
      down: {daily_usd: 1},
      up: {daily_usd: 1, when_ledger_is_away: allow},
      nope: {daily_usd: 1, when_ledger_is_away: reject}}"""
    with shop(budgets) as one:
        assert not is_floored(one.ask("down"))
        os.kill(one.stack.processes["ledger"], signal.SIGSTOP)
        try:
            assert not is_floored(one.ask("down")), "there is a lease in hand"
            for service, expected in (("up", 200), ("nope", 503)):
                told = one.ask(service)
                assert told.status == expected
            assert not is_floored(one.ask("up"))
            assert one.ask("nope").error["code"] == "budget_unknown"
            wait_until(lambda: is_floored(one.ask("down")), "the lease to be spent")
        finally:
            os.kill(one.stack.processes["ledger"], signal.SIGCONT)
        wait_until(lambda: not is_floored(one.ask("down")), "the ledger to be back")
        wait_until(lambda: one.status("up")["spent_nano_usd"] == 2 * COST, "what was spent without a lease")


def test_a_dispatcher_that_dies_between_call_and_answer_has_spent_what_it_reserved(dollar):
    gate = Gate()
    dollar.large.script(gated(gate))
    with Caller(dollar.stack.url) as caller:
        caller.send(request(), x_tierwise_service="billing")
        wait_until(lambda: dollar.bill, "the call")
        dollar.stack.kill("dispatcher")
        answered = caller.answer().status == 200  # by the next one, if it was there in time
    assert dollar.bill == (2 if answered else 1) * COST
    status = dollar.settled(within_s=TIMEOUT_S + GRACE_S + PATIENCE_S)
    assert status["spent_nano_usd"] >= dollar.bill, "the killed one's call is paid, and was charged in full"
    assert dollar.stated() == status["spent_nano_usd"]


def test_whatever_is_killed_the_bill_stays_within_the_limit_and_nothing_stays_reserved(dollar, tmp_path):
    """Three classifiers, two ledgers, two dispatchers; one of each, NATS and PostgreSQL killed in the middle."""
    answered: list[Answer] = []
    asking = threading.Thread(target=lambda: answered.extend(dollar.ask_many(500, 40)))
    with ExitStack() as held:
        others = [
            held.enter_context(running(another(dollar, name, tmp_path), tmp_path / f"{number}.log"))
            for number, name in enumerate(["classifier", "classifier", "ledger", "dispatcher"])
        ]
        asking.start()
        for after, kill in (
            (15, others[0].kill),
            (30, lambda: dollar.stack.kill("ledger")),
            (45, lambda: dollar.stack.kill("dispatcher")),
            (60, lambda: dollar.stack.kill("classifier")),
            (75, lambda: dollar.stack.kill("postgres")),
            (90, lambda: dollar.stack.kill("nats")),
        ):
            wait_until(lambda after=after: calls(dollar.large) >= after or not asking.is_alive(), "calls")
            kill()
        asking.join()
        wait_until(lambda: dollar.ask("another").status == 200, "answers")
    good = [one.request_id for one in answered if one.status == 200]
    assert len(good) > 250
    assert len({one.request_id for one in answered}) == 500
    assert dollar.bill <= NANO
    status = dollar.settled(within_s=SILENT_S + TIMEOUT_S + GRACE_S + PATIENCE_S)
    assert dollar.bill <= status["spent_nano_usd"] <= NANO
    there = (
        "SELECT count(*) AS n, count(DISTINCT request_id) AS each FROM tierwise.requests WHERE request_id = ANY($1)"
    )
    [found] = wait_until(lambda: [row for row in dollar.rows(there, good) if row["n"] == len(good)], "all rows")
    assert found["each"] == len(good)
    assert dollar.stated() == dollar.status()["spent_nano_usd"]


def another(one: Shop, name: str, folder: Path) -> Any:
    ports = FreePorts()
    wiring = Wiring(
        nats_url=one.stack.run["nats_url"],
        database_url=one.stack.run["database_url"],
        config=folder / "none",
        host="127.0.0.1",
        port=ports.take(),
        insecure=False,
    )
    parts = service_parts(wiring, dict(os.environ), {service: ports.take() for service in SERVICES}, ())
    return next(part for part in parts if part.name == name)

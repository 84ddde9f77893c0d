"""Money as operators meet it: /api/spend, /api/savings and `tierwise statement`, beside the views."""

import csv
import io
import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.support.upstream import refuse


@pytest.fixture(scope="module")
def spent(shared_router):
    """Requests of two services, one of which failed over, and when their rows are there."""
    answers = [shared_router.ask(tierwise_service="billing") for _ in range(3)]
    shared_router.first.script(refuse(500))
    answers.append(shared_router.ask(tierwise_service="legal"))
    for answer in answers:
        shared_router.row(answer.request_id)
    return answers


def get(router, path, **parameters):
    url = f"{router.url}{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def statement(router, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", "from tierwise.cli import main; main()", "statement", *arguments],
        env={**os.environ, "TIERWISE_URL": router.url},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def day_of(router, service):
    """The day on which it spent something last."""
    [row] = router.rows("SELECT max(day)::text AS last FROM tierwise.spend_daily WHERE service = $1", service)
    return row["last"]


def test_the_day_s_books_agree_with_the_views_to_the_nano_dollar(router, spent):
    status, told = get(router, "/api/spend", **{"from": "2020-01-01"})
    assert status == 200
    by_view = router.rows(
        "SELECT service, sum(cost_nano_usd)::bigint AS paid, sum(requests)::bigint AS requests "
        "FROM tierwise.spend_daily GROUP BY service ORDER BY service"
    )
    assert [(each["service"], each["total_nano_usd"]) for each in told["services"]] == [
        (row["service"], row["paid"]) for row in by_view
    ]
    (paid,) = router.rows("SELECT sum(cost_nano_usd)::bigint AS all FROM tierwise.requests")
    (transfers,) = router.rows("SELECT sum(amount_nano_usd)::bigint AS all FROM tierwise.ledger_transfers")
    assert told["total"]["total_nano_usd"] == paid["all"] == transfers["all"] > 0
    assert {each["service"]: sum(line["requests"] for line in each["lines"]) for each in told["services"]} == {
        row["service"]: row["requests"] for row in by_view
    }


def test_savings_agree_with_the_view(router, spent):
    status, told = get(router, "/api/savings", **{"from": "2020-01-01"})
    assert status == 200
    (view,) = router.rows(
        "SELECT sum(requests)::bigint AS requests, sum(net_saved_nano_usd)::bigint AS net FROM tierwise.savings_daily"
    )
    assert (told["total"]["requests"], told["total"]["net_saved_nano_usd"]) == (view["requests"], view["net"])
    assert told["total"]["estimate"] is None


def test_a_statement_is_a_table_lines_or_json(router, spent):
    code, shown, _ = statement(router, "--day", day_of(router, "billing"))
    assert code == 0
    assert "billing" in shown
    assert "closing" in shown

    code, shown, _ = statement(router, "--day", day_of(router, "legal"), "--service", "legal", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert code == 0
    assert {row["service"] for row in rows} == {"legal"}
    amounts = {row["entry"]: int(row["amount_nano_usd"]) for row in rows if row["entry"] != "budget"}
    assert amounts["total"] == sum(int(row["amount_nano_usd"]) for row in rows if row["entry"] == "budget")
    assert amounts["closing"] == amounts["opening"] + amounts["total"]

    code, shown, _ = statement(router, "--day", day_of(router, "billing"), "--format", "json")
    assert code == 0
    assert json.loads(shown) == get(router, "/api/spend", day=day_of(router, "billing"))[1]


def test_days_that_cannot_be_are_refused(router):
    for parameters in ({"day": "tomorrow"}, {"from": "2026-02-02", "to": "2026-02-01"}, {"service": "\0"}):
        status, told = get(router, "/api/spend", **parameters)
        assert (status, set(told["error"])) == (400, {"message", "type", "param", "code", "request_id"})
    assert statement(router, "--day", "yesterday")[0] == 2

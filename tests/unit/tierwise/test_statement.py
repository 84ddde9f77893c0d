import csv
import io

import pytest
from rich.console import Console

from tierwise import client, statement


def amounts(**named):
    return {f"{name}_nano_usd": nano for name, nano in named.items()} | {
        f"{name}_usd": f"{nano / 1e9:.9f}" for name, nano in named.items()
    }


LINE = {"requests": 1200, "input_tokens": 88_000, "output_tokens": 20_160}
TOLD = {
    "first": "2026-11-26",
    "last": "2026-11-26",
    "services": [
        {
            "service": '[red]billing, "Ltd"',
            **amounts(opening=5, total=63, closing=68, cache_saved=7, batch_saved=0),
            "lines": [
                {"payer": "budget", "tier": "small", "backend": "small-1", **LINE, **amounts(cost=40)},
                {"payer": "floor", "tier": "small", "backend": "small-2", **LINE, **amounts(cost=20)},
                {"payer": "lost", "tier": "", "backend": "", **dict.fromkeys(LINE, 0), **amounts(cost=3)},
            ],
        },
        {
            "service": "legal",
            **amounts(opening=9, total=0, closing=9, cache_saved=0, batch_saved=0),
            "lines": [],
        },
    ],
    "total": amounts(budget=40, floor=20, validation=0, lost=3, total=63),
}  # fmt: skip


def test_as_csv_every_entry_is_a_line_and_what_was_spent_makes_the_total():
    out = io.StringIO()
    statement.write_csv(TOLD, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert tuple(rows[0]) == statement.COLUMNS
    mine = [row for row in rows if row["service"] == '[red]billing, "Ltd"']
    assert [row["entry"] for row in mine] == [
        "opening", "budget", "floor", "lost", "total", "closing", "cache_saved", "batch_saved",
    ]  # fmt: skip
    by_entry = {row["entry"]: int(row["amount_nano_usd"]) for row in mine}
    assert by_entry["budget"] + by_entry["floor"] + by_entry["lost"] == by_entry["total"]
    assert by_entry["opening"] + by_entry["total"] == by_entry["closing"]
    assert (mine[1]["requests"], mine[0]["requests"]) == ("1200", "")
    assert {row["day"] for row in rows} == {"2026-11-26"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+1", "'+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("billing", "billing"),
        ("a=b-c", "a=b-c"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("column", ["service", "tier", "backend"])
def test_as_csv_no_name_is_a_formula_to_a_spreadsheet_and_no_two_are_one(column, name, shown):
    line = {"payer": "budget", "tier": "small", "backend": "small-1", **LINE, **amounts(cost=40), column: name}
    service = {**TOLD["services"][1], "service": name if column == "service" else "legal", "lines": [line]}
    out = io.StringIO()
    statement.write_csv({**TOLD, "services": [service]}, out)
    [row] = [row for row in csv.DictReader(io.StringIO(out.getvalue(), newline="")) if row["entry"] == "budget"]
    assert row[column] == shown


@pytest.mark.parametrize("begin", ["\r", "\n"])
def test_as_csv_no_line_begins_with_a_name_s_formula(begin):
    """No request can name such a service; a row of before may."""
    out = io.StringIO()
    statement.write_csv({**TOLD, "services": [{**TOLD["services"][1], "service": f"{begin}=1"}]}, out)
    assert f"'{begin}=1" in out.getvalue()


def test_as_csv_an_amount_below_nought_is_a_number():
    """Batch prices may cost more than they save."""
    service = {**TOLD["services"][1], **amounts(batch_saved=-5)}
    out = io.StringIO()
    statement.write_csv({**TOLD, "services": [service]}, out)
    assert "legal,batch_saved,,,,,,-5,-0.000000005" in out.getvalue()


def test_as_a_table_a_service_s_name_is_no_markup_and_nothing_saved_is_left_out():
    out = io.StringIO()
    Console(file=out, width=140).print(statement.table(TOLD))
    shown = out.getvalue()
    assert '[red]billing, "Ltd"' in shown
    assert "cache saved" in shown
    assert "batch saved" not in shown
    assert "spent 0.000000063 USD" in " ".join(shown.split())
    assert "lost leases 0.000000003" in " ".join(shown.split())


def test_however_narrow_the_terminal_no_amount_is_cut():
    out = io.StringIO()
    Console(file=out, width=80).print(statement.table(TOLD))
    shown = out.getvalue()
    assert max(map(len, shown.splitlines())) <= 80
    for whole in ("0.000000040", "0.000000068", "1,200", "88,000", "20,160"):
        assert whole in shown


@pytest.mark.parametrize(
    ("environment", "run", "url"),
    [
        ({"TIERWISE_URL": "https://router.example/"}, '{"url": "http://127.0.0.1:9"}', "https://router.example"),
        ({}, '{"url": "http://127.0.0.1:9"}', "http://127.0.0.1:9"),
        ({}, "not JSON", "http://127.0.0.1:8080"),
        ({}, None, "http://127.0.0.1:8080"),
    ],
)
def test_who_is_asked(tmp_path, environment, run, url):
    if run is not None:
        (tmp_path / ".tierwise").mkdir()
        (tmp_path / ".tierwise" / "run.json").write_text(run)
    assert client.url_of(environment, tmp_path) == url


def test_where_nobody_listens_a_sentence_says_so(capsys, monkeypatch):
    monkeypatch.setenv("TIERWISE_URL", "http://127.0.0.1:1")
    assert statement.run("2026-11-26", "", "json") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "is `tierwise up` running?" in said.err


def test_a_service_that_is_no_text_is_a_sentence(capsys, monkeypatch):
    monkeypatch.setenv("TIERWISE_URL", "http://127.0.0.1:1")
    assert statement.run("2026-11-26", "\udcff", "json") == 1
    assert "not text in UTF-8" in capsys.readouterr().err

"""The report on the classifier: whatever prompts hold, and files that are none."""

import json
import sys

import pytest

from bench.classifier import __main__ as report


def run(monkeypatch, file):
    monkeypatch.setattr(sys, "argv", ["report", str(file)])
    report.main()


def test_brackets_in_a_prompt_are_shown_and_mean_nothing(monkeypatch, tmp_path, capsys):
    request = {"messages": [{"role": "user", "content": "[/INST] Tell me a joke"}]}
    file = tmp_path / "labelled.jsonl"
    file.write_text(json.dumps({"category": "extraction", "source": "[/a]", "request": request}))
    run(monkeypatch, file)
    assert "[/INST] Tell me a joke" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        ("", "has no labelled request"),
        ('\n{"x": 1}', "labelled.jsonl:2: is no labelled request: Object missing required field `category`"),
        ('{"category": "code", "request": {}}', "labelled.jsonl:1: is no labelled request: `messages` is missing"),
    ],
)
def test_what_is_wrong_with_a_file_is_a_sentence(monkeypatch, tmp_path, capsys, content, told):
    file = tmp_path / "labelled.jsonl"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit):
        run(monkeypatch, file)
    assert told in capsys.readouterr().err

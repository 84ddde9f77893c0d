"""`tierwise explain` as a command: what goes to stdout, what to stderr, and the exit code."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
tiers: [small, large]
backends:
  - {name: small-1, tier: small, provider: vllm, model: m, base_url: "http://127.0.0.1:1/v1", api_key: "${NOT_SET}",
     price: {input_per_1m: 1, output_per_1m: 1}}
  - {name: large-1, tier: large, provider: vllm, model: n, base_url: "http://127.0.0.1:1/v1",
     price: {input_per_1m: 2, output_per_1m: 2}}
categories: {extraction: small}
"""
EXTRACT = json.dumps({"messages": [{"role": "user", "content": "Extract the invoice number: Invoice 4711."}]})
PROVE = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Prove it step by step."}]})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tierwise.yaml").write_text(CONFIG)
    return tmp_path


def explain(folder, *arguments, said=""):
    command = [str(Path(sys.executable).parent / "tierwise"), "explain", *arguments]
    return subprocess.run(
        command, input=said, capture_output=True, text=True, cwd=folder, check=False, env={"PATH": "/usr/bin:/bin"}
    )


def test_a_request_from_a_file_or_from_stdin_is_told_as_json(folder):
    (folder / "request.json").write_text(EXTRACT)
    by_file, by_stdin = explain(folder, "request.json"), explain(folder, "-", said=EXTRACT)
    assert (by_file.returncode, by_file.stderr) == (0, "")
    told, again = json.loads(by_file.stdout), json.loads(by_stdin.stdout)
    assert (told["tier"], told["candidates"][0]["backend"]) == ("small", "small-1")
    assert told["decided_in_us"] > 0
    assert {**told, "decided_in_us": 0} == {**again, "decided_in_us": 0}


def test_one_line_in_is_one_line_out_in_order_and_a_bad_one_has_its_error(folder):
    done = explain(folder, "--jsonl", said=f"{EXTRACT}\n\n{{no json\n{PROVE}\n")
    first, bad, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert (first["category"], last["category"]) == ("extraction", "reasoning")
    assert (bad["error"]["code"], bad["error"]["line"]) == ("invalid_json", 3)
    assert done.returncode == 1
    assert explain(folder, "--jsonl", said=f"{EXTRACT}\n{PROVE}\n").returncode == 0


def test_lines_pass_one_by_one(folder):
    """An answer is there before the next request is."""
    command = [str(Path(sys.executable).parent / "tierwise"), "explain", "--jsonl"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, text=True) as process:
        for _ in range(3):
            process.stdin.write(f"{EXTRACT}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["tier"] == "small"
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "said", "code", "told"),
    [
        ([], "{", 1, "not valid JSON"),
        (["no-such-file.json"], "", 2, "no-such-file.json: cannot be read"),
        (["--config", "no-such.yaml"], EXTRACT, 2, "--config: there is no file no-such.yaml"),
        (["--config", "bad.yaml"], EXTRACT, 2, "tiers"),
    ],
)
def test_what_is_wrong_is_a_sentence_on_stderr(folder, arguments, said, code, told):
    (folder / "bad.yaml").write_text("tiers: []\nbackends: []\n")
    done = explain(folder, *arguments, said=said)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_body_that_the_door_would_not_take_is_not_explained(folder):
    (folder / "tierwise.yaml").write_text(f"{CONFIG}server: {{max_body_bytes: {len(EXTRACT)}}}\n")
    assert explain(folder, said=EXTRACT).returncode == 0
    done = explain(folder, said=f"{EXTRACT} ")
    assert (done.returncode, done.stdout) == (1, "")
    assert "larger than" in done.stderr
    fits, too_large = explain(folder, "--jsonl", said=f"{EXTRACT}\n{EXTRACT} \n").stdout.splitlines()
    assert json.loads(fits)["tier"] == "small"
    assert json.loads(too_large)["error"]["code"] == "request_too_large"


@pytest.mark.parametrize(
    ("redirected", "code", "told"),
    [
        ("<&-", 1, "The body is empty"),
        (">&-", 0, ""),
        ("> /dev/full", 1, "the output cannot be written: No space left on device"),
        ("--jsonl > /dev/full", 1, "the output cannot be written: No space left on device"),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_traceback(folder, redirected, code, told):
    (folder / "request.json").write_text(EXTRACT)
    source = "" if "<" in redirected else "request.json"
    line = f"{Path(sys.executable).parent / 'tierwise'} explain {source} {redirected}"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == code
    assert done.stderr.count("\n") == bool(told)
    assert told in done.stderr


def shown(folder, said):
    """What a terminal gets."""
    command = [str(Path(sys.executable).parent / "tierwise"), "explain"]
    ours, theirs = pty.openpty()
    environment = {"PATH": "/usr/bin:/bin", "TERM": "dumb", "COLUMNS": "200"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs, cwd=folder, env=environment
    ) as process:
        os.close(theirs)
        process.stdin.write(said.encode())
        process.stdin.close()
        lines = b""
        try:
            while part := os.read(ours, 65536):
                lines += part
        except OSError:  # its side is closed
            pass
        finally:
            os.close(ours)
    return lines.decode()


def test_on_a_terminal_it_is_a_table_whatever_brackets_the_request_has(folder):
    plain = shown(folder, EXTRACT)
    assert "small-1 in tier small, because of category" in plain
    assert "left out" not in plain
    nobody = {"model": "[/bold] [red]m[/red]", "messages": [{"role": "user", "content": "Hello."}]}
    refused = shown(folder, json.dumps(nobody))
    assert "refused 404 model_not_found: There is no model '[/bold] [red]m[/red]'." in refused
    assert "Traceback" not in refused


def test_on_a_terminal_who_is_only_observed_is_told_beside_who_serves(folder):
    (folder / "tierwise.yaml").write_text(f"{CONFIG}routing: {{mode: observe}}\n")
    told = shown(folder, EXTRACT)
    assert "large-1 in tier large, because of observe, category" in told
    assert "it would be small-1 in small" in told


def test_without_a_config_it_says_how_to_name_one(tmp_path):
    done = explain(tmp_path, said=EXTRACT)
    assert done.returncode == 2
    assert "--config FILE" in done.stderr

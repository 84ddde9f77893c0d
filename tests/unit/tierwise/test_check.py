"""`tierwise check` as a user runs it, and the examples, which must pass it."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from shared.policy import published
from tierwise import schema
from tierwise.cli import app

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SCHEMA = json.loads((ROOT / "docs/tierwise.schema.json").read_text())
PRICE = "price: {input_per_1m: 0.6, output_per_1m: 0.6}"
CHEAP = PRICE.replace("0.6", "0.005")
GOOD = f"""\
tiers: [small, large]
backends:
  - {{name: small-1, tier: small, provider: vllm, base_url: "http://127.0.0.1:1", model: a, {CHEAP}}}
  - {{name: large-1, tier: large, provider: openai, model: gpt-4o, {PRICE}}}
"""


def check(file, environment=None):
    return CliRunner().invoke(app, ["check", str(file)], env=environment or {})


def check_text(folder, text, environment=None):
    file = folder / "tierwise.yaml"
    file.write_text(text)
    return check(file, environment)


def names_in(text):
    """With a value for each `${NAME}` that stands outside comments."""
    code = "\n".join(line.partition("#")[0] for line in text.splitlines())
    return dict.fromkeys(re.findall(r"\$\{(\w+)\}", code), "x")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_passes_without_a_warning_once_its_keys_are_set(example):
    done = check(example, names_in(example.read_text()))
    assert done.exit_code == 0, done.output
    assert f"{example.name} is fine" in done.output
    assert "warning" not in done.output


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_what_an_editor_takes_for_a_config(example):
    assert example.read_text().startswith("# yaml-language-server: $schema=../docs/tierwise.schema.json\n")
    jsonschema.validate(yaml.safe_load(example.read_text()), SCHEMA)


def test_the_examples_are_local_only_hybrid_and_cloud_only_and_name_every_section():
    assert [example.stem for example in EXAMPLES] == ["cloud", "hybrid", "local"]
    sections = set().union(*(yaml.safe_load(example.read_text()) for example in EXAMPLES))
    assert sections == set(SCHEMA["$defs"]["Policy"]["properties"]) - {"auth"}


def test_the_schema_is_that_of_the_types():
    assert schema.text() == (ROOT / "docs/tierwise.schema.json").read_text(), "run `make schema`"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("wrong", "fits"),
    [
        ({}, True),
        ({"tiers": "small"}, False),
        ({"tires": []}, False),
        ({"server": {"port": "${PORT}"}}, True),
        ({"server": {"port": "http"}}, False),
        ({"server": {"port": 70_000}}, False),
        ({"categories": {"code": "small"}}, True),
        ({"categories": {"poetry": "small"}}, False),
        ({"quality": {"threshold": 1}}, False),
        ({"rules": [{"name": "a", "when": {"servise": "x"}}]}, False),
    ],
)
def test_the_schema_sees_what_an_editor_can_see(wrong, fits):
    config = {**yaml.safe_load(GOOD), **wrong}
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(config) is fits


def test_a_good_config_is_summed_up(tmp_path):
    done = check_text(tmp_path, GOOD)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        f"{tmp_path}/tierwise.yaml is fine: 2 tiers, 2 backends.",
        "small: small-1 (vllm a), 0.005 / 0.005 USD per 1M tokens",
        "large: large-1 (openai gpt-4o), 0.6 / 0.6 USD per 1M tokens",
        "extraction, summarisation, classification: small",
        "reasoning, code, general: large",
    ]


def test_each_fault_is_a_line_on_stdout_and_the_exit_code_is_1(tmp_path):
    text = GOOD.replace("tier: large", "tier: lrge").replace("model: gpt-4o", "modle: gpt-4o, api_key: '${KEY}'")
    done = check_text(tmp_path, text)
    assert done.exit_code == 1
    places = [line.partition(": ")[0].rpartition(":")[2] for line in done.stdout.splitlines()]
    assert places == ["1", "4", "4", "4"]
    assert "did you mean `model`?" in done.stdout
    assert "did you mean large?" in done.stdout
    assert "${KEY} is not set" in done.stdout


def test_a_hosted_model_whose_price_nobody_knows_is_a_fault(tmp_path):
    done = check_text(tmp_path, GOOD.replace("gpt-4o, " + PRICE, "gpt-nobody-knows"))
    assert done.exit_code == 1
    [line] = done.stdout.splitlines()
    assert line.startswith(f"{tmp_path}/tierwise.yaml:4: backends[1] (large-1).price: no price is known")


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    done = check(tmp_path / "gone.yaml")
    assert done.exit_code == 1
    assert "cannot be read: No such file" in done.stdout


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        # 5 % against 10 USD, to save 0.60 → 0.005
        (
            GOOD
            + f"  - {{name: ref-1, tier: large, provider: openai, model: x, {PRICE.replace('0.6', '10')}}}\n"
            + "quality: {reference: ref-1, sample_rate: 0.05}\nsavings: {baseline: large-1}\n",
            6,
            "ref-1 about 5.0% of the requests costs about 84% of what routing from large-1 to small-1 saves",
        ),
        (GOOD.replace("gpt-4o,", "gpt-4o, api_key: sk-secret,"), 4, "holds the key itself"),
        (GOOD.replace("openai", "anthropic"), 4, "no adapter for anthropic yet, so no request goes there"),
        (GOOD.replace("0.005", "6"), 1, "'large' is cheaper than 'small'"),
        (GOOD.replace("0.005", "6"), 1, "routing saves nothing against large-1"),
        (GOOD.replace("name: large-1", "name: small"), 4, "no request can name it"),
        (GOOD.replace("small", "default"), 1, "means that Tierwise chooses"),
        (GOOD + 'aliases: {"*": auto, "gpt-*": small}\n', 5, "is never reached"),
        (
            GOOD + 'rules: [{name: chat, when: {model: "chat-*"}, tier: small}]\naliases: {"chap*": auto}\n',
            5,
            "rules[0] (chat).when.model: holds for no request",
        ),
        (
            GOOD + "budgets: {a: {daily_usd: 1, on_exhausted: reject, downgrade_to: small}}\n",
            5,
            "`reject` has no floor",
        ),
    ],
)
def test_what_may_not_be_meant_is_a_warning_and_no_fault(tmp_path, text, line, told):
    done = check_text(tmp_path, text)
    assert done.exit_code == 0, done.output
    warnings = [said for said in done.stdout.splitlines() if said.startswith("warning: ")]
    assert any(f"tierwise.yaml:{line}: " in said and told in said for said in warnings), done.stdout
    assert "sk-secret" not in done.stdout


@pytest.mark.parametrize("aliases", ["{chat-*: auto}", '{"*": auto}', "{cha*: small}", "{chat-a?: 'auto:cheap'}"])
def test_a_rule_for_names_that_an_alias_leads_here_is_as_it_was_meant(tmp_path, aliases):
    text = GOOD + f'aliases: {aliases}\nrules: [{{name: chat, when: {{model: "chat-*"}}, tier: small}}]\n'
    assert "holds for no request" not in check_text(tmp_path, text).output


def test_what_could_not_be_published_is_a_fault_here_already(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "LARGEST_BYTES", 500)
    done = check_text(tmp_path, GOOD)
    assert (done.exit_code, "cannot be published" in done.stdout) == (1, True)


def test_its_help_has_an_example():
    done = CliRunner().invoke(app, ["check", "--help"])
    assert "tierwise check tierwise.yaml" in done.output

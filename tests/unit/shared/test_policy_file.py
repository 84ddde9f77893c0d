"""Every fault of a file says on which line it stands, and none quotes a secret."""

import pytest

from shared import policy_file
from shared.policy import PolicyFault

GOOD = """\
tiers: [small]
backends:
  - name: small-1
    tier: small
    provider: vllm
    base_url: http://127.0.0.1:8001/v1
    model: qwen-9b
    api_key: ${KEY}
    price: {input_per_1m: 0.005, output_per_1m: 0.005}
"""


def faults(text: str | bytes) -> list[str]:
    content = text.encode() if isinstance(text, str) else text
    with pytest.raises(PolicyFault) as caught:
        policy_file.read_bytes(content, "tierwise.yaml", {})
    assert "sk-secret" not in str(caught.value)
    assert not any("\n" in fault for fault in caught.value.faults)
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        (
            GOOD.replace("price:", "pric:"),
            "9: backends[0] (small-1).pric: there is no such key; did you mean `price`?",
        ),
        (GOOD.replace("model: qwen-9b", "model: 4"), "7: backends[0] (small-1).model: must be text"),
        (GOOD.replace("    model: qwen-9b\n", ""), "3: backends[0] (small-1).model: is missing"),
        (GOOD.replace("input_per_1m: 0.005, ", ""), "9: backends[0] (small-1).price.input_per_1m: is missing"),
        (GOOD + "aliases:\n  gpt-4.1*: large\n", "11: aliases.gpt-4.1*: nothing is called 'large'"),
        (GOOD + "tiers: [small]\n", "10: tiers: stands there twice (on line 1 too)"),
        (GOOD + "    model: x\n", "10: backends[0] (small-1).model: stands there twice (on line 7 too)"),
        (GOOD + "cache: {ttl_s: 1, ttl_s: 2}\n", "10: cache.ttl_s: stands there twice (on line 10 too)"),
        (GOOD + "defaults: &defaults {model: x}\n", "10: defaults: there is no such key"),
        ("- small\n", "1: the file is a list: it must be a mapping"),
        ("", "1: the file is empty: it must be a mapping"),
        ("# nothing yet\n", "1: the file is empty"),
        ("sk-secret", "1: the file is text"),
        (GOOD + "a: &a [*a]\n", "10: a: there is no such key"),
        (GOOD + "rules: &a [*a]\n", "10: rules[0]: must be a mapping of name, when"),
        ("a: 1\n\tb: 2\n", "2: is not YAML"),
        ("tiers: [small\napi_key: 'sk-secret", "2: is not YAML"),
        ("api_key: sk-secret: x", "1: is not YAML: mapping values are not allowed here (column 19)"),
        ("a: 1\n---\nb: 2\n", "2: is not YAML"),
        ("a: !!python/name:os.system sk-secret\n", "1: is not YAML"),
        ("a: 1\nb: \x07\n", "2: is not YAML: special characters are not allowed"),
        (b"a: 1\nb: \xff\n", "2: is not text in UTF-8"),
        ("a: 1\nday: 2026-13-45", "2: is not YAML: what stands here is no timestamp"),
        ("a: 1\nb: [!!bool sk-secret]", "2: is not YAML: what stands here is no bool"),
        ("a: !!timestamp sk-secret", "1: is not YAML: what stands here is no timestamp"),
        ("a: 1\n!!int sk-secret: 1", "2: is not YAML: what stands here is no int"),
        ("a: !!int ''", "1: is not YAML: what stands here is no int"),
        ("a: !!float sk-secret", "1: is not YAML: what stands here is no float"),
        ("a: " + "9" * 5000, "1: is not YAML: what stands here is no int"),
        ("a: !!binary sk-secret\u00e9", "1: is not YAML"),
        ("[" * 5000, " is nested too deeply"),
    ],
)
def test_a_fault_says_on_which_line_it_stands(text, begins):
    told = faults(text)
    assert any(fault.startswith(f"tierwise.yaml:{begins}") for fault in told), told


def test_faults_come_in_the_order_of_their_lines():
    told = faults("cach: 1\ntiers: [a]\nbackends: [{nam: x}]\nrules: 5\n")
    lines = [int(fault.split(":")[1]) for fault in told]
    assert lines == sorted(lines)
    assert set(lines) == {1, 3, 4}


def test_what_an_anchor_brings_may_be_said_again():
    first, backend = GOOD.split("  - name: small-1\n")
    text = f"{first}  - &one\n    name: small-1\n{backend}  - {{<<: *one, name: small-2}}\n"
    read = policy_file.read_bytes(text.encode(), "tierwise.yaml", {})
    assert [one.name for one in read.policy.backends] == ["small-1", "small-2"]


def test_who_starts_everything_is_told_of_a_secret_that_is_missing_together_with_the_rest():
    text = GOOD.replace("model:", "modle:").encode()
    with pytest.raises(PolicyFault) as caught:
        policy_file.read_bytes(text, "tierwise.yaml", {}, with_secrets=True)
    assert [fault.partition(": ")[0] for fault in caught.value.faults] == ["tierwise.yaml:7", "tierwise.yaml:8"]
    assert "api_key: ${KEY} is not set" in caught.value.faults[1]
    policy_file.read_bytes(GOOD.encode(), "tierwise.yaml", {"KEY": "x"}, with_secrets=True)


def test_a_fault_that_is_found_later_has_its_line_too():
    read = policy_file.read_bytes(GOOD.encode(), "tierwise.yaml", {})
    assert read.located(["backends[0] (small-1).price: no price is known", "something else"]) == [
        "tierwise.yaml:9: backends[0] (small-1).price: no price is known",
        "tierwise.yaml:1: something else",
    ]
    assert read.sections == {"tiers", "backends"}


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path):
    with pytest.raises(PolicyFault, match="cannot be read: No such file"):
        policy_file.read(tmp_path / "gone.yaml", {})
    with pytest.raises(PolicyFault, match="cannot be read: Is a directory"):
        policy_file.read(tmp_path, {})
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (policy_file.LARGEST_BYTES + 1))
    with pytest.raises(PolicyFault, match="is larger than"):
        policy_file.read(large, {})


def test_a_mark_of_byte_order_is_no_part_of_the_text():
    assert policy_file.read_bytes(GOOD.encode("utf-8-sig"), "tierwise.yaml", {}).policy.tiers == ("small",)

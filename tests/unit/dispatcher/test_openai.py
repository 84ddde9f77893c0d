"""What we change in a request, and nothing else; what we read of an answer."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dispatcher.providers.openai import (
    Changes,
    MalformedAnswer,
    Usage,
    read_error,
    read_usage,
    rewrite,
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=12,
)  # fmt: skip
keys = st.one_of(st.text(), st.sampled_from(("model", "metadata", "stream_options", "messages", "tools", "user")))
metadata = st.dictionaries(
    st.one_of(st.text(max_size=8), st.sampled_from(("tierwise_service", "tierwise_priority"))), st.text(max_size=8)
)
bodies = st.builds(
    lambda fields, more: {**fields, **more},
    st.dictionaries(keys, values, max_size=8),
    st.fixed_dictionaries(
        {},
        optional={
            "metadata": st.one_of(values, metadata),
            "stream_options": st.one_of(st.none(), st.dictionaries(st.text(max_size=8), values, max_size=3)),
            "chat_template_kwargs": st.one_of(st.none(), st.dictionaries(st.text(max_size=8), values, max_size=3)),
        },
    ),
)

OBJECTS = ("stream_options", "chat_template_kwargs")  # who sends something else there is refused


def expected(body: dict, changes: Changes) -> dict:
    """The closed list, said once more and in the plainest way."""
    after = {**body, "model": changes.model}
    if changes.ask_for_usage:
        after["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    if changes.output_cap:
        after[changes.cap_field] = changes.output_cap
    if changes.thinking is not None:
        after["chat_template_kwargs"] = {
            **(body.get("chat_template_kwargs") or {}),
            "enable_thinking": changes.thinking,
        }
    if isinstance(body.get("metadata"), dict):
        kept = {key: value for key, value in body["metadata"].items() if not key.startswith("tierwise_")}
        if len(kept) < len(body["metadata"]) and not kept:
            del after["metadata"]
        else:
            after["metadata"] = kept
    return after


@settings(max_examples=400)
@given(
    bodies.filter(lambda body: all(isinstance(body.get(name), dict | None) for name in OBJECTS)),
    st.builds(
        Changes,
        model=st.text(min_size=1),
        ask_for_usage=st.booleans(),
        output_cap=st.sampled_from((0, 1024)),
        thinking=st.sampled_from((None, True, False)),
    ),
)
def test_any_body_goes_up_unchanged_but_for_the_closed_list(body, changes):
    sent = rewrite(json.dumps(body, ensure_ascii=False).encode(), changes)
    assert json.loads(sent) == expected(body, changes)


@pytest.mark.parametrize("name", OBJECTS)
def test_what_would_have_to_be_an_object_and_is_none_is_no_body_that_can_be_changed(name):
    with pytest.raises(msgspec.DecodeError):
        rewrite(json.dumps({name: []}).encode(), Changes("m", ask_for_usage=True, thinking=True))


def test_a_nested_model_before_the_top_level_one_is_left_alone():
    body = b'{"tools":[{"function":{"parameters":{"properties":{"model":{"type":"string"}}}}}],"model":"auto"}'
    sent = json.loads(rewrite(body, Changes("qwen-9b")))
    assert sent["model"] == "qwen-9b"
    assert sent["tools"] == json.loads(body)["tools"]


def test_numbers_keep_every_digit():
    body = b'{"model":"auto","seed":12345678901234567890123,"temperature":0.10000000000000000555,"x":1E400}'
    sent = rewrite(body, Changes("m"))
    assert b"12345678901234567890123" in sent
    assert b"0.10000000000000000555" in sent
    assert b"1E400" in sent


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}', Usage(3, 0, 4)),
        (
            b'{"usage":{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}}',
            Usage(3, 2, 4),
        ),
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":null,"prompt_tokens_details":null}}', Usage(3, 0, 0)),
        (b'{"usage":null}', None),
        (b'{"choices":[]}', None),
        (b'{"usage":{"prompt_tokens":-3,"completion_tokens":4}}', None),
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":-4}}', None),
        (b'{"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":9}}}', None),
        (b'{"usage":"much"}', None),
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":4,"cost":0.00014}}', Usage(3, 0, 4, 140_000)),
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":4,"cost":1e-10}}', Usage(3, 0, 4, 1)),
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":4,"cost":2}}', Usage(3, 0, 4, 2_000_000_000)),
    ],
)  # fmt: skip
def test_usage_is_read_as_the_provider_bills_it_and_never_invented(answer, usage):
    assert read_usage(answer) == usage


@pytest.mark.parametrize("cost", ["0", "-1", "null", "true", '"0.1"', '{"total":1}', "[]", "1e300", "10001"])
def test_a_cost_that_is_no_amount_is_left_and_the_tokens_are_priced(cost):
    answer = b'{"usage":{"prompt_tokens":3,"completion_tokens":4,"cost":%b}}' % cost.encode()
    assert read_usage(answer) == Usage(3, 0, 4)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"usage":', b"[1]", b'"text"', b"[" * 20_000])
def test_a_200_that_is_no_json_object_is_malformed(body):
    with pytest.raises(MalformedAnswer):
        read_usage(body)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"too long","type":"t","code":"context","param":"messages"}}', "too long", "context"),
        (b'{"error":"just words"}', "just words", ""),
        (b'{"message":"elsewhere"}', "elsewhere", ""),
        (b'{"detail":"FastAPI says"}', "FastAPI says", ""),
        (b"<html>no</html>", "<html>no</html>", ""),
        (b"\xff\xfe", "��", ""),
        (b"", "", ""),
    ],
)
def test_an_error_is_read_whatever_its_shape(body, message, code):
    error = read_error(body)
    assert (error.message, error.code) == (message, code)

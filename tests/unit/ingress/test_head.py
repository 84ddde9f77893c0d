import inspect
import json
import time
import tracemalloc
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier import features
from services.ingress.head import BadBody, _Outline, cut
from shared.contracts import MAX_INLINE_BYTES


def encoded(value) -> bytes:
    return json.dumps(value).encode()


def test_a_long_text_keeps_its_first_and_last_8_kib():
    text = "Summarise this: " + "x" * 1_000_000 + " In one sentence."
    head = json.loads(cut(encoded({"model": "auto", "messages": [{"role": "user", "content": text}]})))
    kept = head["messages"][0]["content"]
    assert kept.startswith("Summarise this: ")
    assert kept.endswith(" In one sentence.")
    assert len(kept) == 16 * 1024
    assert head["model"] == "auto"


def test_an_image_is_replaced_by_its_type_and_size():
    url = "data:image/png;base64," + "A" * 400_000
    part = {"type": "image_url", "image_url": {"url": url}}
    head = json.loads(cut(encoded({"messages": [{"role": "user", "content": [part]}]})))
    assert head["messages"][0]["content"][0]["image_url"]["url"] == f"data:image/png;{len(url)} characters"


@pytest.mark.parametrize(
    "whole",
    [
        {"messages": [{"role": "user", "content": f"turn {i} " * 50} for i in range(20_000)]},
        {"messages": [], "x": {f"key {i}": i for i in range(100_000)}},
        {"messages": [{"role": "user", "content": "é" * 600_000}]},
        {"k" * 300_000: 1, "model": "auto", "stream": True},
    ],
)
def test_the_head_fits_into_one_message_whatever_the_body_is(whole):
    head = cut(encoded(whole))
    assert len(head) <= MAX_INLINE_BYTES
    messages = json.loads(head).get("messages", [])
    assert all({"role", "content"} <= message.keys() for message in messages)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"null", b'{"a":"\xff"}', b"[" * 300_000, b'{"a":' * 300_000, b'{"a":1}x']
)
def test_what_is_no_json_object_is_refused_with_a_sentence(body):
    with pytest.raises(BadBody) as caught:
        cut(body)
    assert caught.value.refusal.status == 400
    assert caught.value.refusal.message


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise_anything_else(body):
    with suppress(BadBody):
        cut(body)


MIB = 1024 * 1024
TURN = b'{"role":"user","content":"Why?"}'
SYSTEM = b'{"role":"system","content":"Be brief."}'


def dense(pattern: bytes, size: int = 32 * MIB) -> bytes:
    return b"[" + pattern * (size // len(pattern)) + b"0]"


def with_messages(*messages: bytes, **fields: bytes) -> bytes:
    others = b"".join(b',"%b":%b' % (name.encode(), value) for name, value in fields.items())
    return b'{"messages":[%b]%b}' % (b",".join(messages), others)


@pytest.mark.parametrize(
    "pattern", [b"[],", b"{},", b'"a",', b"0,", b'{"role":"user"},', b'"\\"\\\\",', b"[[],[[]]],"]
)
@pytest.mark.parametrize("place", ["unknown", "tools", "messages", "content", "message"])
def test_a_dense_body_costs_no_multiple_of_its_size_and_no_time(pattern, place):
    """Four MiB under the tracer; the tracer counts what is allocated beyond the body."""
    values = dense(pattern, 4 * MIB)
    if place in {"unknown", "tools"}:
        body = with_messages(SYSTEM, TURN, **{place: values})
    elif place == "messages":
        body = b'{"messages":%b}' % values
    elif place == "content":
        body = with_messages(SYSTEM, b'{"role":"user","content":%b}' % values)
    else:
        body = with_messages(SYSTEM, values, TURN)
    tracemalloc.start()
    began = time.process_time()
    head = cut(body)
    took_s = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(head) <= MAX_INLINE_BYTES
    assert peak < 2 * len(body) + 8 * MIB
    assert took_s < 2  # the tracer makes it many times slower
    assert json.loads(head)["messages"]


def test_what_is_dense_does_not_hide_the_ends_of_the_conversation():
    absurd = b'{"role":"user","content":%b}' % dense(b'{"type":"x","y":[]},', 8 * MIB)
    head = json.loads(cut(with_messages(SYSTEM, TURN, absurd, absurd, TURN, tools=dense(b"{},", MIB))))
    assert head["messages"][0] == json.loads(SYSTEM)
    assert head["messages"][-1] == json.loads(TURN)
    assert head["tools"]


def test_a_last_message_too_dense_to_be_read_is_a_turn_without_text():
    """The turn before it, which looks easy, must not be taken for the task."""
    head = json.loads(cut(with_messages(SYSTEM, TURN, b'{"role":"user","content":%b}' % dense(b"[],", 8 * MIB))))
    assert head["messages"][-1] == {"role": "user", "content": ""}
    assert head["messages"][0] == json.loads(SYSTEM)


@pytest.mark.parametrize("count", [1, 2, 3, 1023, 1024, 1025, 3000])
@pytest.mark.parametrize("long", ["x" * 300_000, 'say "\\"[{,' * 30_000, "é\\" * 200_000])
def test_messages_stay_in_order_and_none_is_there_twice(count, long):
    whole = [{"role": "user", "content": f"{i} {long if i == count // 2 else 'x' * 100}"} for i in range(count)]
    for indent in (None, 1):
        body = json.dumps({"messages": whole, "pad": "x" * MAX_INLINE_BYTES}, indent=indent).encode()
        numbers = [int(message["content"].split()[0]) for message in json.loads(cut(body))["messages"]]
        assert numbers == sorted(set(numbers))
        assert (numbers[0], numbers[-1]) == (0, count - 1)
        if count <= 3:
            assert len(numbers) == count


def test_large_fields_keep_what_decides():
    head = json.loads(
        cut(
            encoded(
                {
                    "messages": [{"role": "user", "content": "x"}],
                    "tools": [{"type": "function", "function": {"name": "f", "description": "x" * 400_000}}],
                    "response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": ["x"] * 200_000}}},
                    "metadata": {"tierwise_service": "billing", "other": ["x"] * 200_000},
                    "tool_choice": {"type": "function", "function": {"name": "f", "y": [1] * 50_000}},
                }
            )
        )
    )
    assert head["tools"][0]["type"] == "function"
    assert head["response_format"]["type"] == "json_schema"
    assert head["metadata"]["tierwise_service"] == "billing"
    assert head["tool_choice"]["function"]["name"] == "f"


def test_the_outline_has_every_field_that_the_classifier_reads():
    structs = [
        struct
        for _, struct in inspect.getmembers(features, inspect.isclass)
        if issubclass(struct, msgspec.Struct) and struct.__module__ == features.__name__ and struct.__name__[0] == "_"
    ]
    assert structs
    read = {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}
    assert read <= set(_Outline.__struct_fields__)


@settings(max_examples=100)
@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers(-5, 5) | st.text('"\\[]{},: é', max_size=8),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text('"\\a[', max_size=3), inner, max_size=3)
            ),
            max_leaves=12,
        ),
        max_size=8,
    ),
    st.sampled_from([None, 1]),
)
def test_a_list_is_read_from_both_ends_as_it_is(values, indent):
    padding = "\\" * MAX_INLINE_BYTES
    head = json.loads(cut(json.dumps({"messages": [padding, *values, padding]}, indent=indent).encode()))
    assert head["messages"][1:-1] == values

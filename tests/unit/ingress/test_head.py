import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingress.head import BadBody, cut
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
    messages = json.loads(head)["messages"]
    assert all({"role", "content"} <= message.keys() for message in messages)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"null", b'{"a":"\xff"}', b"[" * 300_000, b'{"a":' * 300_000, b'{"a":1}x']
)
def test_what_is_no_json_object_is_refused_with_a_sentence(body):
    with pytest.raises(BadBody) as caught:
        cut(body)
    assert caught.value.refusal.status == 400
    assert caught.value.refusal.message


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise_anything_else(body):
    with suppress(BadBody):
        cut(body)

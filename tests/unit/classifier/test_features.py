"""Reading a chat body: what is lenient, what is refused, and that nothing else can happen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.classifier.features import SYSTEM_HEAD, USER_HEAD, USER_TAIL, BadRequest, ChatRequest, read
from services.ingress.head import cut

HELLO = [{"role": "user", "content": "Hello"}]


def read_all(body: bytes) -> ChatRequest:
    return read(body, len(body))


def read_json(**fields: Any) -> ChatRequest:
    return read_all(json.dumps({"messages": HELLO, **fields}).encode())


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (b"", "", "empty"),
        (b" \r\n", "", "empty"),
        (b"{", "", "not valid JSON"),
        (b'{"messages": [{"role": "user", "content": "a"}]} x', "", "not valid JSON"),
        (b"[]", "", "must be a JSON object"),
        (b"null", "", "must be a JSON object"),
        (b'"text"', "", "must be a JSON object"),
        (b"{}", "messages", "missing"),
        (b'{"messages": "Hello"}', "messages", "array"),
        (b'{"messages": null}', "messages", "array"),
        (b'{"messages": []}', "messages", "length >= 1"),
        (b'{"messages": [5]}', "messages[0]", "object"),
        (b'{"messages": [{"content": "a"}]}', "messages[0].role", "missing"),
        (b'{"messages": [{"role": "user"}]}', "messages[0].content", "missing"),
        (b'{"messages": [{"role": "user", "content": 7}]}', "messages[0].content", "int"),
        (b'{"messages": [{"role": "user", "content": ["a"]}]}', "messages[0].content[0]", "object"),
        (
            b'{"messages": [{"role": "user", "content": [{"type": "text"}]}]}',
            "messages[0].content[0].text",
            "missing",
        ),
    ],
)
def test_a_body_that_is_no_chat_is_refused_with_its_place(body: bytes, param: str, says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_all(body)
    refusal = caught.value.refusal
    assert (refusal.status, refusal.type, refusal.param) == (400, "invalid_request_error", param)
    assert says in refusal.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 5),
        ("stream", "yes"),
        ("stream_options", True),
        ("max_tokens", "a"),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", 2**40),
        ("max_completion_tokens", 1.5),
        ("temperature", "hot"),
        ("n", 0),
        ("n", 1000),
        ("seed", "x"),
        ("tools", {}),
        ("tools[0]", [5]),
        ("tool_choice", 5),
        ("response_format", "json"),
        ("metadata", "x"),
    ],
)
def test_a_wrong_type_is_refused_with_its_field_and_advice(field: str, value: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        read_json(**{field.partition("[")[0]: value})
    assert caught.value.refusal.param == field
    assert caught.value.refusal.message.endswith(".")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tierwise_service", 5),
        ("tierwise_service", "a" * 200),
        ("tierwise_service", "a\nb"),
        ("tierwise_service", "a\0"),
        ("tierwise_tier", []),
        ("tierwise_max_cost_usd", "much"),
        ("tierwise_max_cost_usd", "1_0"),
        ("tierwise_max_cost_usd", "\u0663"),
        ("tierwise_max_cost_usd", "-1"),
        ("tierwise_max_cost_usd", "nan"),
        ("tierwise_max_cost_usd", "1e999999999"),
        ("tierwise_max_cost_usd", "9" * 5000),
        ("tierwise_deadline_ms", 0),
        ("tierwise_deadline_ms", -5),
        ("tierwise_deadline_ms", 1.5),
        ("tierwise_deadline_ms", 10**12),
        ("tierwise_deadline_ms", 10**400),
        ("tierwise_deadline_ms", True),
        ("tierwise_deadline_ms", "0"),
        ("tierwise_deadline_ms", "soon"),
        ("tierwise_deadline_ms", "1e3"),
        ("tierwise_deadline_ms", "\u0663"),
        ("tierwise_deadline_ms", "9" * 5000),
        ("tierwise_cache", "off"),
        ("tierwise_cache", "bypass,"),
        ("tierwise_cache", "bypass no-store"),
        ("tierwise_cache", ["bypass"]),
    ],
)
def test_metadata_of_ours_is_checked(name: str, value: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        read_json(metadata={name: value})
    assert caught.value.refusal.param == f"metadata.{name}"


@pytest.mark.parametrize(
    "unread",
    [
        b'"\xff"', b'{"\xff": 1}', b'"\xed\xa0\x80"', b'"\xc0\xaf"', b'"\\x"', b'"\\u12"', b'"a\nb"', b'"a\x00"',
        b"01", b"1.", b".5", b"+1", b"1e", b"NaN", b"Infinity", b"nul", b"[1,]", b'{"a": 1,}', b"'a'", b"// no",
        b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
)  # fmt: skip
def test_a_field_that_nobody_reads_must_be_json_too(unread: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read_all(b'{"messages": [{"role": "user", "content": "a"}], "unread": ' + unread + b"}")
    assert caught.value.refusal.code == "invalid_json"


def test_unknown_fields_and_nulls_are_fine() -> None:
    nothing = dict.fromkeys(
        ("model", "tools", "tool_choice", "response_format", "stream", "stream_options", "max_tokens", "n",
         "metadata", "max_completion_tokens", "temperature", "seed")
    )  # fmt: skip
    asked = read_json(**nothing, top_k=5, reasoning={"effort": "high"}, metadata_of_theirs=[1])
    assert (asked.model, asked.output_cap, asked.needs, asked.streamed, asked.choices) == ("", 0, (), False, 1)


def test_an_assistant_may_say_nothing_but_call_a_tool() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = read_json(
        messages=[
            *HELLO,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "42"},
        ]
    )
    assert asked.needs == ("tools",)
    assert asked.user == "Hello"


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, ()),
        ({"tools": []}, ()),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, ("tools",)),
        ({"functions": [{"name": "f"}]}, ("tools",)),
        ({"response_format": {"type": "json_object"}}, ()),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}}, ("json_schema",)),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            ("vision",),
        ),
    ],
)
def test_what_a_backend_must_be_able_to_do(fields: dict[str, Any], needs: tuple[str, ...]) -> None:
    assert read_json(**fields).needs == needs


def test_tokens_are_estimated_by_bytes_of_text_and_not_of_pictures() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
    text = {"type": "text", "text": "é" * 2000}
    asked = read_json(messages=[{"role": "user", "content": [text, picture]}])
    assert asked.input_tokens == 1250 + 4 + 1100


@pytest.mark.parametrize(
    ("text", "tokens"), [("word " * 80, 100), ("слово" * 80, 250), ("字" * 100, 100), ("क" * 100, 100)]
)
def test_a_token_is_four_bytes_of_ascii_and_three_or_so_of_another_script(text, tokens):
    for content in (text, [{"type": "text", "text": text}]):
        assert read_json(messages=[{"role": "user", "content": content}]).input_tokens == tokens + 4


def test_the_head_of_a_large_body_counts_as_the_whole() -> None:
    head = json.dumps({"messages": HELLO}).encode()
    assert read(head, len(head) + 4_000_000).input_tokens == read_all(head).input_tokens + 1_000_000


def test_the_larger_cap_counts_for_a_backend_may_heed_either() -> None:
    assert read_json(max_tokens=10, max_completion_tokens=700).output_cap == 700


def test_the_task_is_the_ends_of_the_system_prompt_and_of_the_last_user_turn() -> None:
    asked = read_json(
        messages=[
            {"role": "system", "content": "S" * 5000},
            {"role": "user", "content": "before"},
            {"role": "user", "content": [{"type": "text", "text": "B" + "x" * 5000}, {"type": "text", "text": "E"}]},
            {"role": "assistant", "content": "later"},
        ]
    )
    assert asked.system.startswith("S" * SYSTEM_HEAD + "\n")
    assert asked.user[0] == "B"
    assert asked.user[-2:] == "\nE"
    assert len(asked.user) == USER_HEAD + USER_TAIL + 1
    assert asked.user_chars == 5003


def test_usage_is_wanted_only_of_a_stream() -> None:
    assert read_json(stream=True, stream_options={"include_usage": True}).usage_wanted
    assert not read_json(stream_options={"include_usage": True}).usage_wanted


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["messages", "model", "tools", "tool_choice", "response_format", "stream", "stream_options", "max_tokens", "n",
     "temperature", "seed", "metadata", "functions", "max_completion_tokens", "other"]
)  # fmt: skip
MESSAGE_FIELDS = st.sampled_from(["role", "content", "tool_calls", "name", "type", "text", "image_url"])
MESSAGES = st.lists(
    st.dictionaries(MESSAGE_FIELDS, JSON | st.lists(st.dictionaries(MESSAGE_FIELDS, JSON, max_size=3), max_size=3)),
    max_size=3,
)


def reads_or_refuses(body: bytes) -> None:
    try:
        read_all(body)
    except BadRequest as bad:
        refusal = bad.refusal
    else:
        return
    assert refusal.status == 400
    assert refusal.message


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    reads_or_refuses(body)


@given(JSON | st.dictionaries(FIELDS, JSON | MESSAGES), st.booleans())
def test_any_json_is_read_or_refused(value: Any, ascii_only: bool) -> None:
    reads_or_refuses(json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass"))


@given(st.binary(max_size=6), st.integers(0, 70))
def test_a_body_with_a_hole_of_any_bytes_is_read_or_refused(noise: bytes, at: int) -> None:
    body = json.dumps({"messages": HELLO, "model": "auto", "n": 1}).encode()
    reads_or_refuses(body[:at] + noise + body[at + len(noise) :])


# Conversations, tools, fields -------------------------------------------------------------------------------

SYSTEM = {"role": "system", "content": "You help."}
CALL = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "found " * 100}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def test_a_tools_result_changes_nothing_of_the_task() -> None:
    asked = read_json(messages=[SYSTEM, *HELLO], tools=TOOLS)
    answered = read_json(messages=[SYSTEM, *HELLO, CALL, RESULT, CALL, RESULT], tools=TOOLS)
    assert (asked.tool_turn, answered.tool_turn) == (False, True)
    assert answered.input_tokens > asked.input_tokens + 300
    for same in ("session", "task_tokens", "messages", "user", "system", "user_chars"):
        assert getattr(answered, same) == getattr(asked, same), same
    assert asked.task_tokens == asked.input_tokens


def test_only_a_conversation_has_a_session_and_each_its_own() -> None:
    turn = [SYSTEM, *HELLO, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And?"}]
    assert read_json(messages=HELLO).session == read_json(messages=[SYSTEM, *HELLO]).session == 0
    session = read_json(messages=turn).session
    assert session != 0
    assert read_json(messages=[*turn, CALL, RESULT, *HELLO]).session == session
    assert read_json(messages=[SYSTEM, *HELLO], tools=TOOLS).session == session
    other = [SYSTEM, {"role": "user", "content": "Hello you"}, *turn[2:]]
    assert read_json(messages=other).session != session


def test_a_session_is_that_of_the_head_of_a_large_body_too() -> None:
    long = {"role": "user", "content": "x" * 300_000 + "y"}
    body = json.dumps({"messages": [SYSTEM, long, {"role": "assistant", "content": "Hi."}, *HELLO]}).encode()
    assert read(cut(body), len(body)).session == read_all(body).session != 0

"""A provider's stream as it passes: nothing lost, nothing shown that was not asked for, however it is cut."""

import json

import pytest

from services.dispatcher.events import MAX_EVENT_BYTES, EventStream, EventTooLarge
from services.dispatcher.providers.openai import Usage


def event(delta=None, finish=None, **more) -> bytes:
    choice = {"index": 0, "delta": delta if delta is not None else {}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}, separators=(",", ":")).encode() + b"\n\n"


ROLE = event({"role": "assistant", "content": ""})
HELLO = event({"content": 'Hel\n\nlo: "usage" and [DONE]'})
WORLD = event({"content": " world"})
END = event({}, "stop")
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = ROLE + b": a comment\n\n" + HELLO + WORLD + END + USAGE + DONE


def run(wire: bytes, size: int, *, hide_usage: bool = True) -> tuple[bytes, EventStream]:
    stream = EventStream(hide_usage=hide_usage)
    passed = b"".join(stream.feed(wire[i : i + size]) for i in range(0, len(wire), size))
    return passed, stream


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_however_it_is_cut_the_same_passes(size):
    passed, stream = run(WHOLE, size)
    assert passed == ROLE + b": a comment\n\n" + HELLO + WORLD + END
    assert (stream.began, stream.finished, stream.done) == (True, True, True)
    assert stream.usage == Usage(5, 0, 2)


@pytest.mark.parametrize("size", [1, 13, 1000])
def test_lines_may_end_as_windows_has_them(size):
    passed, stream = run(WHOLE.replace(b"\n", b"\r\n").replace(b"\\r\\n", b"\\n"), size)
    assert passed == ROLE + b": a comment\n\n" + HELLO + WORLD + END
    assert stream.done


def test_who_asked_for_usage_sees_it():
    passed, _ = run(WHOLE, 1000, hide_usage=False)
    assert passed.endswith(END + USAGE)


def test_who_did_not_ask_sees_no_trace_of_our_asking():
    wire = event({"content": "a"}, usage=None) + event({"content": "b"}, usage=None) + USAGE + DONE
    passed, stream = run(wire, 1000)
    assert passed == event({"content": "a"}) + event({"content": "b"})
    assert stream.usage == Usage(5, 0, 2)


def test_the_answer_begins_with_content_not_with_a_role():
    stream = EventStream(hide_usage=True)
    stream.feed(ROLE)
    assert not stream.began
    stream.feed(HELLO)
    assert stream.began


@pytest.mark.parametrize(
    "delta", [{"tool_calls": [{"index": 0}]}, {"reasoning_content": "hm"}, {"refusal": "no"}, {"content": "x"}]
)
def test_whatever_a_model_says_is_content(delta):
    stream = EventStream(hide_usage=True)
    stream.feed(event(delta))
    assert stream.began


def test_content_is_counted_for_what_is_not_reported():
    _, stream = run(ROLE + HELLO + WORLD, 1000)
    assert (stream.content_events, stream.usage) == (2, None)


def test_an_error_event_is_not_passed_as_an_answer():
    passed, stream = run(HELLO + b'data: {"error":{"message":"out of memory"}}\n\n', 1000)
    assert passed == HELLO
    assert stream.error is not None
    assert stream.error.message == "out of memory"


def test_an_event_that_is_no_json_is_an_error():
    _, stream = run(b"data: {oops\n\n", 1000)
    assert stream.error is not None


def test_nothing_after_done_passes():
    passed, _ = run(HELLO + DONE + WORLD, 1000)
    assert passed == HELLO


def test_an_event_without_end_is_refused_before_it_fills_the_memory():
    stream = EventStream(hide_usage=True)
    stream.feed(b"x" * MAX_EVENT_BYTES)
    with pytest.raises(EventTooLarge):
        stream.feed(b"x")

"""The backend that everyone is measured with does what the request names."""

import pytest

from bench import traffic
from bench.mock import Script, lines_of, script_of


@pytest.mark.parametrize("size", [0, 20_000, 200_000])
def test_a_request_is_at_least_as_large_as_wanted_and_little_larger(size):
    body = traffic.request("auto", size)

    assert max(size, 500) <= len(body) <= max(size + 200, 700)
    assert script_of(body) is None


def test_a_streamed_request_names_its_pace():
    assert script_of(traffic.streamed_request("auto", 50, 10)) == Script(50, 0.01, with_usage=False)


def test_the_pace_of_a_request_that_is_not_streamed_means_nothing():
    assert script_of(traffic.streamed_request("auto", 50, 10).replace(b'"stream": true', b'"stream": false')) is None


@pytest.mark.parametrize("spelling", [b'"stream":true', b'"stream" : true'])
def test_a_router_may_write_the_request_anew(spelling):
    body = traffic.streamed_request("auto", 50, 0).replace(b'"stream": true', spelling)

    assert script_of(body) == Script(50, 0.0, with_usage=False)


def test_the_end_follows_so_many_pieces():
    lines = lines_of(Script(50, 0.0, with_usage=False))

    assert len(lines) == 51
    assert all(line.count(b"data: {") == 1 for line in lines[:-1])
    assert lines[-1] == b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def test_usage_comes_where_it_was_asked_for():
    asked = traffic.streamed_request("auto", 3, 0)[:-1] + b', "stream_options": {"include_usage": true}}'
    script = script_of(asked)

    assert script is not None
    assert b'"usage":{"prompt_tokens":112' in lines_of(script)[-1]

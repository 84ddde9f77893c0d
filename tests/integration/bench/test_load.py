"""The loads count what was answered, and nothing else."""

import sys

import pytest

from bench import load as loads
from bench import traffic
from bench.load import Door, Wanted, load
from bench.processes import free_port, listening
from tests.support.upstream import Upstream, answer, response, stream

PLAIN = Wanted("plain", 4, 1)
STREAMS = Wanted("streams", 4, 0.5, ramp_s=0.1, pieces=20)


@pytest.fixture(scope="module")
def backend():
    """A door of our own mock."""
    port = free_port()
    with listening([sys.executable, "-m", "bench.mock", str(port)], port) as server:
        yield Door(server.url + "/v1/chat/completions", "mock", {})


@pytest.fixture
def odd():
    """A backend that does as the test says."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(params=["wrk", "own"])
def either(request, monkeypatch):
    """With `wrk`, and with our own client."""
    if request.param == "own":
        monkeypatch.setattr(loads, "has_wrk", lambda: False)
    elif not loads.has_wrk():
        pytest.skip("wrk is not installed")


def door(upstream):
    return Door(f"{upstream.url}/chat/completions", "mock", {"x-key": "k"})


def figures_of(door, body, wanted):
    with load(door, body, wanted) as loading:
        loading.until_begun()
        loading.until_ended()
        return loading.figures()


@pytest.mark.usefixtures("either")
def test_answers_are_counted_and_timed(backend):
    figures = figures_of(backend, traffic.request("mock"), PLAIN)

    assert figures["requests"] > 0
    assert figures["errors"] == 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]


@pytest.mark.usefixtures("either")
def test_a_refusal_is_no_answer(odd):
    async def refuse(request):
        await request.write(response(503, b"{}"))

    odd.always(refuse)
    figures = figures_of(door(odd), traffic.request("mock"), PLAIN)

    assert figures["requests"] == 0
    assert figures["errors"] > 0


@pytest.mark.usefixtures("either")
def test_the_request_goes_out_whole_and_with_the_doors_headers(odd):
    body = traffic.request("mock", 20_000)
    figures_of(door(odd), body, PLAIN)

    assert odd.requests[0].body == body
    assert odd.requests[0].headers["x-key"] == "k"


def test_every_chunk_of_a_stream_is_counted(backend):
    once = Wanted("streams", 4, 2, pieces=20, again=False)
    figures = figures_of(backend, traffic.streamed_request("mock", 20, 0), once)

    assert (figures["streams"], figures["chunks"], figures["errors"]) == (4, 4 * 21, 0)


def test_an_event_that_comes_in_two_parts_is_counted_once(odd):
    async def cut_up(request):
        await request.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for part in (b"data: {}\n\ndata: {}\n\nda", b"ta: {}\n\ndata: [DO", b"NE]\n\n"):
            await request.write(b"%x\r\n%b\r\n" % (len(part), part))
        await request.write(b"0\r\n\r\n")

    odd.always(cut_up)
    once = Wanted("streams", 1, 2, pieces=3, again=False)
    figures = figures_of(door(odd), traffic.streamed_request("mock", 3, 0), once)

    assert (figures["chunks"], figures["errors"]) == (4, 0)


def test_a_paced_stream_has_gaps_and_does_not_stall(backend):
    figures = figures_of(backend, traffic.streamed_request("mock", 20, 10), STREAMS)

    assert figures["gap_max_ms"] > 0
    assert (figures["stalled"], figures["errors"]) == (0, 0)


def test_a_stream_that_ends_too_early_is_an_error(odd):
    odd.always(stream(["too", "short"]))
    figures = figures_of(door(odd), traffic.streamed_request("mock", 20, 0), STREAMS)

    assert figures["errors"] == figures["streams"] > 0


def test_a_stream_that_is_cut_is_an_error(odd):
    odd.always(stream(["cut"], ends="cut"))
    once = Wanted("streams", 2, 0.2, pieces=20, again=False)

    assert figures_of(door(odd), traffic.streamed_request("mock", 20, 0), once)["errors"] == 2


def test_requests_sent_together_are_all_waited_for(odd):
    odd.always(answer(after_s=0.2))
    odd.script(answer(), answer())
    figures = figures_of(door(odd), traffic.request("mock", 300_000), Wanted("together", 6, 30))

    assert (figures["requests"], figures["errors"]) == (6, 0)


def test_one_that_is_not_answered_in_time_is_an_error(odd):
    odd.always(answer(after_s=30))
    odd.script(answer())
    figures = figures_of(door(odd), traffic.request("mock"), Wanted("together", 3, 0.5))

    assert (figures["requests"], figures["errors"]) == (1, 2)

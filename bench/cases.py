"""What is measured.

Cache hits are to be one more plain case, as soon as there is a cache: the same request again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench import traffic
from bench.load import Wanted
from bench.subject import DIRECT, FAST, NGINX, OWN, TENSORZERO, TIERWISE

PLAIN_64, PLAIN_1, UNPACED, PACED, SLOW, LARGE = (
    "plain-64", "plain-1", "streams-unpaced", "streams-paced", "streams-slow", "large-bodies",
)  # fmt: skip
PIECES = 50
PACE_MS = 10
SLOW_PACE_MS = 100
LARGE_BYTES = 20 * 2**20
LARGE_WITHIN_S = 120.0


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    door: str  # which backend answers
    body: Callable[[str], bytes]  # of the model's name
    wanted: Wanted
    rounds: int
    warm_up_s: float = 1.0
    per: str = "requests"  # what CPU time is divided by: a key of the load's figures
    only: frozenset[str] | None = None  # the subjects; None: all
    watches_peak: bool = False  # of the frame's memory


def cases(*, quick: bool) -> list[Case]:
    """Where `quick`, one short run each of those that the targets are about."""
    if quick:
        short = [_plain(64, 2, 1), _plain(1, 1, 1), _unpaced(1.5, 1), _paced(2, 1), _slow(3, 1), _large(1)]
        return [replace(case, warm_up_s=case.warm_up_s / 2) for case in short]
    return [
        _plain(64, 5, 3),
        _plain(1, 3, 3),
        _plain(8, 3, 3),
        # In three seconds, LiteLLM would answer hardly any of 512 at once.
        replace(_plain(512, 3, 3), only=frozenset({DIRECT, NGINX, TIERWISE, TENSORZERO})),
        _larger(20, 3, 3),
        _larger(200, 3, 3),
        _unpaced(3, 3),
        _paced(4, 3),
        _slow(15, 2),
        _large(2),
    ]


def _plain(connections: int, seconds: float, rounds: int) -> Case:
    name = "connection" if connections == 1 else "connections"
    return Case(
        f"plain-{connections}",
        f"plain chat, {connections} {name}, 0.6 KB",
        FAST,
        traffic.request,
        Wanted("plain", connections, seconds),
        rounds,
    )


def _larger(kilobytes: int, seconds: float, rounds: int) -> Case:
    return Case(
        f"plain-{kilobytes}kb",
        f"plain chat, 64 connections, {kilobytes} KB",
        OWN,
        lambda model: traffic.request(model, kilobytes * 1000),
        Wanted("plain", 64, seconds),
        rounds,
    )


def _unpaced(seconds: float, rounds: int) -> Case:
    return Case(
        UNPACED,
        f"64 streams at once, {PIECES} chunks and [DONE] as fast as possible",
        OWN,
        lambda model: traffic.streamed_request(model, PIECES, 0),
        Wanted("streams", 64, seconds, ramp_s=0.5, pieces=PIECES),
        rounds,
        per="chunks",
    )


def _paced(seconds: float, rounds: int) -> Case:
    return Case(
        PACED,
        f"64 streams at once, {PIECES} chunks, one each {PACE_MS} ms",
        OWN,
        lambda model: traffic.streamed_request(model, PIECES, PACE_MS),
        Wanted("streams", 64, seconds, ramp_s=PIECES * PACE_MS / 1000, pieces=PIECES),
        rounds,
        per="chunks",
    )


def _slow(seconds: float, rounds: int) -> Case:
    """All streams are under way while it counts, and then all come to their end."""
    ramp_s = 2.0
    pieces = int((ramp_s + seconds + 1) * 1000 / SLOW_PACE_MS)
    return Case(
        SLOW,
        f"1,000 streams at once, a chunk each {SLOW_PACE_MS} ms",
        OWN,
        lambda model: traffic.streamed_request(model, pieces, SLOW_PACE_MS),
        Wanted("streams", 1000, seconds, ramp_s=ramp_s, pieces=pieces, again=False),
        rounds,
        warm_up_s=0,
        per="chunks",
        only=frozenset({DIRECT, TIERWISE}),
    )


def _large(rounds: int) -> Case:
    return Case(
        LARGE,
        "64 bodies of 20 MiB at once",
        OWN,
        lambda model: traffic.request(model, LARGE_BYTES),
        Wanted("together", 64, LARGE_WITHIN_S),
        rounds,
        warm_up_s=0,
        only=frozenset({DIRECT, TIERWISE}),
        watches_peak=True,
    )

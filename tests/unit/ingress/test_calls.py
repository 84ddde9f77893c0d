"""Whose calls are ended for them, and when. The bus is a list, time is set."""

import asyncio
from unittest.mock import Mock

import msgspec
import pytest

from services.ingress import errors
from services.ingress.calls import AGAIN_BYTES, AGAIN_WITHIN_S, MAX_INLINE_IN_FLIGHT, SWEEP_EVERY_S, Call, Calls
from services.ingress.metrics import Counts
from shared.contracts import (
    AnswerHead,
    Beat,
    CallerLeft,
    ClaimAsked,
    Claimed,
    Frame,
    RequestReceived,
    encode,
    inbox,
    mark,
    pack,
    unpack,
)

ME = "req_0123456789ab"


class Bus:
    connected = True

    def __init__(self):
        self.now = 100.0
        self.published = []

    def time(self):
        return self.now

    def publish(self, subject, payload, reply=b""):
        self.published.append((subject, payload, reply))


class Waiting:
    is_slow = False

    def __init__(self):
        self.was_told = []

    def answer(self, _call, _head, body):
        self.was_told.append(body)

    def refuse(self, _call, refusal, _plan=None):
        self.was_told.append(refusal.code)

    def begin(self, _call, _head):
        self.was_told.append("head")

    def end(self, _call, data):
        self.was_told.append(data)

    def abort(self, _call):
        self.was_told.append("abort")


class World:
    """One ingress; `alive` beat whenever time passes, and answer claims at once unless they are `mute`."""

    def __init__(self):
        self.bus = Bus()
        self.calls = Calls(self.bus, ME, Counts())
        self.calls._swept_at = self.bus.now
        self.alive = {"c1": "classifier", "d1": "dispatcher", "d2": "dispatcher"}
        self.mute = set()
        self.holds = {}
        self._minted = 0
        self._read = 0
        self.pass_time(0.2)

    def send(self, holder=None, body=b"{}"):
        call, refusal = self._send(body)
        assert refusal is None
        if holder:
            self.holds.setdefault(holder, []).append(call.request_id)
        return call

    def refused(self, body):
        return self._send(body)[1]

    def _send(self, body):
        self._minted += 1
        call = Call(f"{ME}{self._minted:08x}", Waiting())
        received = RequestReceived(call.request_id, 0, "chat", "", "", 60_000, len(body))
        return call, self.calls.send(call, received, body)

    def begin(self, call, holder):
        head = AnswerHead(200, "text/event-stream", -1, "general", "small", "small-1", "m", (), 1, 1)
        frame = mark(Frame.HEAD, call.send, call.request_id.encode()) + encode(head)
        self.calls._on_frame(b"", inbox(holder, call.request_id).encode(), frame, b"")

    def answer(self, call, send):
        head = AnswerHead(200, "application/json", 2, "general", "small", "small-1", "m", (), 1, 1)
        frame = pack(head, b"{}", mark(Frame.ANSWER, send, call.request_id.encode()))
        self.calls._on_frame(b"", b"", frame, b"")

    def received(self, call):
        """What a classifier got, each time that this request went out."""
        routed = (payload for subject, payload, _ in self.bus.published if subject.startswith(b"route."))
        received = (msgspec.msgpack.decode(unpack(payload)[0], type=RequestReceived) for payload in routed)
        return [one for one in received if one.request_id == call.request_id]

    def sent(self, call):
        return [one.send for one in self.received(call)]

    def called_off(self, call):
        subject = f"cancel.{call.request_id}".encode()
        return [
            msgspec.msgpack.decode(payload, type=CallerLeft) for to, payload, _ in self.bus.published if to == subject
        ]

    def leave(self, instance):
        beat = Beat(self.alive.pop(instance), instance, 0, leaving=True)
        self.calls._deaths._on_beat(b"", b"", encode(beat), b"")

    def pass_time(self, seconds):
        for _ in range(round(seconds / SWEEP_EVERY_S)):
            self.bus.now += SWEEP_EVERY_S
            for instance, service in self.alive.items():
                self.calls._deaths._on_beat(b"", b"", encode(Beat(service, instance, 0)), b"")
            self.sweep()

    def sweep(self):
        self.calls._sweep()
        while self._read < len(self.bus.published):
            subject, _, reply = self.bus.published[self._read]
            self._read += 1
            if subject == ClaimAsked.subject.encode():
                for instance in self.alive.keys() - self.mute:
                    self.answer_claim(instance, reply)

    def answer_claim(self, instance, reply):
        claimed = Claimed(instance, tuple(self.holds.get(instance, ())))
        self.calls._deaths._on_claimed(reply, b"", msgspec.msgpack.encode(claimed), b"")

    @property
    def questions(self):
        return [reply for subject, _, reply in self.bus.published if subject == ClaimAsked.subject.encode()]


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(asyncio, "get_running_loop", Mock)
    return World()


def test_what_a_killed_dispatcher_held_is_sent_once_more_and_nothing_else(world):
    lost, kept = world.send("d1"), world.send("d2")
    del world.alive["d1"]
    world.pass_time(1.4)
    assert (world.sent(lost), world.sent(kept)) == ([0, 1], [0])
    assert world.called_off(lost) == [CallerLeft("given_up", 0)]
    world.answer(lost, send=0)
    assert lost.caller.was_told == [], "from the one that was given up: another answer is coming"
    world.answer(lost, send=1)
    assert lost.caller.was_told == [b"{}"]


def test_where_only_one_dispatcher_ran_the_next_one_is_awaited(world):
    del world.alive["d2"]
    lost = world.send("d1")
    del world.alive["d1"]
    world.pass_time(2.5)
    assert (world.sent(lost), lost.caller.was_told) == ([0], [])
    world.alive["d3"] = "dispatcher"
    world.pass_time(0.3)
    assert (world.sent(lost), lost.caller.was_told) == ([0, 1], [])


def test_a_dispatcher_is_not_awaited_for_ever(world):
    del world.alive["d2"]
    lost = world.send("d1")
    del world.alive["d1"]
    world.pass_time(1.4 + AGAIN_WITHIN_S)
    assert (world.sent(lost), lost.caller.was_told) == ([0], ["holder_died"])


def test_what_is_lost_a_second_time_is_ended(world):
    call = world.send("d1")
    del world.alive["d1"]
    world.pass_time(1.4)
    world.holds["d2"] = [call.request_id]
    world.pass_time(5)
    assert (world.sent(call), call.caller.was_told) == ([0, 1], [])
    del world.alive["d2"]
    world.pass_time(1.4)
    assert (world.sent(call), call.caller.was_told) == ([0, 1], ["holder_died"])


def test_what_must_not_be_paid_twice_is_not_sent_again(world):
    call = world.send("d1")
    call.once = True
    del world.alive["d1"]
    world.pass_time(1.4)
    assert (world.sent(call), call.caller.was_told) == ([0], ["holder_died"])
    assert not errors.MAY_HAVE_RUN.may_retry, "nor by an SDK that would do it by itself"


def test_what_is_sent_again_says_how_long_it_has_waited(world):
    call = world.send("d1")
    del world.alive["d1"]
    world.pass_time(1.4)
    first, second = world.received(call)
    assert first.waited_ms == 0
    assert 1000 <= second.waited_ms <= 1400
    assert second.waited_ms + second.deadline_ms == first.deadline_ms


def test_a_death_is_no_flood(world):
    calls = [world.send("d1", b"x" * 200_000) for _ in range(100)]
    del world.alive["d1"]
    again = 0
    while not again:
        world.pass_time(SWEEP_EVERY_S)
        again = sum(world.sent(call) == [0, 1] for call in calls)
    assert again == AGAIN_BYTES // 200_000 + 1
    world.pass_time(1)
    assert all(world.sent(call) == [0, 1] for call in calls)


def test_bodies_under_way_have_a_bound(world):
    size = MAX_INLINE_IN_FLIGHT // 4
    calls = [world.send("d1", b"x" * size) for _ in range(4)]
    calls.append(world.send("d1", b"x"))
    assert world.refused(b"x").code == "overloaded"
    world.answer(calls[0], 0)
    assert world.refused(b"x") is None


def test_what_was_sent_to_a_frozen_dispatcher_long_after_it_froze_is_sent_again(world):
    del world.alive["d1"]
    world.pass_time(30)
    assert not world.questions, "nobody waits"
    lost = world.send("d1")
    world.pass_time(1.5)
    assert world.sent(lost) == [0, 1]


def test_a_stream_whose_dispatcher_left_without_its_end_is_ended(world):
    left, kept = world.send(), world.send("d2")
    world.begin(left, "d1")
    world.begin(kept, "d2")
    world.leave("d1")
    world.pass_time(0.5)
    assert b"holder_died" in left.caller.was_told[-1]
    assert kept.caller.was_told == ["head"]


def test_nobody_is_asked_about_streams_that_the_living_send(world):
    call = world.send()
    world.begin(call, "d2")
    del world.alive["d1"]
    world.pass_time(5)
    assert not world.questions


def test_nothing_is_buried_while_one_that_lives_has_not_answered(world):
    world.mute.add("d2")
    held_by_slow, lost = world.send("d2"), world.send("d1")
    del world.alive["d1"]
    world.pass_time(2)
    assert (held_by_slow.caller.was_told, lost.caller.was_told) == ([], [])
    world.mute.clear()
    world.answer_claim("d2", world.questions[-1])
    world.pass_time(0.2)
    assert world.sent(held_by_slow) == [0]
    assert world.sent(lost) == [0, 1]


def test_a_plan_on_its_way_while_its_dispatcher_answers_is_not_taken_for_lost(world):
    world.mute.update(("c1", "d2"))
    call = world.send()
    del world.alive["d1"]
    world.pass_time(1.2)
    first = world.questions[-1]
    world.answer_claim("d2", first)  # not yet
    world.holds["d2"] = [call.request_id]
    world.mute.clear()
    world.answer_claim("c1", first)  # no more
    world.pass_time(1)
    assert call.caller.was_told == []


def test_an_ingress_that_stood_still_during_an_inquiry_begins_anew(world):
    world.mute.update(("c1", "d2"))
    call = world.send("d2")
    del world.alive["d1"]
    world.pass_time(1.2)
    asked = len(world.questions)
    assert asked
    world.bus.now += 30
    world.sweep()
    assert call.caller.was_told == []
    world.mute.clear()
    world.pass_time(1.5)
    assert len(world.questions) > asked
    assert call.caller.was_told == []

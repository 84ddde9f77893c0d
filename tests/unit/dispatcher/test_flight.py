"""A flight's turns, driven by hand: the edges (bus, upstream, clock) are played by the test."""

from types import SimpleNamespace

import msgspec
import pytest
from msgspec import Raw

from services.dispatcher.backends import Backends
from services.dispatcher.downlink import Downlink
from services.dispatcher.failures import ConnectFailed, Disconnected, TimedOut
from services.dispatcher.flight import Flight
from services.dispatcher.tower import STOPPING
from shared.contracts import AnswerHead, Features, Frame, PlanRefused, RequestPlanned, RequestUsage, encode, unpack
from shared.policy import from_tree

JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream")]
RESERVED = 1000
MARK = 3 + 8
POLICY = from_tree(
    {
        "tiers": ["small", "large"],
        "backends": [
            {
                "name": name,
                "tier": tier,
                "provider": "vllm",
                "base_url": "http://127.0.0.1:9/v1",
                "model": f"{name}-model",
                "price": {"input_per_1m": price, "output_per_1m": price},
                "context_window": 1000,
                "thinking": False,
            }
            for name, tier, price in (("cheap", "small", 1), ("dear", "large", 100))
        ],
    },
    {},
)


class Upstream:
    """Takes a call and holds it; the test answers through `call`."""

    def __init__(self):
        self.call = None
        self.body = b""
        self.silence_s = None

    def post(self, path, body, call, silence_s):
        self.call, self.body, self.silence_s = call, body, silence_s
        call.exchange = SimpleNamespace(
            silence_s=silence_s, sent=True, cancelled=False, pause=lambda: None, resume=lambda: None
        )
        call.exchange.cancel = lambda: setattr(call.exchange, "cancelled", True) if call.exchange else None

    def answer(self, status, body, headers=JSON):
        self.call.on_head(status, headers)
        self.call.on_body(body)
        self.call.on_end()


class Tower:
    def __init__(self):
        self.now = 0.0
        self.frames: list[bytes] = []
        self.records: list[RequestUsage] = []
        self.counts: list[tuple[str, int, int]] = []
        self.landed_flights = []
        self.failures: list[tuple[str, str]] = []
        self.bugs: list[Exception] = []

    def downlink(self, request_id, send):
        return Downlink(lambda _to, frame, _reply: self.frames.append(frame), request_id, send, b"_INBOX.d.")

    def record(self, usage):
        encode(usage)
        self.records.append(usage)

    def counted(self, backend, estimated, reported):
        self.counts.append((backend, estimated, reported))

    def landed(self, flight):
        self.landed_flights.append(flight)

    def failed(self, backend, why):
        self.failures.append((backend, why))

    def broke(self, flight, error):
        self.bugs.append(error)

    def time(self):
        return self.now


@pytest.fixture
def tower():
    return Tower()


@pytest.fixture
async def world(tower):
    """A function that begins a flight over two backends, and the two of them."""
    backends = Backends({})
    backends.publish(POLICY, 1)
    targets = backends.of(1)
    cheap, dear = Upstream(), Upstream()
    targets["cheap"].origin, targets["dear"].origin = cheap, dear

    def begin(body=b'{"model":"auto","messages":[]}', **changes):
        plan = msgspec.structs.replace(
            RequestPlanned(
                "req_0123456789ab00000001", 1, "chat", "default", "normal", 10_000, len(body), False, 0, 1, "general",
                "small", ("category",), ("cheap", "dear"), "dear", False, False, 10, RESERVED,
                features=Raw(encode(Features(max_tokens=100))),
            ),
            **changes,
        )  # fmt: skip
        flight = Flight(plan, plan.request_id.encode(), body, targets, tower)
        flight.begin()
        return flight

    return SimpleNamespace(begin=begin, cheap=cheap, dear=dear, targets=targets)


def refused(tower) -> PlanRefused:
    [frame] = tower.frames
    assert frame[0] == Frame.REFUSED
    return msgspec.msgpack.decode(frame[MARK:], type=PlanRefused)


def answered(tower) -> tuple[AnswerHead, bytes]:
    frame = tower.frames[-1]
    assert frame[0] == Frame.ANSWER
    head, body = unpack(frame, MARK)
    return msgspec.msgpack.decode(head, type=AnswerHead), body


def test_an_answer_is_recorded_ahead_of_itself(world, tower):
    world.begin()
    world.cheap.answer(200, b'{"usage":{"prompt_tokens":10,"completion_tokens":5}}')
    head, _ = answered(tower)
    [record] = tower.records
    assert (record.status, record.backend, record.cost_nano_usd) == (200, "cheap", 15_000)
    assert not record.attempts[0].is_cost_reported
    assert (head.cost_nano_usd, head.saved_nano_usd) == (15_000, 1_500_000 - 15_000)
    assert tower.counts == [("cheap", 10, 10)]
    assert world.targets["cheap"].load.in_flight == 0
    assert len(tower.landed_flights) == 1


def test_what_the_provider_says_it_bills_is_what_it_cost(world, tower):
    world.begin()
    world.cheap.answer(200, b'{"usage":{"prompt_tokens":10,"completion_tokens":5,"cost":0.0000123}}')
    head, _ = answered(tower)
    [record] = tower.records
    assert (record.cost_nano_usd, head.cost_nano_usd) == (12_300, 12_300)
    assert record.baseline_nano_usd == 1_500_000
    assert [(call.cost_nano_usd, call.is_cost_reported) for call in record.attempts] == [(12_300, True)]


def test_absurd_usage_is_counted_and_hurts_nobody(world, tower):
    world.begin()
    world.cheap.answer(200, b'{"usage":{"prompt_tokens":100000000000000000000000,"completion_tokens":5}}')
    [record] = tower.records
    assert (record.status, record.usage_source, record.input_tokens) == (200, "counted", 10)
    assert not tower.bugs


@pytest.mark.parametrize("failure", [ConnectFailed("refused"), TimedOut("slow", "connect")])
def test_a_call_that_was_never_sent_costs_nothing(world, tower, failure):
    flight = world.begin()
    flight.exchange.sent = False
    flight.on_failure(failure)
    world.dear.answer(200, b'{"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    first, second = tower.records[0].attempts
    assert (first.cost_nano_usd, first.usage_source, first.outcome) == (0, "none", "failed")
    assert second.cost_nano_usd == 200_000


def test_a_caller_who_leaves_before_anything_was_sent_pays_nothing(world, tower):
    flight = world.begin()
    flight.exchange.sent = False
    flight.cancel()
    [record] = tower.records
    assert (record.status, record.cost_nano_usd) == (499, 0)


def test_a_call_that_ended_without_a_word_is_charged_at_its_worst_case(world, tower):
    flight = world.begin()
    flight.on_failure(Disconnected("gone", began=False))
    world.dear.call.on_failure(Disconnected("gone", began=False))
    first, second = tower.records[0].attempts
    assert (first.usage_source, first.cost_nano_usd) == ("unknown", 110 * 1000)  # 10 in, 100 out, at 1 USD
    assert (second.usage_source, second.cost_nano_usd) == ("unknown", 110 * 100_000)  # at the dearer one's price
    assert refused(tower).refusal.status == 503


def test_what_is_unknown_is_never_cheaper_than_what_was_reserved(world, tower):
    flight = world.begin(reserved_nano_usd=10**12)
    flight.cancel()
    assert tower.records[0].cost_nano_usd == 10**12


CHEAP_AT_WORST, DEAR_AT_WORST = 120_000, 11_000_000  # the cheap one's input counted twice
LEASED = {"lease_id": "classifier-1.7", "reserved_nano_usd": CHEAP_AT_WORST + DEAR_AT_WORST}


def test_of_a_lease_each_call_is_charged_for_itself(world, tower):
    world.begin(**LEASED)
    world.cheap.call.on_failure(Disconnected("it went away", began=True))
    world.dear.answer(200, b'{"usage":{"prompt_tokens":10,"completion_tokens":20}}')
    [record] = tower.records
    assert [attempt.cost_nano_usd for attempt in record.attempts] == [CHEAP_AT_WORST, 3_000_000]
    assert (record.lease_id, record.reserved_nano_usd) == tuple(LEASED.values())


def test_of_a_lease_no_call_is_made_that_is_not_reserved_for(world, tower):
    world.begin(**{**LEASED, "reserved_nano_usd": CHEAP_AT_WORST + DEAR_AT_WORST - 1})
    world.cheap.call.on_failure(Disconnected("it went away", began=True))
    assert world.dear.call is None
    assert "does not cover a call of dear" in refused(tower).refusal.message
    [record] = tower.records
    assert record.cost_nano_usd == CHEAP_AT_WORST


def test_of_a_lease_what_is_unknown_has_its_input_twice_only_where_that_is_reserved(world, tower):
    world.begin(**{**LEASED, "reserved_nano_usd": CHEAP_AT_WORST - 1})
    world.cheap.call.on_failure(Disconnected("it went away", began=True))
    [record] = tower.records
    assert record.cost_nano_usd == CHEAP_AT_WORST - 10_000


def test_a_call_that_cost_nothing_leaves_the_reservation_to_the_next(world):
    world.begin(**{**LEASED, "reserved_nano_usd": DEAR_AT_WORST})
    world.cheap.answer(500, b"{}")
    assert world.dear.call is not None


def test_of_a_lease_it_is_told_that_nobody_was_called(world, tower):
    world.begin(body=b"not JSON", **LEASED)
    assert world.cheap.call is None
    [record] = tower.records
    assert (record.attempts, record.cost_nano_usd, record.usage_source, record.backend) == ((), 0, "none", "")
    assert (record.lease_id, record.reserved_nano_usd) == tuple(LEASED.values())


def test_a_body_that_cannot_be_rewritten_is_refused_and_holds_no_place(world, tower):
    world.begin(b'{"model":"auto","messages":[],"chat_template_kwargs":"x"}')
    assert refused(tower).refusal.status == 400
    assert world.targets["cheap"].load.in_flight == 0
    assert not tower.records, "nobody was called"


def test_a_bug_in_one_flight_is_answered_and_logged(world, tower, monkeypatch):
    world.begin()
    monkeypatch.setattr("services.dispatcher.providers.openai.read_usage", lambda _: 1 // 0)
    world.cheap.answer(200, b"{}")
    assert refused(tower).refusal.status == 500
    assert [type(bug) for bug in tower.bugs] == [ZeroDivisionError]
    assert len(tower.landed_flights) == 1
    assert world.targets["cheap"].load.in_flight == 0


def test_a_providers_words_are_for_the_log_and_its_kind_for_the_caller(world, tower):
    world.begin()
    world.cheap.answer(500, b'{"error":{"message":"key sk-123 of 10.0.0.7"}}')
    world.dear.call.exchange.sent = False
    world.dear.call.on_failure(ConnectFailed("cannot connect to 10.0.0.8:80"))
    message = refused(tower).refusal.message
    assert "it cannot be reached" in message
    assert "10.0.0" not in message
    assert "sk-" not in message
    assert tower.failures == [
        ("cheap", "answered 500: key sk-123 of 10.0.0.7"),
        ("dear", "cannot connect to 10.0.0.8:80"),
    ]


def test_a_lora_adapters_name_is_what_the_backend_is_asked_for(world, tower):
    world.begin(model="sdr")
    assert msgspec.json.decode(world.cheap.body)["model"] == "sdr"
    world.cheap.answer(200, b"{}")
    assert answered(tower)[0].model == tower.records[0].model == "sdr"


def test_a_stream_waits_for_credit_and_then_goes_on(world, tower):
    flight = world.begin(streamed=True)
    world.cheap.call.on_head(200, SSE)
    event = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
    for _ in range(70):
        flight.on_body(event)
    assert [frame[0] for frame in tower.frames].count(Frame.CHUNK) == 64
    flight.on_body(b"data: [DONE]\n\n")
    assert not tower.landed_flights
    assert len(tower.records) == 1, "recorded, though not all of it is taken"
    flight.on_credit(32)
    assert tower.frames[-1][0] == Frame.END
    assert len(tower.landed_flights) == 1


@pytest.mark.parametrize(("streamed", "expected_s"), [(False, 5.0), (True, 2.5)])
def test_a_silent_backend_leaves_the_next_one_a_share_of_what_is_left_and_the_last_one_may_take_it_all(
    world, tower, streamed, expected_s
):
    world.begin(deadline_ms=10_000, streamed=streamed)
    assert world.cheap.silence_s == expected_s
    tower.now = 8.0
    world.cheap.call.on_failure(TimedOut("slow", "first_byte"))
    assert world.dear.silence_s is None


def test_the_share_of_a_second_attempt_is_of_what_is_left_then(world, tower):
    world.targets["third"] = world.targets["dear"]
    world.begin(deadline_ms=10_000, candidates=("cheap", "dear", "third"))
    tower.now = 6.0
    world.cheap.call.on_failure(TimedOut("slow", "first_byte"))
    assert world.dear.silence_s == 2.0


def test_a_backend_whose_others_cannot_be_called_has_all_the_time(world):
    world.targets["dear"].origin = None
    world.begin(candidates=("cheap", "dear", "unknown"))
    assert world.cheap.silence_s is None


def test_the_last_attempt_that_is_allowed_has_all_the_time_that_is_left(world, tower):
    world.begin(candidates=("a", "b", "c", "cheap", "dear"))
    assert world.cheap.silence_s is None


def test_a_stream_that_has_begun_may_be_silent_for_nobody_can_go_on_with_it(world):
    flight = world.begin(streamed=True)
    world.cheap.call.on_head(200, SSE)
    assert flight.exchange.silence_s is not None
    flight.on_body(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
    assert flight.exchange.silence_s is None


def test_a_stopping_dispatcher_ends_a_begun_stream_with_an_event(world, tower):
    flight = world.begin(streamed=True)
    world.cheap.call.on_head(200, SSE)
    flight.on_body(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
    flight.stop(STOPPING)
    assert tower.frames[-1][0] == Frame.END
    assert b'"code":"restarting"' in tower.frames[-1]
    assert tower.records[0].attempts[0].outcome == "cancelled"


def test_what_is_full_is_waited_for_rather_than_have_hard_work_done_cheaply(world, tower):
    world.targets["dear"].max_concurrent = 0
    world.begin(candidates=("dear", "cheap"), hand_on=1)
    assert world.dear.call is not None
    assert world.cheap.call is None
    world.dear.call.on_failure(ConnectFailed("refused"))
    assert world.cheap.call is not None, "what failed is another thing"


def test_what_is_full_hands_on_to_its_like(world, tower):
    world.targets["cheap"].max_concurrent = 0
    world.begin(candidates=("cheap", "dear"))
    assert world.dear.call is not None

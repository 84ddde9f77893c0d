"""Usage on real JetStream: there before what was published after it, kept until it is acknowledged, there once."""

import asyncio

import msgspec
import pytest

from services.dispatcher.journal import MESSAGE_BYTES, SEND_AGAIN_AFTER_S, UsageJournal
from shared.contracts import Features, RequestUsage, UsageRecorded
from shared.hotbus import HotBus
from shared.streams import USAGE, ensure_stream
from tests.support.wait import eventually


def usage(number: int, *, service: str = "default") -> RequestUsage:
    return RequestUsage(
        f"req_0123456789ab{number:08x}", 0, 1, service, "normal", "general", "small", "a", "m", "category", "miss",
        200, 1, 0, 1, "reported", 1.0, -1.0, 3, 3, 1, "", 0, Features(), (),
    )  # fmt: skip


@pytest.fixture
async def bus(nats_url):
    bus = await HotBus.connect(nats_url, "test")
    yield bus
    await bus.close()


async def stored(bus: HotBus) -> list[str]:
    """The request ids in the stream, in its order."""
    js = bus.client.jetstream()
    state = (await js.stream_info(USAGE)).state
    ids = []
    for sequence in range(state.first_seq, state.last_seq + 1):
        message = await js.get_msg(USAGE, sequence)
        ids += [record.request_id for record in msgspec.msgpack.decode(message.data, type=UsageRecorded).records]
    return ids


async def test_one_turn_of_the_loop_is_one_message_and_its_ack_settles_it(bus):
    await ensure_stream(bus.client.jetstream(), USAGE)
    journal = UsageJournal(bus, "dispatcher-1")
    await journal.start()
    for number in range(5):
        journal.record(usage(number))
    await eventually(lambda: journal.settled, "the journal to settle")
    assert (await bus.client.jetstream().stream_info(USAGE)).state.messages == 1
    assert await stored(bus) == [usage(number).request_id for number in range(5)]
    assert journal.unacked_bytes == 0


async def test_what_jetstream_did_not_take_is_kept_and_sent_again_and_is_there_once(bus):
    journal = UsageJournal(bus, "dispatcher-1")
    await journal.start()
    journal.record(usage(1))
    await bus.client.flush()
    assert journal.unacked == 1
    await ensure_stream(bus.client.jetstream(), USAGE)
    journal.sweep(bus.time() + SEND_AGAIN_AFTER_S)
    journal.send_all_again()  # as after a reconnect
    await eventually(lambda: journal.settled, "the journal to settle")
    assert await stored(bus) == [usage(1).request_id]
    assert journal.sent_again == 2


async def test_many_large_records_go_in_messages_that_nats_takes(bus):
    await ensure_stream(bus.client.jetstream(), USAGE)
    journal = UsageJournal(bus, "dispatcher-1")
    await journal.start()
    many = 3 * MESSAGE_BYTES // 2000
    for number in range(many):
        journal.record(usage(number, service="s" * 2000))
    await eventually(lambda: journal.settled, "the journal to settle")
    assert len(await stored(bus)) == many


async def test_a_record_that_cannot_be_packed_takes_no_other_along(bus):
    await ensure_stream(bus.client.jetstream(), USAGE)
    journal = UsageJournal(bus, "dispatcher-1")
    await journal.start()
    journal.record(usage(1))
    with pytest.raises(OverflowError):
        journal.record(msgspec.structs.replace(usage(2), cost_nano_usd=2**70))
    journal.record(usage(3))
    await eventually(lambda: journal.settled, "the journal to settle")
    assert await stored(bus) == [usage(1).request_id, usage(3).request_id]


async def test_a_write_goes_out_even_if_what_should_precede_it_fails(bus):
    heard = asyncio.get_running_loop().create_future()
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    await bus.subscribe("a", lambda _s, _r, payload, _st: heard.set_result(payload))

    def fails():
        raise RuntimeError("a bug")

    bus.before_write = fails
    bus.publish(b"a", b"still there")
    assert await asyncio.wait_for(heard, 5) == b"still there"
    assert [str(error) for error in reported] == ["a bug"]

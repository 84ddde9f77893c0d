"""What providers counted is told in few messages, however many requests there are."""

import msgspec

from services.dispatcher.tally import MOST_OF_A_BACKEND, Tally
from shared.contracts import TokensCounted, TokensTold


class Bus:
    def __init__(self):
        self.published = []

    def publish(self, subject, payload, _reply=b""):
        self.published.append((subject, msgspec.msgpack.decode(payload, type=TokensTold).counts))


def test_the_first_of_each_backend_are_told_once_and_in_one_message():
    bus = Bus()
    tally = Tally(bus)
    for number in range(1_000):
        tally.add("busy", number, 2 * number)
    tally.add("quiet", 1, 3)
    tally.tell()
    tally.tell()
    first = tuple(TokensCounted("busy", number, 2 * number) for number in range(MOST_OF_A_BACKEND))
    assert bus.published == [(b"tokens", (*first, TokensCounted("quiet", 1, 3)))]

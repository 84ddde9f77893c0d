"""What the classifier tells whom. The bus is a list."""

import msgspec
import pytest

from services.classifier.handlers import Handlers
from services.classifier.metrics import Counts
from services.classifier.purser import Purser
from shared.contracts import Frame, PlanRefused, RequestReceived, pack
from shared.hotbus import NO_RESPONDERS
from tests.unit.classifier.policies import book

ID = "req_0123456789ab0000002a"
BODY = b'{"model":"auto","messages":[{"role":"user","content":"Say hello."}]}'


class Bus:
    def __init__(self):
        self.published = []

    def publish(self, subject, payload, reply=b""):
        self.published.append((subject, payload, reply))


@pytest.mark.parametrize("send", [0, 1])
def test_where_no_dispatcher_takes_a_plan_its_caller_is_told_whichever_send_it_was(send):
    bus = Bus()
    handlers = Handlers(bus, "classifier-1", Counts(), Purser(bus, "classifier-1"))
    handlers._book = book()
    received = RequestReceived(ID, 0, "chat", "", "", 60_000, len(BODY), send=send)
    handlers._on_request(b"", b"", pack(received, BODY), b"")
    [(subject, _, reply)] = bus.published
    assert subject == b"dispatch"

    handlers._on_undelivered(reply, b"", b"", NO_RESPONDERS)
    to, frame, _ = bus.published[-1]
    assert to == b"_INBOX.req_0123456789ab"
    assert frame[:3] + frame[3:11] == bytes((Frame.REFUSED, send, 8)) + b"0000002a"
    refused = msgspec.msgpack.decode(frame[11:], type=PlanRefused)
    assert (refused.send, refused.refusal.code) == (send, "no_dispatcher")

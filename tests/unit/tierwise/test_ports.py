import os
import socket
import sys

import pytest

from tierwise.ports import FREE_RANGE, FreePorts, holder, is_free


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_not_free_and_its_free_successor_is_another(taken):
    assert not is_free(taken)
    assert FreePorts().take(preferred=taken) in FREE_RANGE


def test_a_preferred_port_that_is_free_is_taken_once():
    ports = FreePorts()
    port = FreePorts().take()
    assert ports.take(preferred=port) == port
    assert ports.take(preferred=port) != port


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who holds a port")
def test_the_holder_of_a_port_is_named(taken):
    assert holder(taken).startswith(f"PID {os.getpid()}, ")
    assert holder(FreePorts().take()) is None

import os
import signal
import socket

import nats
import pytest

from tests.support.folders import passable_folder
from tests.support.running import complete, running, start, stop
from tests.support.stack import is_running
from tests.support.wait import wait_until
from tierwise.embedded.nats import NatsServer, nats_part
from tierwise.part import CannotStart
from tierwise.ports import FreePorts


@pytest.fixture
def server():
    ports = FreePorts()
    with passable_folder() as folder:
        yield NatsServer(
            server_name="tierwise-own",
            port=ports.take(),
            monitor_port=ports.take(),
            user="tierwise",
            password="secret",
            folder=folder / "nats",
        )


async def published(url: str, payloads: list[bytes]) -> int:
    """How many messages the stream holds after these."""
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept"])
    for payload in payloads:
        await stream.publish("kept", payload)
    state = (await stream.stream_info("KEPT")).state
    await client.close()
    return state.messages


def test_what_a_stream_holds_survives_the_servers_sudden_death(server, tmp_path):
    part = nats_part(server)
    with running(part, tmp_path / "log") as process:
        assert complete(published(server.url, [b"1", b"2"])) == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = start(part, tmp_path / "log")
    assert complete(published(server.url, [b"3"])) == 3
    stop(part, process)


def test_a_server_that_is_not_ours_is_never_taken_for_it(server, tmp_path):
    with running(nats_part(server), tmp_path / "log"):
        mine = NatsServer(**{**vars(server), "server_name": "tierwise-mine"})
        with pytest.raises(CannotStart, match="tierwise-own"):
            complete(nats_part(mine).probe())


def test_the_config_with_the_password_is_its_owners_alone(server):
    complete(nats_part(server).prepare())
    assert (server.folder / "nats.conf").stat().st_mode & 0o777 == 0o600


def test_a_stranger_is_refused(server, tmp_path):
    with (
        running(nats_part(server), tmp_path / "log"),
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as stranger,
    ):
        stranger.sendall(b"CONNECT {}\r\nPING\r\n")
        said = b""
        while chunk := stranger.recv(4096):
            said += chunk
    assert b"Authorization Violation" in said
    assert b"PONG" not in said


def test_each_test_has_an_account_of_its_own(nats_server, nats_url):
    other = nats_server.account_url(nats_server.accounts - 1)
    assert complete(published(nats_url, [b"1"])) == 1
    assert complete(published(other, [b"1"])) == 1


def test_it_dies_with_the_process_that_started_it(server, tmp_path):
    """The starter is a process of its own here, killed with SIGKILL."""
    part = nats_part(server)
    starter = os.fork()
    if starter == 0:
        try:
            process = start(part, tmp_path / "log")
            (tmp_path / "pid").write_text(str(process.pid))
            signal.pause()
        finally:
            os._exit(0)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "NATS to start")
    os.kill(starter, signal.SIGKILL)
    os.waitpid(starter, 0)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_running(pid), "NATS to die with its starter")

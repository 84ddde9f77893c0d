"""The supervisor over small stand-in parts: real processes, no NATS and no PostgreSQL."""

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass, field

import pytest

from tests.support.stack import is_running
from tests.support.wait import eventually
from tierwise.part import CannotStart, Leave, NotReady, Part
from tierwise.supervisor import PartFailed, Supervisor

STAY = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time, pathlib, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
)


@dataclass
class Heard:
    """What the supervisor reported, in order."""

    ready: list[str] = field(default_factory=list)
    died: list[tuple[str, int, float]] = field(default_factory=list)

    def part_ready(self, name: str, seconds: float) -> None:
        self.ready.append(name)

    def part_died(self, name: str, code: int, delay_s: float) -> None:
        self.died.append((name, code, delay_s))

    def waiting(self, waits: dict[str, str]) -> None: ...


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
async def supervise(tmp_path, heard):
    """Every supervisor of the test is stopped with it, and may leave nobody."""
    made = []

    def make(*parts: Part, **options) -> Supervisor:
        made.append(Supervisor(parts, log_of=lambda name: tmp_path / f"{name}.log", report=heard, **options))
        return made[-1]

    yield make
    for supervisor in made:
        await supervisor.stop(asyncio.Event())
        assert supervisor.processes() == []


@pytest.fixture
def part(tmp_path):
    def make(name: str, script: str, *arguments: str, **options) -> Part:
        command = (sys.executable, "-S", "-c", script, *arguments)
        return Part(
            **{"leave": Leave.SERVICE, **options}, name=name, command=command, environment=os.environ, cwd=tmp_path
        )

    return make


def pid_of(supervisor: Supervisor, name: str) -> int | None:
    return next((process["pid"] for process in supervisor.processes() if process["name"] == name), None)


async def test_a_part_that_dies_is_started_again_and_that_is_told(supervise, part, heard):
    told = []
    supervisor = supervise(part("a", STAY), on_restart=lambda: told.append(pid_of(supervisor, "a")))
    await supervisor.start()
    for delay in (0.1, 0.2):
        old = pid_of(supervisor, "a")
        os.kill(old, signal.SIGKILL)
        new = await eventually(lambda old=old: (now := pid_of(supervisor, "a")) != old and now, "a new process")
        assert told[-1] == new
        assert heard.died[-1] == ("a", -signal.SIGKILL, pytest.approx(delay))
    assert heard.ready == ["a"]


async def test_what_a_part_needs_is_ready_before_it_starts(supervise, part, heard, tmp_path):
    migrated = str(tmp_path / "migrated")
    looks = "import pathlib, sys, time; assert pathlib.Path(sys.argv[1]).exists(); time.sleep(60)"
    makes = "import pathlib, sys, time; time.sleep(0.3); pathlib.Path(sys.argv[1]).touch()"
    supervisor = supervise(
        part("needy", looks, migrated, needs=frozenset({"once"})),
        part("once", makes, migrated, one_shot=True),
    )
    await supervisor.start()
    assert heard.ready == ["once", "needy"]
    assert heard.died == []
    assert [process["name"] for process in supervisor.processes()] == ["needy"]


async def test_a_one_shot_that_fails_ends_the_start_at_once(supervise, part):
    with pytest.raises(PartFailed, match=r"once failed \(exit code 3\)"):
        await supervise(part("once", "raise SystemExit(3)", one_shot=True)).start()


async def test_a_part_that_does_not_stay_up_is_given_up_long_before_the_minute(supervise, part, heard):
    async def never() -> None:
        raise NotReady("nothing")

    began = time.monotonic()
    with pytest.raises(PartFailed, match="a does not stay up") as failed:
        await supervise(part("a", "raise SystemExit(1)", probe=never)).start()
    assert failed.value.name == "a"
    assert time.monotonic() - began < 45
    assert [delay for _, _, delay in heard.died] == pytest.approx([0.1, 0.2, 0.4, 0.8])


async def test_who_never_gets_ready_is_named_with_what_it_waited_for(supervise, part):
    async def never() -> None:
        raise NotReady("the moon")

    supervisor = supervise(
        part("waits", STAY, needs=frozenset({"late"})), part("late", STAY, probe=never), start_within_s=0.5
    )
    with pytest.raises(PartFailed, match=r"late was not ready within .*the moon"):
        await supervisor.start()


async def test_a_program_that_is_not_there_is_said_plainly(supervise, tmp_path):
    gone = Part(name="a", command=("/nowhere/at-all",), environment={}, cwd=tmp_path, leave=Leave.SERVICE)
    with pytest.raises(CannotStart, match="cannot run /nowhere/at-all"):
        await supervise(gone).start()


async def test_they_leave_in_waves_and_each_by_its_own_signal(part, heard, tmp_path):
    says = (
        "import signal, sys, time, pathlib\n"
        "def leave(number, _):\n"
        "    with open(sys.argv[1], 'a') as out: out.write(f'{sys.argv[2]} {signal.Signals(number).name}\\n')\n"
        "    sys.exit(0)\n"
        "for s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, leave)\n"
        "pathlib.Path(sys.argv[1] + sys.argv[2]).touch()\n"
        "time.sleep(60)\n"
    )
    order = tmp_path / "order"
    waves = {
        "store": Leave.STORE,
        "model": Leave.MODEL,
        "ledger": Leave.LEDGER,
        "middle": Leave.SERVICE,
        "door": Leave.DOOR,
    }
    parts = [
        part(
            name,
            says,
            str(order),
            name,
            leave=leave,
            stop_signal=signal.SIGINT if name == "store" else signal.SIGTERM,
        )
        for name, leave in waves.items()
    ]
    supervisor = Supervisor(parts, log_of=lambda name: tmp_path / f"{name}.log", report=heard)
    await supervisor.start()
    await eventually(lambda: all((tmp_path / f"order{name}").exists() for name in waves), "all to listen")
    await supervisor.stop(asyncio.Event())
    assert order.read_text().split("\n")[:-1] == [
        *("door SIGTERM", "middle SIGTERM", "ledger SIGTERM", "model SIGTERM", "store SIGINT"),
    ]


async def test_who_does_not_listen_is_killed_in_five_seconds_or_at_once_in_a_hurry(part, heard, tmp_path):
    for hurried, at_least, at_most in ((False, 4.5, 30.0), (True, 0.0, 4.4)):
        deaf = tmp_path / f"deaf{hurried}"
        supervisor = Supervisor(
            [part("deaf", STUBBORN, str(deaf))], log_of=lambda name: tmp_path / f"{name}.log", report=heard
        )
        await supervisor.start()
        await eventually(deaf.exists, "it to be deaf")
        pid = pid_of(supervisor, "deaf")
        hurry = asyncio.Event()
        began = time.monotonic()
        stopping = asyncio.create_task(supervisor.stop(hurry))
        if hurried:
            hurry.set()
        await stopping
        assert at_least <= time.monotonic() - began <= at_most
        assert not is_running(pid)


async def test_stopping_in_the_middle_of_a_start_leaves_nobody(part, heard, tmp_path):
    async def never() -> None:
        raise NotReady("nothing")

    supervisor = Supervisor(
        [part("a", STAY, probe=never)], log_of=lambda name: tmp_path / f"{name}.log", report=heard
    )
    starting = asyncio.create_task(supervisor.start())
    pid = await eventually(lambda: pid_of(supervisor, "a"), "it to start")
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await supervisor.stop(asyncio.Event())
    assert not is_running(pid)

"""What a part of the system is: one child process, how to start it, how to see that it works, how to end it."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None  # loaded here: no dlopen after a fork


class NotReady(Exception):
    """The part doesn't work yet; says what it waits for."""


class CannotStart(Exception):
    """Nothing that waiting would mend; says what to do."""


class Leave(IntEnum):
    """In which wave a part is asked to leave: the door shuts first, and the ledger hears everyone's last word."""

    DOOR = 1
    SERVICE = 2
    LEDGER = 3
    MODEL = 4
    STORE = 5


@dataclass(frozen=True)
class User:
    """Whom a process runs as, where that isn't ourselves."""

    uid: int
    gid: int


async def at_once() -> None:
    """For a part that needs nothing prepared, and one that is ready when it runs."""


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path
    leave: Leave
    probe: Callable[[], Awaitable[None]] = at_once  # raises NotReady, or CannotStart
    prepare: Callable[[], Awaitable[None]] = at_once  # before each start
    needs: frozenset[str] = field(default_factory=frozenset)  # parts that are ready (or done) before this one starts
    one_shot: bool = False  # ready when it has ended with 0
    ops_url: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    hurry_signal: signal.Signals = signal.SIGKILL
    orphan_signal: signal.Signals = signal.SIGKILL  # what the kernel sends it when the supervisor is gone
    user: User | None = None


def spawn_options(part: Part, keep_open: tuple[int, ...] = ()) -> dict[str, Any]:
    """Arguments for `Popen` and `create_subprocess_exec` alike.

    A session of its own, so that a terminal's Ctrl-C reaches the supervisor alone, which then chooses the order. Call
    both from the main thread: on Linux, "the parent died" means the *thread* that forked.
    """
    return {
        "env": dict(part.environment),
        "cwd": part.cwd,
        "start_new_session": True,
        "pass_fds": keep_open,
        "preexec_fn": _die_with(os.getpid(), part.orphan_signal) if LIBC else None,
        **({"user": part.user.uid, "group": part.user.gid, "extra_groups": []} if part.user else {}),
    }


async def run_to_end(part: Part, *, stdin: bytes = b"", log: Path, keep_open: tuple[int, ...] = ()) -> int:
    """Run a helper (initdb, …) whose words go to `log`; its exit code."""
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *part.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=out,
            stderr=out,
            **spawn_options(part, keep_open),
        )
        try:
            await process.communicate(stdin)
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
    assert process.returncode is not None
    return process.returncode


def _die_with(parent: int, sig: signal.Signals) -> Callable[[], None]:
    """Runs in the child after it has become its user: a change of user would clear the setting."""

    def ask_the_kernel() -> None:
        assert LIBC is not None
        LIBC.prctl(PR_SET_PDEATHSIG, int(sig), 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_the_kernel

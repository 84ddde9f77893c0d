"""Starts the parts, starts those again that die, and ends all of them in order. Knows nothing of what they are."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tierwise.backoff import next_delay
from tierwise.part import CannotStart, Leave, NotReady, Part, spawn_options

START_WITHIN_S = 60.0
DEATHS_MAX = 5  # before a part was ready even once: it won't be
TELL_AFTER_S = 5.0

# Seconds from the wish to stop, after which who is still there is killed. All of it fits into ten.
PATIENCE_S = {Leave.DOOR: 5.0, Leave.SERVICE: 5.0, Leave.LEDGER: 5.0, Leave.MODEL: 6.5, Leave.STORE: 9.0}
WAVE_S = 1.5  # then the next wave of services goes too; a slow door must not cost the others their grace
HURRY_S = 0.5
POLL_S = 0.1


class PartFailed(Exception):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} {why}")
        self.name = name


class Reporter(Protocol):
    def part_ready(self, name: str, seconds: float) -> None: ...
    def part_died(self, name: str, code: int, delay_s: float) -> None: ...
    def waiting(self, waits: dict[str, str]) -> None: ...


@dataclass
class Life:
    """What is true of a part right now."""

    part: Part
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    deaths: int = 0
    waits_for: str = "its start"
    began: float = 0.0


class Supervisor:
    def __init__(
        self,
        parts: Sequence[Part],
        *,
        log_of: Callable[[str], Path],
        report: Reporter,
        on_restart: Callable[[], None] = lambda: None,
        keep_open: tuple[int, ...] = (),
        start_within_s: float = START_WITHIN_S,
    ) -> None:
        self._lives = {part.name: Life(part) for part in parts}
        self._log_of = log_of
        self._report = report
        self._on_restart = on_restart
        self._keep_open = keep_open
        self._start_within_s = start_within_s
        self._keepers: list[asyncio.Task[None]] = []

    def processes(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "pid": life.process.pid, "ops_url": life.part.ops_url}
            for name, life in self._lives.items()
            if life.process is not None and not life.part.one_shot
        ]

    async def start(self) -> None:
        """Returns when every part is ready; raises PartFailed or CannotStart when one won't be."""
        for life in self._lives.values():
            self._keepers.append(asyncio.create_task(self._keep(life)))
            if not life.part.one_shot:
                self._keepers.append(asyncio.create_task(self._find_ready(life)))
        told = asyncio.create_task(self._tell_what_is_awaited())
        everyone = asyncio.create_task(self._everyone_ready())
        broken = asyncio.create_task(self.watch())
        try:
            await asyncio.wait({everyone, broken}, timeout=self._start_within_s, return_when=asyncio.FIRST_COMPLETED)
            if broken.done():
                broken.result()
            if not everyone.done():
                late = next(life for life in self._waiting() if self._may_run(life))
                raise PartFailed(
                    late.part.name,
                    f"was not ready within {self._start_within_s:.0f} s; it waited for {late.waits_for}",
                )
        finally:
            for task in (told, everyone, broken):
                task.cancel()
            await asyncio.gather(told, everyone, broken, return_exceptions=True)

    async def watch(self) -> None:
        """Never returns; raises what made it impossible to keep a part running."""
        pending = set(self._keepers)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        await asyncio.Event().wait()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Every process is gone when this returns."""
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        began = time.monotonic()
        leaving: list[asyncio.Task[None]] = []
        for wave in Leave:
            if wave >= Leave.MODEL:
                await asyncio.gather(*leaving)
            lives = [life for life in reversed(self._lives.values()) if life.part.leave == wave]
            leaving += [
                asyncio.create_task(_end(life, began + PATIENCE_S[wave], hurry))
                for life in lives
                if life.process is not None
            ]
            if leaving:
                await asyncio.wait(leaving, timeout=WAVE_S)
        await asyncio.gather(*leaving)

    async def _keep(self, life: Life) -> None:
        for need in life.part.needs:
            await self._lives[need].ready.wait()
        delay: float | None = None
        while True:
            life.began = time.monotonic()
            await life.part.prepare()
            process = await self._spawn(life.part)
            life.process = process
            if delay is not None:
                self._on_restart()
            code = await process.wait()
            life.process = None
            if life.part.one_shot:
                if code != 0:
                    raise PartFailed(life.part.name, f"failed ({_ending(code)})")
                self._note_ready(life)
                return
            life.deaths += 1
            if not life.ready.is_set() and life.deaths >= DEATHS_MAX:
                raise PartFailed(life.part.name, f"does not stay up ({_ending(code)}, {life.deaths} times)")
            delay = next_delay(delay, time.monotonic() - life.began)
            self._report.part_died(life.part.name, code, delay)
            await asyncio.sleep(delay)

    async def _spawn(self, part: Part) -> asyncio.subprocess.Process:
        try:
            with self._log_of(part.name).open("ab") as log:
                return await asyncio.create_subprocess_exec(
                    *part.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    **spawn_options(part, self._keep_open),
                )
        except OSError as error:
            raise CannotStart(f"{part.name}: cannot run {part.command[0]}: {error.strerror}") from error

    async def _find_ready(self, life: Life) -> None:
        while True:
            if life.process is not None:
                try:
                    await life.part.probe()
                except NotReady as error:
                    life.waits_for = str(error)
                else:
                    self._note_ready(life)
                    return
            await asyncio.sleep(POLL_S)

    def _note_ready(self, life: Life) -> None:
        life.ready.set()
        self._report.part_ready(life.part.name, time.monotonic() - life.began)

    async def _everyone_ready(self) -> None:
        for life in self._lives.values():
            await life.ready.wait()

    async def _tell_what_is_awaited(self) -> None:
        while True:
            await asyncio.sleep(TELL_AFTER_S)
            self._report.waiting({life.part.name: life.waits_for for life in self._waiting() if self._may_run(life)})

    def _waiting(self) -> list[Life]:
        return [life for life in self._lives.values() if not life.ready.is_set()]

    def _may_run(self, life: Life) -> bool:
        """The rest waits for one of these, and is no news."""
        return all(self._lives[need].ready.is_set() for need in life.part.needs)


async def _end(life: Life, deadline: float, hurry: asyncio.Event) -> None:
    process = life.process
    assert process is not None
    gone = asyncio.create_task(process.wait())
    hurried = asyncio.create_task(hurry.wait())
    try:
        if not hurry.is_set():
            _send(process, life.part.stop_signal)
        await asyncio.wait(
            {gone, hurried},
            timeout=max(0.0, deadline - time.monotonic()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not gone.done():
            _send(process, life.part.hurry_signal)
            await asyncio.wait({gone}, timeout=HURRY_S)
        if not gone.done():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await gone
    finally:
        hurried.cancel()
    life.process = None


def _send(process: asyncio.subprocess.Process, sig: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(sig)


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"

"""The whole system as a user starts it: `tierwise up` as a child process, with its state in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.folders import passable_folder
from tests.support.wait import wait_until
from tierwise.part import Leave, Part, User, spawn_options

LOG_LINES = 40


class Stack:
    """`config`: a file, or a config's text; None for the demo. Ready when entered; all of it gone when left."""

    def __init__(
        self,
        config: Path | str | None = None,
        *,
        state: Path | None = None,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (str(Path(sys.executable).parent / "tierwise"),),
        user: User | None = None,
        ready_within_s: float = 180.0,
    ) -> None:
        self._config = config
        self._given_state = state
        self._options = options
        self._environment = {**_clean_environment(), **(environment or {})}
        self._command = command
        self._user = user
        self._ready_within_s = ready_within_s
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self._start()
        try:
            wait_until(self._ready_or_gone, "tierwise up to be ready", self._ready_within_s)
            assert self.process.poll() is None, f"tierwise up ended with {self.process.returncode}"
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            sys.stdout.write(self.logs())  # pytest shows it with the failure
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._held.close()

    @property
    def run(self) -> dict[str, Any]:
        """run.json as it is now: pids change when a process is started again."""
        run: dict[str, Any] = json.loads((self.state / "run.json").read_text())
        return run

    @property
    def url(self) -> str:
        return str(self.run["url"])

    @property
    def processes(self) -> dict[str, int]:
        return {process["name"]: process["pid"] for process in self.run["processes"]}

    def ops_url(self, name: str) -> str:
        return next(str(process["ops_url"]) for process in self.run["processes"] if process["name"] == name)

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL) -> int:
        """The pid that was killed."""
        pid = self.processes[name]
        os.kill(pid, sig)
        return pid

    def kill_and_wait_for_next(self, name: str, sig: signal.Signals = signal.SIGKILL) -> int:
        """The pid of the process that took its place; it need not be ready yet."""
        old = self.kill(name, sig)
        return wait_until(lambda: (pid := self.processes.get(name)) != old and pid, f"{name} to be started again")

    def stop(self, sig: signal.Signals = signal.SIGTERM, within_s: float = 60.0) -> int:
        """The exit code of `tierwise up`."""
        self.process.send_signal(sig)
        return self.process.wait(within_s)

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def logs(self) -> str:
        texts = [f"==== tierwise up\n{self.output()}"]
        for log in sorted((self.state / "logs").glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            texts.append(f"==== {log.name}\n" + "\n".join(tail))
        return "\n".join(texts)

    def _start(self) -> None:
        folder = self._held.enter_context(passable_folder())
        self.state = self._given_state or folder / "state"
        self._output = folder / "output"
        if self._user:
            os.chown(folder, self._user.uid, self._user.gid)
        arguments = ["up", "--state", str(self.state), "--port", "0", *self._options]
        if self._config is not None:
            file = self._config if isinstance(self._config, Path) else folder / "tierwise.yaml"
            if isinstance(self._config, str):
                file.write_text(self._config)
            arguments += ["--config", str(file)]
        supervisor = Part(
            name="tierwise",
            command=(*self._command, *arguments),
            environment=self._environment,
            cwd=folder,
            leave=Leave.DOOR,
            user=self._user,
            orphan_signal=signal.SIGTERM,  # so that it ends its children, should the test run be killed
        )
        self._left_over = self._run_file()
        with self._output.open("wb") as out:
            self.process = subprocess.Popen(supervisor.command, stdout=out, stderr=out, **spawn_options(supervisor))

    def _ready_or_gone(self) -> bool:
        return self._run_file() not in {None, self._left_over} or self.process.poll() is not None

    def _run_file(self) -> int | None:
        """Which run.json that is: one that was killed has left its own."""
        try:
            return (self.state / "run.json").stat().st_mtime_ns
        except FileNotFoundError:
            return None


def is_running(pid: int) -> bool:
    """A zombie is not: in a container nobody may be there to collect an orphan."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}

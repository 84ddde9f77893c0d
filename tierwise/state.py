"""The state folder: what one `tierwise up` keeps between runs, and what it tells about itself while it runs."""

import fcntl
import json
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierwise.part import CannotStart

ORPHAN_WAIT_S = 10.0  # parts of a supervisor that was killed are on their way out
LOG_BYTES_MAX = 10 * 2**20


@dataclass(frozen=True)
class Secrets:
    nats_password: str
    postgres_password: str


class State:
    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.logs = self.root / "logs"
        self.run_file = self.root / "run.json"
        self.pgpass = self.root / "pgpass"

    def open(self) -> int:
        """Claim the folder for this process; the descriptor that its parts must inherit.

        Two locks: ours goes with us; the parts' lasts until the last of them is gone, so that nobody starts a second
        NATS or PostgreSQL on data that an orphan is still writing.
        """
        try:
            # Root's PostgreSQL runs as `nobody`, who must get through, and can read nothing on the way.
            self.root.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            ours = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            parts = os.open(self.root / "lock.parts", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotStart(
                f"cannot use {self.root} for state: {error.strerror}; choose another folder with --state"
            ) from error
        if not _locked(ours):
            pid = os.pread(ours, 20, 0).decode() or "unknown"
            raise CannotStart(
                f"another `tierwise up` (PID {pid}) runs on {self.root}: "
                "stop it, or choose another folder with --state"
            )
        os.ftruncate(ours, 0)
        os.pwrite(ours, str(os.getpid()).encode(), 0)
        deadline = time.monotonic() + ORPHAN_WAIT_S
        while not _locked(parts):
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"parts of an earlier run on {self.root} are still alive (fuser {self.root}/lock.parts "
                    "names them): stop them and start again"
                )
            time.sleep(0.05)
        self.run_file.unlink(missing_ok=True)
        for log in self.logs.glob("*.log"):
            if log.stat().st_size > LOG_BYTES_MAX:
                log.replace(log.with_suffix(".log.1"))
        return parts

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def secrets(self) -> Secrets:
        """Kept between runs, since PostgreSQL's data remember their password."""
        path = self.root / "secrets.json"
        with suppress(FileNotFoundError):
            try:
                return Secrets(**json.loads(path.read_text()))
            except (ValueError, TypeError) as error:
                raise CannotStart(f"{path} is damaged: put it back, or move {self.root} away") from error
        made = Secrets(nats_password=secrets.token_hex(16), postgres_password=secrets.token_hex(16))
        write_private(path, json.dumps(vars(made), indent=2))
        return made

    def write_run(self, run: dict[str, Any]) -> None:
        write_private(self.run_file, json.dumps(run, indent=2) + "\n")

    def close(self) -> None:
        self.run_file.unlink(missing_ok=True)
        self.pgpass.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and readable by its owner alone from its first byte."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(path)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

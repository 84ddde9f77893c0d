"""The embedded PostgreSQL: making its cluster, its part, and what a crash left behind."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from tierwise.embedded.postgres_place import Place
from tierwise.part import CannotStart, Leave, NotReady, Part, run_to_end

USER = DATABASE = "tierwise"
NO_SUCH_PROCESS = 2**31 - 1  # above every system's highest process id
ORPHAN_WAIT_S = 10.0  # a fast shutdown after its supervisor was killed takes a checkpoint


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    place: Place
    port: int
    password: str
    log: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    durable: bool = True  # False: for tests, which don't outlive a power cut

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def url_of(self, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"


def postgres_part(server: PostgresServer) -> Part:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(server.port),
        "unix_socket_directories": "",
        **({} if server.durable else dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")),
        **server.settings,
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    async def prepare() -> None:
        await make_cluster(server)
        await settle_pid_file(server.place.data)

    async def probe() -> None:
        await _answers(server)

    return Part(
        name="postgres",
        command=(str(server.place.binaries / "postgres"), "-D", str(server.place.data), *options),
        environment=_environment(),
        cwd=Path("/"),
        leave=Leave.STORE,
        prepare=prepare,
        probe=probe,
        stop_signal=signal.SIGINT,  # "fast": sessions are ended, and a checkpoint is written
        hurry_signal=signal.SIGQUIT,  # "immediate": its children are ended too, which SIGKILL would not do
        orphan_signal=signal.SIGINT,
        user=server.place.user,
    )


async def make_cluster(server: PostgresServer) -> None:
    """The cluster is made beside its place and moved there when it is whole, so a crash leaves none half made."""
    place = server.place
    if (place.data / "PG_VERSION").exists():
        return
    unfinished = place.data.with_name(place.data.name + ".new")
    password_file = place.data.with_name(place.data.name + ".password")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(server.password)
    if place.user:
        os.chown(unfinished, place.user.uid, place.user.gid)
        os.chown(password_file, place.user.uid, place.user.gid)
    initdb = [
        str(place.binaries / "initdb"),
        *("-D", str(unfinished), "-U", USER, "--pwfile", str(password_file)),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *(() if server.durable else ("--no-sync",)),
    ]
    single = [str(place.binaries / "postgres"), "--single", "-D", str(unfinished), "postgres"]
    try:
        await _run(server, initdb)
        await _run(server, single, stdin=f"CREATE DATABASE {DATABASE}\n".encode())
    finally:
        password_file.unlink(missing_ok=True)
    if place.data.exists():
        place.data.rmdir()  # empty, or this isn't ours to replace
    unfinished.rename(place.data)


async def settle_pid_file(data: Path, patience_s: float = ORPHAN_WAIT_S) -> None:
    """After kill -9 or a power cut the pid file names a process that is gone, or by now another program.

    PostgreSQL finds the first out by itself, but takes the second for a server. So such a pid is replaced in the
    file by one that cannot exist; the file stays, since its last line lets PostgreSQL see backends that still hold
    its memory.
    """
    pid_file = data / "postmaster.pid"
    deadline = asyncio.get_running_loop().time() + patience_s
    while pid_file.exists():
        try:
            first, *rest = pid_file.read_text().splitlines()
            pid = int(first)
        except FileNotFoundError:
            return
        except ValueError:  # cut short by the crash
            pid_file.unlink()
            return
        if not _runs(pid):
            return
        if not _is_postgres_of(pid, data):
            pid_file.write_text("\n".join([str(NO_SUCH_PROCESS), *rest, ""]))
            return
        if asyncio.get_running_loop().time() > deadline:
            raise CannotStart(
                f"another PostgreSQL (PID {pid}) runs on {data}: stop it (kill -INT {pid}) and start again"
            )
        await asyncio.sleep(0.1)


async def _answers(server: PostgresServer) -> None:
    try:
        connection = await asyncpg.connect(server.url, timeout=5, ssl=False)
    except asyncpg.InvalidPasswordError as error:
        raise CannotStart(
            f"PostgreSQL's data at {server.place.data} have another password than the state's secrets.json: "
            "put that file back, or move the data away to begin anew"
        ) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise NotReady(f"connections on port {server.port}") from error
    await connection.close(timeout=5)


async def _run(server: PostgresServer, command: list[str], stdin: bytes = b"") -> None:
    helper = Part(
        name=Path(command[0]).name,
        command=tuple(command),
        environment=_environment(),
        cwd=Path("/"),
        leave=Leave.STORE,
        user=server.place.user,
    )
    if await run_to_end(helper, stdin=stdin, log=server.log) != 0:
        last = "\n".join(server.log.read_text(errors="replace").splitlines()[-5:])
        raise CannotStart(f"{helper.name} failed; the last of its words in {server.log}:\n{last}")


def _environment() -> dict[str, str]:
    """Without PG*: a PGDATA or PGPORT of the user's means another server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_postgres_of(pid: int, data: Path) -> bool:
    """The postmaster's working directory is its data directory."""
    if sys.platform != "linux":
        answer = subprocess.run(["ps", "-p", str(pid), "-o", "comm="], capture_output=True, check=False)
        return b"postgres" in answer.stdout
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == data.resolve()
    except OSError:
        return False

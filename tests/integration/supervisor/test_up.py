"""`tierwise up` as a user runs it: real NATS and PostgreSQL, stand-ins for the services."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from tests.support.folders import passable_folder
from tests.support.running import complete
from tests.support.stack import Stack, is_running
from tests.support.standin import standin_command
from tests.support.wait import wait_until
from tierwise.lineup import SERVICES
from tierwise.part import User

CONFIG = """
tiers: [small]
backends:
  - {name: nobody, tier: small, provider: openai-compatible, base_url: "http://127.0.0.1:9/v1", model: m,
     price: {input_per_1m: 1, output_per_1m: 1}}
"""
STORES = {"nats", "postgres"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about what root does")


@pytest.fixture(scope="module")
def command():
    with passable_folder() as folder:
        folder.chmod(0o755)
        yield standin_command(folder)


@pytest.fixture
def state():
    with passable_folder() as folder:
        yield folder / "my state"


@pytest.fixture(scope="module")
def shared_stack(command):
    """For tests that only look."""
    with passable_folder() as folder, Stack(CONFIG, state=folder / "my state", command=command) as stack:
        yield stack


def ask(url, sql):
    async def answer():
        connection = await asyncpg.connect(url, ssl=False)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return complete(answer())


def again(command, *arguments, **environment):
    """A second `tierwise up` that is expected to say no."""
    return subprocess.run(
        [*command, "up", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_run_json_says_what_runs_to_its_owner_alone(shared_stack):
    state = shared_stack.state
    assert (state / "run.json").stat().st_mode & 0o777 == 0o600
    assert (state / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert set(shared_stack.run) == {"url", "nats_url", "database_url", "processes"}
    assert set(shared_stack.processes) == STORES | set(SERVICES)
    without_ops = {process["name"] for process in shared_stack.run["processes"] if process["ops_url"] is None}
    assert without_ops == STORES
    assert ask(shared_stack.run["database_url"], "SELECT current_database()") == "tierwise"


def test_what_is_printed_holds_no_secret(shared_stack):
    secrets = json.loads((shared_stack.state / "secrets.json").read_text()).values()
    assert not any(secret in shared_stack.output() for secret in secrets)


def test_a_stop_ends_everything_and_the_next_start_finds_the_data_as_they_were_left(command, state):
    for expected, sig in enumerate((signal.SIGINT, signal.SIGTERM), start=1):
        with Stack(CONFIG, state=state, command=command) as stack:
            url = stack.run["database_url"]
            ask(url, "CREATE TABLE IF NOT EXISTS kept (n int)")
            ask(url, "INSERT INTO kept VALUES (1)")
            assert ask(url, "SELECT count(*) FROM kept") == expected
            pids = stack.processes.values()
            began = time.monotonic()
            assert stack.stop(sig) == 0
            assert time.monotonic() - began < 20, "who does not listen is killed after five seconds"
            assert not (state / "run.json").exists()
            assert not any(map(is_running, pids))


def test_the_supervisors_sudden_death_leaves_no_child_and_the_next_start_works(command, state):
    with Stack(CONFIG, state=state, command=command) as stack:
        pids = list(stack.processes.values())
        stack.process.kill()
        wait_until(lambda: not any(map(is_running, pids)), "every child to be gone")
    with Stack(CONFIG, state=state, command=command) as stack:
        assert ask(stack.run["database_url"], "SELECT 1") == 1


def test_a_part_that_is_killed_comes_back_at_the_same_address_and_run_json_knows(command, state):
    with Stack(CONFIG, state=state, command=command) as stack:
        before = stack.run
        for name in ("ledger", "nats", "postgres"):
            others = {other: pid for other, pid in stack.processes.items() if other != name}
            new = stack.kill_and_wait_for_next(name)
            wait_until(lambda new=new: is_running(new), f"{name} to run")
            assert stack.processes == {**others, name: new}
        assert {**stack.run, "processes": None} == {**before, "processes": None}
        wait_until(lambda: answers(before["database_url"]), "PostgreSQL to answer")


def answers(url):
    try:
        return ask(url, "SELECT 1") == 1
    except (OSError, asyncpg.PostgresError):
        return False


def test_a_second_one_on_the_same_state_is_refused_and_the_first_goes_on(command, shared_stack):
    refused = again(command, "--state", shared_stack.state, "--port", 0)
    assert refused.returncode == 1
    assert f"another `tierwise up` (PID {shared_stack.process.pid})" in refused.stdout
    assert ask(shared_stack.run["database_url"], "SELECT 1") == 1


def test_a_taken_port_is_named_with_who_holds_it_and_what_to_do(command, state):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        refused = again(command, "--state", state, "--port", port)
    assert refused.returncode == 1
    assert f"port {port} is in use (by PID {os.getpid()}, " in refused.stdout
    assert "tierwise up --port 0" in refused.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--no-demo",), "--no-demo needs a config"),
        (("--config", "gone.yaml"), "there is no file gone.yaml"),
        (("--host", "0.0.0.0"), "can be reached from other machines"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(command, state, monkeypatch, arguments, says):
    monkeypatch.chdir(state.parent)
    refused = again(command, "--state", state, *arguments)
    assert refused.returncode == 2
    assert says in refused.stdout
    assert not state.exists()


def test_a_faulty_config_is_told_in_sentences_before_anything_is_made(command, state):
    faulty = state.parent / "faulty.yaml"
    faulty.write_text(CONFIG.replace("tier: small", "tier: smal"))
    refused = again(command, "--state", state, "--config", faulty)
    assert refused.returncode == 1
    assert "backends[0] (nobody).tier: there is no tier 'smal'" in refused.stdout.replace("\n", "")
    assert not state.exists()


def test_servers_that_are_named_are_used_and_none_are_started(command, state, nats_server, postgres_server):
    named = {"TIERWISE_NATS_URL": nats_server.account_url(999), "TIERWISE_DATABASE_URL": postgres_server.url}
    with Stack(CONFIG, state=state, command=command, environment=named) as stack:
        assert set(stack.processes) == set(SERVICES)
        assert stack.run["nats_url"] == named["TIERWISE_NATS_URL"]
        assert stack.run["database_url"] == named["TIERWISE_DATABASE_URL"]


def test_a_part_that_never_gets_ready_is_named_with_its_last_words_and_nothing_is_left(state):
    with passable_folder() as folder:
        folder.chmod(0o755)
        command = standin_command(folder)
        (folder / "services/validator/__main__.py").write_text("raise SystemExit('no validator today')")
        (folder / "tierwise.yaml").write_text(CONFIG)
        failed = again(command, "--state", state, "--port", 0, "--config", folder / "tierwise.yaml")
    assert failed.returncode == 1
    assert "validator does not stay up" in failed.stdout
    assert "  | no validator today" in failed.stdout
    assert not (state / "run.json").exists()
    assert not (state / "postgres/postmaster.pid").exists()


def test_the_psql_line_works_as_it_is_pasted(shared_stack):
    ask(shared_stack.run["database_url"], "CREATE SCHEMA tierwise")
    ask(
        shared_stack.run["database_url"],
        "CREATE VIEW tierwise.requests AS SELECT now() AS received_at, 'code' AS category, "
        "'small' AS tier, 'b' AS backend, 3 AS input_tokens, 4 AS output_tokens, 1 AS cost_usd, 2 AS saved_usd",
    )
    line = next(line for line in shared_stack.output().splitlines() if "PGPASSFILE" in line)
    shown = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert "(1 row)" in shown.stdout, shown.stderr


@as_root
def test_a_plain_user_can_run_it_too(command, state):
    nobody = pwd.getpwnam("nobody")
    state.mkdir()
    os.chown(state, nobody.pw_uid, nobody.pw_gid)
    user = User(uid=nobody.pw_uid, gid=nobody.pw_gid)
    try:
        subprocess.run([sys.executable, "-V"], user=user.uid, check=True)
    except PermissionError:
        pytest.skip(f"user nobody may not run {sys.executable}")
    with Stack(CONFIG, state=state, command=command, user=user) as stack:
        assert ask(stack.run["database_url"], "SELECT 1") == 1
        assert Path(f"/proc/{stack.processes['postgres']}").stat().st_uid == nobody.pw_uid
        assert stack.stop() == 0


@as_root
def test_under_a_folder_that_only_root_may_enter_the_data_are_elsewhere_and_it_is_said(command, state):
    state.parent.chmod(0o700)
    elsewhere = None
    try:
        with Stack(CONFIG, state=state, command=command) as stack:
            line = next(line for line in stack.output().splitlines() if line.startswith("PostgreSQL's data: "))
            elsewhere = Path(line.split()[2])
            assert (elsewhere / "PG_VERSION").exists()
            assert not (state / "postgres").exists()
            assert stack.stop() == 0
    finally:
        if elsewhere:
            shutil.rmtree(elsewhere)

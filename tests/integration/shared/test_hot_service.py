"""What ends a hot service besides a signal. In a process of its own: it sets up logging and takes the signals."""

import subprocess
import sys

PROGRAM = """
import asyncio
from shared.hot_service import hot_service, run

async def buggy():
    raise ZeroDivisionError("a bug beside")

async def serve():
    async with hot_service("probe") as service:
        service.beside(buggy())
        await {waiting}
        print("served on")

run("probe", serve)
"""


def ran(waiting):
    environment = {"TIERWISE_NATS_URL": "nats://127.0.0.1:1"}
    program = [sys.executable, "-c", PROGRAM.format(waiting=waiting)]
    return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_bug_beside_the_service_ends_it_loudly():
    done = ran("service.serve()")
    assert done.returncode == 1
    assert "a bug beside" in done.stderr
    assert "served on" in done.stdout, "it stops in order"


def test_a_bug_beside_a_service_that_waits_for_nats_ends_it_too():
    done = ran("service.connect()")
    assert done.returncode == 1
    assert "a bug beside" in done.stderr
    assert "served on" not in done.stdout

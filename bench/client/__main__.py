"""One job, as JSON on the command line. Says `begun` and `ended` around what counts, then the figures as JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import sys

import uvloop

from bench.client import plain, streams, together
from bench.client.connection import Job

KINDS = {"plain": plain.work, "streams": streams.work, "together": together.work}


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kind, job = sys.argv[1], Job(**json.loads(sys.argv[2]))
    print(json.dumps(uvloop.run(_work(kind, job))), flush=True)


async def _work(kind: str, job: Job) -> dict[str, float]:
    asyncio.get_running_loop().set_exception_handler(_die)
    return await KINDS[kind](job)


def _die(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A fault of the client must not look like a fault of whom it measures."""
    loop.default_exception_handler(context)
    sys.exit(1)


main()

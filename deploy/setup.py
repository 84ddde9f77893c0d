"""What has to be there before the services start, as two one-shot containers: passwords, then demo config and tables.

`setup.py secrets` runs before NATS and PostgreSQL, which read their passwords as they start; `setup.py migrate` after
them. Both may run again at any time and change nothing that is there.
"""

# ruff: noqa: INP001, T201 (a script that says what it does, in a folder that is no package)
import asyncio
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import asyncpg

from tierwise.demo import demo_config, demo_models

RUN = Path("/run/tierwise")
PROJECT = Path("/project")
PATIENCE_S = 120  # PostgreSQL's first start makes its cluster, which took 6 s on a slow disk


def make_secrets() -> None:
    nats = _password(RUN / "nats" / "password")
    _password(RUN / "postgres" / "password")
    _write(RUN / "nats" / "nats.conf", _nats_config(nats))
    _say("passwords and NATS' config are in their volumes")


def migrate() -> None:
    _check_project()
    if not (PROJECT / "tierwise.yaml").exists():
        _write(RUN / "demo" / "demo.yaml", _demo_config())
        _say("no tierwise.yaml in the project folder: the demo's config is used, with its two models")
    asyncio.run(_wait_for_nats())
    asyncio.run(_wait_for_postgres(os.environ["TIERWISE_DATABASE_URL"]))
    subprocess.run(
        [sys.executable, "-m", "alembic", "-c", "/app/migrations/alembic.ini", "upgrade", "head"], check=True
    )
    _say("the database is up to date")


# Secrets ----------------------------------------------------------------------------------------------------


def _password(path: Path) -> str:
    """The one that is there, else a new one: PostgreSQL keeps for good what it was started with first."""
    if not path.exists():
        _write(path, secrets.token_urlsafe(32))
    return path.read_text()


def _nats_config(password: str) -> str:
    """As the embedded server's (tierwise/embedded/nats.py), but for its addresses."""
    return "\n".join(
        [
            "server_name: tierwise",
            'listen: "0.0.0.0:4222"',
            'http: "127.0.0.1:8222"',  # for the health check inside the container
            "max_payload: 1MB",
            "max_pending: 256MB",
            "jetstream { store_dir: /data, max_mem: 256MB, max_file: 1TB, sync_interval: 10s }",
            f'authorization {{ user: tierwise, password: "{password}" }}',
            "",
        ]
    )


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and readable by its owner and group alone (NATS and PostgreSQL start as root)."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.chmod(0o440)
    fresh.replace(path)


# Demo and tables --------------------------------------------------------------------------------------------


def _check_project() -> None:
    """The image's user is not the folder's owner, so it sees what everybody may see."""
    who = f"user {os.getuid()} of the containers"
    config = PROJECT / "tierwise.yaml"
    if not os.access(PROJECT, os.R_OK | os.X_OK):
        _say(f"{who} may not enter the project folder, so a tierwise.yaml there is not seen: chmod o+rx it")
    elif config.exists() and not os.access(config, os.R_OK):
        sys.exit(f"setup: {who} may not read tierwise.yaml: chmod o+r tierwise.yaml (keys belong in .env)")


def _demo_config() -> str:
    """As `tierwise up` writes it, but for where the models are."""
    models = demo_models(8001, 8002, None)
    config = demo_config(models)
    for model in models:
        config = config.replace(f"//127.0.0.1:{model.port}/", f"//model-{model.tier}:{model.port}/")
    return config


async def _wait_for_nats() -> None:
    """The server speaks first: a line that begins with INFO."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            reader, writer = await asyncio.open_connection("nats", 4222)
            greeting = await asyncio.wait_for(reader.readline(), 5)
            writer.close()
            if greeting.startswith(b"INFO"):
                return
        except OSError as error:
            greeting = str(error).encode()
        if time.monotonic() > deadline:
            sys.exit(f"setup: no NATS at nats:4222 within {PATIENCE_S} s: {greeting.decode(errors='replace')}")
        await asyncio.sleep(0.2)


async def _wait_for_postgres(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=5)
        except asyncpg.InvalidPasswordError:
            sys.exit(
                "setup: PostgreSQL refuses the password in the volume `postgres-secret`, so its data were made with "
                "another: bring that volume back, or start anew, without the data, by `docker compose down --volumes`"
            )
        except (OSError, asyncpg.PostgresError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"setup: no PostgreSQL at postgres:5432 within {PATIENCE_S} s: {error}")
            await asyncio.sleep(0.2)
        else:
            await connection.close()
            return


def _say(text: str) -> None:
    print(f"setup: {text}", flush=True)


if __name__ == "__main__":
    {"secrets": make_secrets, "migrate": migrate}[sys.argv[1]]()

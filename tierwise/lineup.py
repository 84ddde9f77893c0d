"""What runs: the migrations and the six services, and what each of them is told. Pure but for the probes it names."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tierwise.part import Leave, Part
from tierwise.probes import answers_ok

ROOT = Path(__file__).parents[1]
OURS_TO_SAY = frozenset(
    f"TIERWISE_{name}" for name in ("NATS_URL", "DATABASE_URL", "CONFIG", "HOST", "PORT", "OPS_PORT", "INSECURE")
)

# In the order of starting; they leave in reverse.
SERVICES = {
    "ledger": Leave.LEDGER,
    "validator": Leave.SERVICE,
    "batcher": Leave.SERVICE,
    "dispatcher": Leave.SERVICE,
    "classifier": Leave.SERVICE,
    "ingress": Leave.DOOR,
}
WITH_DATABASE = frozenset({"ledger", "validator", "batcher"})


@dataclass(frozen=True, kw_only=True)
class Wiring:
    nats_url: str
    database_url: str
    config: Path
    host: str
    port: int
    insecure: bool


def service_parts(
    wiring: Wiring, base: Mapping[str, str], ops_ports: Mapping[str, int], embedded: Collection[str]
) -> list[Part]:
    """`embedded`: the names of those stores that are parts too, and so must be waited for."""
    return [
        Part(
            name=name,
            command=(sys.executable, "-m", f"services.{name}"),
            environment=service_environment(name, base, wiring, ops_ports[name]),
            cwd=ROOT,
            leave=leave,
            needs=frozenset({"nats"}.intersection(embedded) | ({"migrations"} if name in WITH_DATABASE else set())),
            ops_url=f"http://127.0.0.1:{ops_ports[name]}",
            probe=answers_ok(f"http://127.0.0.1:{ops_ports[name]}/readyz"),
        )
        for name, leave in SERVICES.items()
    ]


def migrations_part(wiring: Wiring, base: Mapping[str, str], embedded: Collection[str]) -> Part:
    return Part(
        name="migrations",
        command=(sys.executable, "-m", "alembic", "-c", str(ROOT / "migrations/alembic.ini"), "upgrade", "head"),
        environment={**_inherited(base), "TIERWISE_DATABASE_URL": wiring.database_url},
        cwd=ROOT,
        leave=Leave.SERVICE,
        needs=frozenset({"postgres"}.intersection(embedded)),
        one_shot=True,
    )


def service_environment(name: str, base: Mapping[str, str], wiring: Wiring, ops_port: int) -> dict[str, str]:
    """The user's environment (providers' keys), and of ours only what this service needs."""
    told = {**_inherited(base), "TIERWISE_NATS_URL": wiring.nats_url, "TIERWISE_OPS_PORT": str(ops_port)}
    if wiring.insecure:
        told["TIERWISE_INSECURE"] = "1"
    if name in WITH_DATABASE:
        told["TIERWISE_DATABASE_URL"] = wiring.database_url
    if name == "ingress":
        told |= {
            "TIERWISE_CONFIG": str(wiring.config),
            "TIERWISE_HOST": wiring.host,
            "TIERWISE_PORT": str(wiring.port),
        }
    return told


def _inherited(base: Mapping[str, str]) -> dict[str, str]:
    # Unbuffered: a log's last lines, why it died, must not die with it.
    return {**{name: value for name, value in base.items() if name not in OURS_TO_SAY}, "PYTHONUNBUFFERED": "1"}

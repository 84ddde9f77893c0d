from pathlib import Path

import pytest

from tierwise.lineup import SERVICES, Wiring, migrations_part, service_environment, service_parts
from tierwise.part import Leave

WIRING = Wiring(
    nats_url="nats://n",
    database_url="postgresql://d",
    config=Path("/c.yaml"),
    host="127.0.0.1",
    port=1,
    insecure=False,
)
USERS_OWN = {"OPENAI_API_KEY": "k", "TIERWISE_ADMIN_TOKEN": "t", "TIERWISE_DATABASE_URL": "x", "TIERWISE_CONFIG": "y"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_told_what_it_needs_and_nothing_else_of_ours(name):
    told = service_environment(name, USERS_OWN, WIRING, 7)
    assert told["OPENAI_API_KEY"] == "k"
    assert told["TIERWISE_ADMIN_TOKEN"] == "t"
    assert told["TIERWISE_NATS_URL"] == "nats://n"
    assert told["TIERWISE_OPS_PORT"] == "7"
    with_database = name in {"ledger", "validator", "batcher"}
    assert told.get("TIERWISE_DATABASE_URL") == ("postgresql://d" if with_database else None)
    door = name == "ingress"
    assert told.get("TIERWISE_CONFIG") == ("/c.yaml" if door else None)
    assert told.get("TIERWISE_PORT") == ("1" if door else None)
    assert "TIERWISE_INSECURE" not in told


def test_what_has_the_database_waits_for_the_migrations_and_the_rest_does_not():
    parts = {p.name: p for p in service_parts(WIRING, {}, dict.fromkeys(SERVICES, 1), {"nats", "postgres"})}
    assert {name for name, part in parts.items() if "migrations" in part.needs} == {"ledger", "validator", "batcher"}
    assert all("nats" in part.needs for part in parts.values())
    assert migrations_part(WIRING, {}, {"nats", "postgres"}).needs == {"postgres"}


def test_nobody_waits_for_a_store_that_is_not_ours():
    parts = service_parts(WIRING, {}, dict.fromkeys(SERVICES, 1), set())
    assert not any("nats" in part.needs for part in parts)
    assert migrations_part(WIRING, {}, set()).needs == set()


def test_the_door_leaves_first_and_the_ledger_last_of_the_services():
    leaving = sorted(SERVICES, key=lambda name: SERVICES[name])
    assert leaving[0] == "ingress"
    assert leaving[-1] == "ledger"
    assert max(SERVICES.values()) < Leave.MODEL < Leave.STORE

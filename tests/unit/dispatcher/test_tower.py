"""Plans that have no policy yet, and callers who leave while they wait for it."""

import asyncio
from types import SimpleNamespace

import pytest

from services.dispatcher.backends import Backends
from services.dispatcher.metrics import Counts
from services.dispatcher.tower import MAX_FLIGHTS, Tower
from shared.contracts import CallerLeft, Frame, RequestPlanned, encode, pack
from shared.policy import from_tree

POLICY = from_tree(
    {
        "tiers": ["small"],
        "backends": [
            {
                "name": "a",
                "tier": "small",
                "provider": "vllm",
                "base_url": "http://127.0.0.1:9/v1",
                "model": "m",
                "price": {"input_per_1m": 1, "output_per_1m": 1},
            }
        ],
    },
    {},
)


def plan(number: int, lease_id: str = "") -> RequestPlanned:
    return RequestPlanned(
        f"req_0123456789ab{number:08x}", 1, "chat", "default", "normal", 10_000, 2, False, 0, 1, "general", "small",
        ("category",), ("a",), "a", False, False, 10, 5000, lease_id,
    )  # fmt: skip


@pytest.fixture
async def tower():
    published = []
    bus = SimpleNamespace(
        time=asyncio.get_running_loop().time, publish=lambda *message: published.append(message), published=published
    )
    recorded = []
    journal = SimpleNamespace(is_full=False, record=recorded.append)
    tower = Tower(bus, "dispatcher-1", Backends({}), journal, Counts())
    tower.published = published
    tower.recorded = recorded
    return tower


def arrives(tower: Tower, number: int, lease_id: str = "") -> None:
    tower._on_plan(b"dispatch", b"", pack(plan(number, lease_id), b"{}"), b"")


async def test_a_plan_under_a_policy_that_is_still_to_come_waits_for_it(tower):
    arrives(tower, 1)
    assert tower.in_flight == 1
    assert list(tower.held()) == [plan(1).request_id]
    tower.on_policy(POLICY, 1)
    assert [flight.plan for flight in tower._flights.values()] == [plan(1)]


async def test_a_caller_who_left_meanwhile_is_not_served(tower):
    arrives(tower, 1)
    tower._on_caller_left(f"cancel.{plan(1).request_id}".encode(), b"", encode(CallerLeft("hung_up")), b"")
    tower.on_policy(POLICY, 1)
    assert tower.in_flight == 0


async def test_a_caller_who_left_before_the_plan_came_is_not_served(tower):
    tower.on_policy(POLICY, 1)
    tower._on_caller_left(f"cancel.{plan(1).request_id}".encode(), b"", encode(CallerLeft("hung_up")), b"")
    arrives(tower, 1)
    assert tower.in_flight == 0


async def test_waiting_plans_count_against_the_bound(tower):
    for number in range(MAX_FLIGHTS + 1):
        arrives(tower, number)
    assert tower.in_flight == MAX_FLIGHTS
    _, frame, _ = tower.published[-1]
    assert frame[0] == Frame.REFUSED
    assert b"overloaded" in frame


def leaves(tower, number):
    tower._on_caller_left(f"cancel.{plan(number).request_id}".encode(), b"", encode(CallerLeft("hung_up")), b"")


async def test_what_was_reserved_for_a_plan_that_is_not_begun_is_told_to_be_free(tower):
    leaves(tower, 1)
    tower.on_policy(POLICY, 1)
    arrives(tower, 1, lease_id="c.1")
    tower._journal.is_full = True
    arrives(tower, 2, lease_id="c.2")
    tower._journal.is_full = False
    tower._backends = Backends({})
    arrives(tower, 3, lease_id="c.3")
    tower._on_bus_lost()
    assert [(one.lease_id, one.reserved_nano_usd, one.cost_nano_usd, one.status) for one in tower.recorded] == [
        ("c.1", 5000, 0, 499),
        ("c.2", 5000, 0, 503),
        ("c.3", 5000, 0, 499),
    ]


async def test_without_a_lease_there_is_nothing_to_tell(tower):
    leaves(tower, 1)
    arrives(tower, 1)
    tower._on_bus_lost()
    assert tower.recorded == []

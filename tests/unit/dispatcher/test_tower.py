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


def plan(number: int) -> RequestPlanned:
    return RequestPlanned(
        f"req_0123456789ab{number:08x}", 1, "chat", "default", "normal", 10_000, 2, False, 0, 1, "general", "small",
        ("category",), ("a",), "a", False, False, 10, 0,
    )  # fmt: skip


@pytest.fixture
async def tower():
    published = []
    bus = SimpleNamespace(
        time=asyncio.get_running_loop().time, publish=lambda *message: published.append(message), published=published
    )
    tower = Tower(bus, "dispatcher-1", Backends({}), SimpleNamespace(is_full=False), Counts())
    tower.published = published
    return tower


def arrives(tower: Tower, number: int) -> None:
    tower._on_plan(b"dispatch", b"", pack(plan(number), b"{}"), b"")


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

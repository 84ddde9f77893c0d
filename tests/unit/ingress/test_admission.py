"""Who gets room, in which order, and what comes back."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingress.admission import Admission, Claim


class World:
    def __init__(self, budget=100):
        self.admission = Admission(budget)
        self.told = []

    def enter(self, size, name=""):
        claim = Claim(size, lambda: self.told.append(name))
        self.admission.enter(claim)
        return claim


def test_there_is_room_up_to_the_budget_and_then_in_the_order_of_asking():
    world = World()
    first, second = world.enter(60), world.enter(40)
    assert first.has_room
    assert second.has_room
    world.enter(50, "large")
    world.enter(1, "small")
    world.enter(1, "another")
    world.admission.leave(second)
    assert world.told == [], "40 are free, and the small ones do not overtake"
    world.admission.leave(first)
    assert world.told == ["large", "small", "another"]
    assert world.admission.held == 52


def test_whoever_asked_in_vain_leaves_the_line():
    world = World()
    first = world.enter(100)
    waiting = world.enter(100, "gone")
    world.enter(5, "next")
    world.admission.leave(waiting)
    world.admission.leave(waiting)
    assert world.told == []
    world.admission.leave(first)
    world.admission.leave(first)
    assert world.told == ["next"]
    assert (world.admission.held, world.admission.waiting) == (5, 0)


def test_a_body_in_front_of_the_line_that_leaves_lets_the_next_in():
    world = World()
    world.enter(60)
    large = world.enter(50, "large")
    world.enter(40, "fits")
    world.admission.leave(large)
    assert world.told == ["fits"]


def test_what_is_larger_than_the_budget_is_admitted_alone():
    world = World()
    huge = world.enter(1000)
    assert huge.has_room
    world.enter(1, "next")
    world.admission.leave(huge)
    assert world.told == ["next"]
    assert world.admission.held == 1


def test_what_was_claimed_and_not_needed_comes_back():
    world = World()
    claim = world.enter(100)
    world.enter(90, "next")
    world.admission.shrink(claim, 10)
    assert world.told == ["next"]
    world.admission.leave(claim)
    assert world.admission.held == 90


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 150)), max_size=40))
def test_the_sum_is_never_above_the_budget_and_nothing_leaks(steps):
    world = World()
    claims = []
    for what, size in steps:
        if what == 0 or not claims:
            claims.append(world.enter(size))
        elif what == 1:
            world.admission.leave(claims.pop(size % len(claims)))
        else:
            world.admission.shrink(claims[size % len(claims)], size)
        assert world.admission.held == sum(claim.size for claim in claims if claim.has_room) <= 100
        assert world.admission.waiting == sum(not claim.has_room for claim in claims)
        assert not claims or any(claim.has_room for claim in claims), "nobody waits for nobody"
    for claim in claims:
        world.admission.leave(claim)
    assert (world.admission.held, world.admission.waiting) == (0, 0)

from pathlib import Path

import pytest

from tierwise.embedded.postgres_place import choose_data, may_pass
from tierwise.part import CannotStart

INSIDE, OUTSIDE = Path("/state/postgres"), Path("/elsewhere/0")


@pytest.mark.parametrize(
    ("inside_holds", "outside_holds", "enterable", "chosen"),
    [
        (False, False, True, INSIDE),
        (False, False, False, OUTSIDE),
        (True, False, True, INSIDE),
        (True, True, True, INSIDE),
        (False, True, False, OUTSIDE),
        (False, True, True, OUTSIDE),
    ],
)
def test_data_that_are_there_decide_and_only_then_whether_nobody_may_enter(
    inside_holds, outside_holds, enterable, chosen
):
    assert chosen == choose_data(
        inside=INSIDE,
        outside=OUTSIDE,
        inside_holds_data=inside_holds,
        outside_holds_data=outside_holds,
        inside_is_enterable=enterable,
    )


def test_a_ledger_behind_a_door_that_was_shut_is_never_taken_for_an_empty_one():
    with pytest.raises(CannotStart, match=r"chmod o\+x"):
        choose_data(
            inside=INSIDE,
            outside=OUTSIDE,
            inside_holds_data=True,
            outside_holds_data=False,
            inside_is_enterable=False,
        )


@pytest.mark.parametrize(
    ("mode", "owner", "group", "passes"),
    [
        (0o711, 0, 0, True),
        (0o700, 0, 0, False),
        (0o700, 9, 0, True),
        (0o710, 0, 9, True),
        (0o701, 0, 9, False),  # the group's class decides, though others might pass
        (0o011, 9, 9, False),
    ],
)
def test_who_may_pass_is_decided_by_the_first_class_that_fits(mode, owner, group, passes):
    assert may_pass(mode, owner, group, uid=9, gid=9) is passes

"""Who may believe that it leads, by the clock that a test has."""

import pytest

from services.ingress.leadership import BELIEVED_S, LEASE_S, TURN_S, Term


def test_a_lease_is_believed_in_for_less_than_it_lasts_and_for_several_turns():
    assert 3 * TURN_S < BELIEVED_S < LEASE_S


@pytest.mark.parametrize(
    ("asked_at", "now", "leads"),
    [
        (100.0, 100.0, True),
        (100.0, 100.0 + BELIEVED_S - 0.01, True),
        (100.0, 100.0 + BELIEVED_S, False),
        (100.0, 160.0, False),  # it stood still for a minute, and does not believe it a moment longer
    ],
)
def test_it_counts_from_before_it_asked(asked_at, now, leads):
    term = Term()
    assert not term.leads(now)
    term.renewed(asked_at)
    assert term.leads(now) is leads


def test_who_sees_anothers_lease_leads_no_longer():
    term = Term()
    term.renewed(100)
    term.saw(7)
    assert not term.leads(100)


@pytest.mark.parametrize(
    ("revisions", "another_leads"), [([7], False), ([7, 7, 7], False), ([7, 8], True), ([7, 8, 8], True)]
)
def test_another_leads_once_its_lease_was_renewed_under_our_eyes(revisions, another_leads):
    """That of one who died stands there too, for a while."""
    term = Term()
    for revision in revisions:
        term.saw(revision)
    assert term.another_leads is another_leads
    term.saw_none()
    assert not term.another_leads

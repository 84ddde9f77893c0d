from services.ingress.liveness import ASKED_AGAIN_S, FROZEN_S, LEFT_S, Inquiry, Liveness
from shared.contracts import Beat


def beat(instance: str, service: str = "dispatcher", *, leaving: bool = False) -> Beat:
    return Beat(service, instance, 0, leaving)


def test_whoever_beats_is_alive():
    liveness = Liveness()
    liveness.heard(beat("d1"), 0.0)
    assert liveness.silent(0.9) == set()
    assert liveness.living("dispatcher") == {"d1"}
    assert liveness.living("classifier") == set()


def test_a_second_of_silence_is_a_death():
    liveness = Liveness()
    liveness.heard(beat("d1"), 0.0)
    liveness.heard(beat("d2"), 0.5)
    assert liveness.silent(1.0) == {"d1"}
    assert liveness.living() == {"d2"}


def test_whoever_left_is_asked_about_for_a_while():
    """It may have held something for a reader who was too slow."""
    liveness = Liveness()
    liveness.heard(beat("d1"), 0.0)
    liveness.heard(beat("d1", leaving=True), 0.5)
    assert liveness.living() == set()
    assert liveness.silent(0.5) == {"d1"}
    assert liveness.silent(0.5 + LEFT_S) == set()


def test_who_was_only_frozen_lives_again():
    liveness = Liveness()
    liveness.heard(beat("d1"), 0.0)
    assert liveness.silent(1.5) == {"d1"}
    liveness.heard(beat("d1"), 2.0)
    assert liveness.silent(2.1) == set()
    assert liveness.living() == {"d1"}


def test_who_may_be_frozen_is_remembered_for_as_long_as_nats_may_send_requests_there():
    liveness = Liveness()
    liveness.heard(beat("d1"), 0.0)
    assert liveness.silent(1.0) == {"d1"}
    assert liveness.silent(60.0) == {"d1"}
    assert liveness.silent(1.0 + FROZEN_S) == set()


def test_who_could_not_hear_blames_nobody():
    liveness = Liveness()
    liveness.heard(beat("d1"), 0.0)
    liveness.deaf(30.0)
    assert liveness.silent(30.5) == set()
    assert liveness.silent(31.0) == {"d1"}


def test_an_inquiry_waits_for_each_that_lives_however_slow_it_is():
    inquiry = Inquiry({"r1", "r2"}, {"d1", "d2"}, 0.0)
    inquiry.answered("d1", ("r1",))
    assert not inquiry.is_over({"d1", "d2"})
    assert inquiry.is_over({"d1"}), "d2 has died meanwhile"
    inquiry.answered("d2", ("r2", "another"))
    assert inquiry.is_over({"d1", "d2"})
    assert not inquiry.unclaimed


def test_an_inquiry_does_not_wait_for_a_newcomer_who_was_not_asked():
    inquiry = Inquiry({"r1"}, {"d1"}, 0.0)
    inquiry.answered("d1", ())
    assert inquiry.is_over({"d1", "d2"})
    assert inquiry.unclaimed == {"r1"}


def test_a_claim_of_either_round_counts():
    inquiry = Inquiry({"r1", "r2", "r3"}, {"c1", "d1"}, 0.0)
    inquiry.answered("d1", ("r1",))
    inquiry.answered("c1", ())
    assert not inquiry.is_second
    inquiry.ask_again({"c1", "d1"}, 0.1)
    assert inquiry.is_second
    assert not inquiry.is_over({"c1", "d1"})
    inquiry.answered("d1", ("r2",))  # its plan had been on its way from c1
    inquiry.answered("c1", ())
    assert inquiry.is_over({"c1", "d1"})
    assert inquiry.unclaimed == {"r3"}


def test_an_inquiry_whose_question_was_lost_is_late():
    inquiry = Inquiry({"r1"}, {"d1"}, 0.0)
    assert not inquiry.is_late(ASKED_AGAIN_S - 0.1)
    assert inquiry.is_late(ASKED_AGAIN_S)

from services.ingress.liveness import MOURNED_S, Liveness
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


def test_a_leaving_is_no_death():
    liveness = Liveness()
    liveness.heard(beat("d1"), 0.0)
    liveness.heard(beat("d1", leaving=True), 0.5)
    assert liveness.silent(5.0) == set()
    assert liveness.living() == set()


def test_who_was_only_frozen_lives_again():
    liveness = Liveness()
    liveness.heard(beat("d1"), 0.0)
    assert liveness.silent(1.5) == {"d1"}
    liveness.heard(beat("d1"), 2.0)
    assert liveness.silent(2.1) == set()
    assert liveness.living() == {"d1"}


def test_the_dead_are_forgotten_in_time():
    liveness = Liveness()
    liveness.heard(beat("d1"), 0.0)
    assert liveness.silent(1.0) == {"d1"}
    assert liveness.silent(1.0 + MOURNED_S) == set()


def test_who_could_not_hear_blames_nobody():
    liveness = Liveness()
    liveness.heard(beat("d1"), 0.0)
    liveness.deaf(30.0)
    assert liveness.silent(30.5) == set()
    assert liveness.silent(31.0) == {"d1"}

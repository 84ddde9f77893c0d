"""What was reached, from what was measured."""

import pytest

from bench.cases import LARGE, PLAIN_1, PLAIN_64, SLOW
from bench.series import Measured
from bench.subject import DIRECT, LITELLM, TENSORZERO, TIERWISE
from bench.targets import TARGETS, Target, main_figures, verdicts

OURS = Measured(
    figures={"per_second": 12_000.0, "errors": 0, "ledger_us": 12.0, "postgres_us": 20.0},
    cpu_us={
        "nats": 8.0, "ingress": 16.0, "classifier": 12.0, "dispatcher": 18.0,
        "ledger": 3.0, "postgres": 5.0, "supervisor": 1.0,
    },
    runs=3,
)  # fmt: skip


def peer(per_second, cpu_us, *, is_clean=True):
    return Measured(figures={"per_second": per_second}, cpu_us={"peer": cpu_us}, is_clean=is_clean)


def of(figure, cases):
    return next(one for one in verdicts(main_figures(cases), cases) if one.figure == figure)


@pytest.mark.parametrize(
    ("target", "value", "reached"),
    [
        (Target("", "", at_most=55), 55.0, True),
        (Target("", "", at_most=55), 55.1, False),
        (Target("", "", at_least=1.9), 1.9, True),
        (Target("", "", at_least=1.9), 1.89, False),
        (Target("", "", at_most=0), 0, True),
        (Target("", "", at_most=0), 1, False),
    ],
)
def test_a_limit_is_reached_at_the_limit(target, value, reached):
    assert target.is_reached(value) is reached


def test_the_frame_is_what_a_request_passes():
    assert main_figures({PLAIN_64: {TIERWISE: OURS}})["frame_us"] == 54.0


def test_all_processes_count_with_the_ledger_at_what_a_record_costs_it_and_without_postgresql():
    assert main_figures({PLAIN_64: {TIERWISE: OURS}})["all_but_postgres_us"] == 54.0 + 1.0 + 12.0


def test_peers_are_compared_in_the_same_run():
    cases = {PLAIN_64: {TIERWISE: OURS, TENSORZERO: peer(6000.0, 270.0), LITELLM: peer(160.0, 11_000.0)}}
    figures = main_figures(cases)

    assert (figures["ratio_tensorzero"], figures["ratio_litellm"]) == (2.0, 75.0)
    assert figures["cpu_ratio_tensorzero_to_frame"] == 5.0
    assert figures["cpu_ratio_tensorzero_to_all"] == pytest.approx(270.0 / (67.0 + 20.0))


def test_what_was_not_measured_is_neither_reached_nor_missed():
    found = of("ratio_litellm", {PLAIN_64: {TIERWISE: OURS, LITELLM: Measured(failed="it died")}})

    assert (found.value, found.is_reached) == (None, None)


def test_a_ratio_to_a_disturbed_peer_is_said_to_be_disturbed():
    cases = {PLAIN_64: {TIERWISE: OURS, TENSORZERO: peer(6000.0, 270.0, is_clean=False)}}

    assert not of("ratio_tensorzero", cases).is_clean
    assert of("requests_per_second", cases).is_clean


def test_what_is_added_is_the_difference_to_the_backend_alone():
    direct, ours = Measured(figures={"p50_ms": 0.08}), Measured(figures={"p50_ms": 0.5})

    assert main_figures({PLAIN_1: {DIRECT: direct, TIERWISE: ours}})["p50_added_ms"] == pytest.approx(0.42)


def test_slow_streams_are_weighed_by_the_frame_alone():
    frame = {"nats": 0.25, "ingress": 0.25, "classifier": 0.0, "dispatcher": 0.5}
    ours = Measured(
        figures={"stalled": 1, "errors": 2},
        cores={**frame, "postgres": 1.0},
        memory_mib={**dict.fromkeys(frame, 30.0), "postgres": 60.0},
    )
    figures = main_figures({SLOW: {TIERWISE: ours}})

    assert (figures["slow_cores"], figures["slow_mib"], figures["slow_stalled"]) == (1.0, 120.0, 3)


def test_an_unanswered_large_body_is_a_miss():
    ours = Measured(figures={"errors": 1, "peak_mib": 590.0, "slow_consumers": 0})
    cases = {LARGE: {TIERWISE: ours}}

    assert of("large_unanswered", cases).is_reached is False
    assert of("large_mib", cases).is_reached is True


def test_each_target_has_one_limit():
    assert all((target.at_most is None) != (target.at_least is None) for target in TARGETS)

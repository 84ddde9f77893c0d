"""Which runs count, and what is told of them."""

import pytest

from bench.measure import Run
from bench.noise import LIMIT_CORES, Disturbance, disturbance
from bench.series import told


def a_run(per_second=100.0, others=0.0, **figures):
    return Run(
        figures={"per_second": per_second, "errors": 0, **figures},
        cpu_us={"ingress": per_second},
        cores={"ingress": 0.5},
        memory_mib={"ingress": 40.0},
        pace_ms=3.0,
        others=Disturbance(others, "someone"),
    )


@pytest.mark.parametrize(
    ("taken_s", "seconds", "cores", "is_too_much"),
    [
        ({"stolen": 0.0, "someone": 0.5}, 2.0, 0.25, False),
        ({"stolen": 0.0, "someone": 0.52}, 2.0, 0.26, True),
        ({"stolen": 0.4, "someone": 0.2}, 2.0, 0.3, True),
        ({"stolen": 0.0, "someone": -0.1}, 2.0, 0.0, False),
    ],
)
def test_more_than_a_quarter_of_a_core_is_too_much(taken_s, seconds, cores, is_too_much):
    found = disturbance(taken_s, seconds)

    assert (found.cores, found.is_too_much) == (pytest.approx(cores), is_too_much)


def test_the_one_who_used_most_is_named():
    assert disturbance({"stolen": 0.1, "compiler": 0.9, "editor": 0.2}, 1.0).by == "compiler"


def test_a_figure_is_the_median_of_the_clean_runs():
    measured = told([a_run(90.0), a_run(300.0), a_run(100.0)], [a_run(1.0, others=0.5)])

    assert (measured.figures["per_second"], measured.cpu_us["ingress"]) == (100.0, 100.0)
    assert (measured.runs, measured.thrown_out, measured.is_clean) == (3, 1, True)


def test_errors_are_summed_and_the_longest_gap_is_the_longest_of_all():
    clean = [a_run(errors=0, gap_max_ms=9.0), a_run(errors=2, gap_max_ms=700.0), a_run(errors=1, gap_max_ms=8.0)]

    assert told(clean, []).figures == {"per_second": 100.0, "errors": 3, "gap_max_ms": 700.0}


def test_without_a_clean_run_the_least_disturbed_is_shown_as_disturbed():
    measured = told([], [a_run(80.0, others=0.9), a_run(95.0, others=LIMIT_CORES + 0.1), a_run(70.0, others=1.5)])

    assert (measured.figures["per_second"], measured.is_clean) == (95.0, False)
    assert measured.others_cores == LIMIT_CORES + 0.1

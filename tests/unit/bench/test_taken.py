"""Whose CPU time it is."""

import os

from bench.taken import Process, Snapshot, cpu_by_name, cpu_of_others


def machine(*processes, stolen_s=0.0):
    """Each process: PID, parent, name, seconds of itself and of its children that have ended."""
    return Snapshot({pid: Process(parent, name, cpu_s) for pid, parent, name, cpu_s in processes}, stolen_s)


def test_a_child_without_a_name_counts_with_its_nearest_named_ancestor():
    before = machine((10, 1, "up", 1.0), (20, 10, "postgres", 2.0), (21, 20, "backend", 3.0))
    after = machine((10, 1, "up", 1.5), (20, 10, "postgres", 2.25), (21, 20, "backend", 4.0))

    assert cpu_by_name(before, after, {"supervisor": 10, "postgres": 20}) == {"supervisor": 0.5, "postgres": 1.25}


def test_a_child_that_ended_meanwhile_is_counted_once():
    before = machine((20, 1, "postgres", 2.0), (21, 20, "backend", 3.0))
    after = machine((20, 1, "postgres", 5.5))  # 3.0 of it the child had before, and 0.5 more when it ended

    assert cpu_by_name(before, after, {"postgres": 20}) == {"postgres": 0.5}


def test_a_child_that_began_meanwhile_counts_from_its_beginning():
    before = machine((20, 1, "postgres", 2.0))
    after = machine((20, 1, "postgres", 2.0), (21, 20, "backend", 0.75))

    assert cpu_by_name(before, after, {"postgres": 20}) == {"postgres": 0.75}


def test_others_are_all_but_ours_and_what_is_below_ours_and_the_kernel():
    before = machine((2, 0, "kthreadd", 0.0), (9, 2, "ksoftirqd", 0.0), (10, 1, "ours", 0.0), (11, 10, "child", 0.0))
    after = machine(
        (2, 0, "kthreadd", 0.0),
        (9, 2, "ksoftirqd", 7.0),
        (10, 1, "ours", 7.0),
        (11, 10, "child", 7.0),
        (30, 1, "compiler", 0.5),
    )

    assert cpu_of_others(before, after, [10]) == {"(stolen by the host)": 0.0, "compiler": 0.5}


def test_the_bench_itself_is_no_other_but_a_subject_that_waits_for_its_turn_is():
    before = machine((os.getpid(), 1, "bench", 0.0), (40, os.getpid(), "waiting", 0.0))
    after = machine((os.getpid(), 1, "bench", 9.0), (40, os.getpid(), "waiting", 0.5))

    assert cpu_of_others(before, after, []) == {"(stolen by the host)": 0.0, "waiting": 0.5}


def test_what_the_host_keeps_is_taken_by_others():
    taken = cpu_of_others(machine(stolen_s=1.0), machine(stolen_s=1.5), [])

    assert taken == {"(stolen by the host)": 0.5}

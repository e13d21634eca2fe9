"""The real engine against Certyn's limits in virtual time, beside the documented shell loops and a clairvoyant.

benchmarks/pacing.py prints these figures for more and larger cases.
"""

from __future__ import annotations

from statistics import fmean

import pytest

from tests.amount import FULL, some
from tests.simulation.certyn import READS_ALONE, Limits, Simulation, Told, Workload, clairvoyant, loops


def together(tolds: list[Told]) -> Told:
    return Told(
        lags=tuple(lag for told in tolds for lag in told.lags),
        reads=fmean(told.reads for told in tolds),
        refused=sum(told.refused for told in tolds),
        unasked_s=max(told.unasked_s for told in tolds),
        seconds=max(told.seconds for told in tolds),
    )


def works(runs: int) -> list[Workload]:
    """Enough of them for a mean that does not depend on luck."""
    return [Workload.of(runs, seed=seed) for seed in range(max(1, IN_ALL // runs))]


def peers(runs: int, limits: Limits) -> Told:
    """The documented loops over the same runs."""
    return together([loops(work, limits) for work in works(runs)])


IN_ALL = 400 if FULL else 80
LUCK_S = 0.8
"""Twice the deviation of a mean of two hundred runs: when one ends within the ten seconds between polls is chance."""


@pytest.mark.parametrize("limits", [READS_ALONE, Limits()], ids=["reads", "all"])
@pytest.mark.parametrize("runs", some([1, 10, 25], 1))
def test_few_runs_are_noticed_as_soon_as_by_loops_with_half_their_reads(runs: int, limits: Limits) -> None:
    engine = together([Simulation(work, limits).run() for work in works(runs)])
    peer = peers(runs, limits)
    assert engine.refused == 0
    assert engine.mean <= peer.mean + LUCK_S, f"{engine}\n{peer}"
    # Ten seconds between polls leave no schedule with exactly half the reads and no more lag at one run.
    assert engine.reads <= peer.reads * (0.55 if runs < 25 else 0.5), f"{engine}\n{peer}"


@pytest.mark.parametrize("limits", [READS_ALONE, Limits()], ids=["reads", "all"])
@pytest.mark.parametrize("runs", some([50, 100, 200], 1))
def test_many_runs_are_noticed_in_half_the_time_of_loops_with_a_third_of_their_reads(runs: int, limits: Limits) -> None:
    engine = together([Simulation(work, limits).run() for work in works(runs)])
    peer = peers(runs, limits)
    assert engine.refused == 0
    assert engine.mean <= peer.mean / 2, f"{engine}\n{peer}"
    assert engine.reads <= peer.reads / 3, f"{engine}\n{peer}"


@pytest.mark.skipif(not FULL, reason="seven seconds of one world: make test-full")
def test_five_hundred_runs_come_close_to_a_clairvoyant() -> None:
    work = Workload.of(500)
    engine = Simulation(work, READS_ALONE).run()
    assert engine.refused == 0
    assert engine.mean <= 2 * clairvoyant(work, READS_ALONE).mean


@pytest.mark.parametrize("runs", some([1, 10, 25, 50, 100, 200], 1))
def test_without_history_nothing_is_worse_than_with_loops(runs: int) -> None:
    engine = together([Simulation(work, READS_ALONE, history=False).run() for work in works(runs)])
    peer = peers(runs, READS_ALONE)
    assert engine.refused == 0
    assert engine.mean <= peer.mean + LUCK_S, f"{engine}\n{peer}"
    # The first look comes five seconds before that of a loop: half a read more, on average.
    assert engine.reads <= peer.reads + 0.5, f"{engine}\n{peer}"


def test_a_vendor_without_limits_is_asked_less_often_than_every_ten_seconds_and_noticed_as_soon() -> None:
    free = Limits(reads=1_000_000, creates=1_000_000, all=1_000_000)
    engine = together([Simulation(work, free, hint_s=None).run() for work in works(100)])
    peer = peers(100, free)
    assert engine.mean <= peer.mean + LUCK_S, f"{engine}\n{peer}"
    assert engine.reads <= peer.reads * 0.55, f"{engine}\n{peer}"


def test_many_runs_of_up_to_an_hour_keep_every_limit_and_none_is_forgotten() -> None:
    runs = 1000 if FULL else 150
    told = Simulation(Workload.of(runs, typical_s=900, longest_s=3600)).run()
    assert told.refused == 0
    assert len(told.lags) == runs
    assert told.mean < 60
    assert max(told.lags) < 600
    assert told.unasked_s < 3600

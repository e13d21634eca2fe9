"""How late an end is noticed, and for how many reads: the engine in virtual time, shell loops, and a clairvoyant.

python benchmarks/pacing.py [RUNS …]      the table for so many runs
python benchmarks/pacing.py --lists [RUNS …]   the same at a vendor without a rate that lists runs
python benchmarks/pacing.py --short [RUNS …]   a first apply of runs of five seconds
python benchmarks/pacing.py --hour 10000  so many runs of up to an hour under Certyn's limits, in virtual time
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.simulation.certyn import MANY, READS_ALONE, Limits, Simulation, Workload, clairvoyant, loops
from tests.simulation.testerarmy import ArmySimulation

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.decode import Json
    from tests.simulation.certyn import Told

    Items = list[dict[str, Json]]

RUNS = (1, 36, 200, 1000)
AT_LEAST = 60
"""Runs in all for each cell: a mean of fewer is luck."""
TESTS = 12
"""Tests of a run that tells its progress."""
NO_RATE = Limits(reads=MANY, creates=MANY, all=MANY)
CASES = {"all runs were started before: 60 reads a minute": READS_ALONE, "Certyn's limits, creates included": Limits()}


def mean(works: list[Workload], simulate: Callable[[Workload], Told]) -> str:
    tolds = [simulate(work) for work in works]
    refused = fmean(told.refused for told in tolds)
    lag, late = fmean(told.mean for told in tolds), fmean(told.p95 for told in tolds)
    return f"{lag:.1f} / {late:.0f} / {fmean(told.reads for told in tolds):.1f} / {refused:,.0f}"


def table(limits: Limits, sizes: list[int]) -> None:
    withs = ("history", "none", "history, progress", "none, progress", "history, list", "none, list")
    names = ("shell loops, 10 s", *withs, "a clairvoyant")
    print(f"| runs | {' | '.join(names)} |\n|---{'|---' * len(names)}|")
    for runs in sizes:
        works = [Workload.of(runs, seed=seed) for seed in range(max(1, AT_LEAST // runs))]
        cells = (
            mean(works, lambda work: loops(work, limits)),
            mean(works, lambda work: Simulation(work, limits).run()),
            mean(works, lambda work: Simulation(work, limits, history=False).run()),
            mean(works, lambda work: Simulation(work, limits, tests=TESTS).run()),
            mean(works, lambda work: Simulation(work, limits, history=False, tests=TESTS).run()),
            mean(works, lambda work: Simulation(work, limits, listed=shown).run()),
            mean(works, lambda work: Simulation(work, limits, history=False, listed=shown).run()),
            mean(works, lambda work: clairvoyant(work, limits)),
        )
        print(f"| {runs} | {' | '.join(cells)} |", flush=True)


def lists(sizes: list[int]) -> None:
    """TesterArmy documents no rate, and lists runs."""
    names = ("shell loops, 10 s", "history", "none", "60 reads a minute: loops", "history", "none", "a clairvoyant")
    print(f"| runs | {' | '.join(names)} |\n|---{'|---' * len(names)}|")
    for runs in sizes:
        works = [Workload.of(runs, seed=seed) for seed in range(max(1, AT_LEAST // runs))]
        cells = []
        for limits in (NO_RATE, READS_ALONE):
            cells.append(mean(works, lambda work: loops(work, limits)))  # noqa: B023  it is called at once
            for history in (True, False):
                simulate = partial(ArmySimulation, limits=limits, history=history)
                cells.append(mean(works, lambda work: simulate(work).run()))  # noqa: B023  it is called at once
        cells.append(mean(works, lambda work: clairvoyant(work, READS_ALONE)))
        print(f"| {runs} | {' | '.join(cells)} |", flush=True)


def short(sizes: list[int]) -> None:
    """A first apply of runs of about five seconds."""
    names = ("Certyn, no rate: loops", "none", "TesterArmy: none")
    print(f"| runs | {' | '.join(names)} |\n|---{'|---' * len(names)}|")
    for runs in sizes:
        works = [Workload.of(runs, seed=seed, typical_s=5.0) for seed in range(max(1, AT_LEAST // runs))]
        cells = (
            mean(works, lambda work: loops(work, NO_RATE)),
            mean(works, lambda work: Simulation(work, NO_RATE, history=False).run()),
            mean(works, lambda work: ArmySimulation(work, NO_RATE, history=False).run()),
        )
        print(f"| {runs} | {' | '.join(cells)} |", flush=True)


def shown(items: Items, now: float) -> Items:
    """A list that tells the truth."""
    del now
    return items


def hour(runs: int) -> None:
    work = Workload.of(runs, typical_s=900.0, longest_s=3600.0)
    began = time.process_time()
    told = Simulation(work).run()
    spent = time.process_time() - began
    print(f"{runs:,} runs of up to {max(work.durations):,.0f} s, {told.seconds / 3600:.1f} h of virtual time: {told}")
    print(f"longest lag {max(told.lags):.0f} s; {spent:.1f} s of CPU")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--hour"]:
        hour(int(sys.argv[2]))
    elif sys.argv[1:2] in (["--lists"], ["--short"]):
        {"--lists": lists, "--short": short}[sys.argv[1]](
            [int(runs) for runs in sys.argv[2:]] or [1, 36, 200, 500, 5000]
        )
    else:
        for title, limits in CASES.items():
            print(f"\n{title}: mean lag s / p95 lag s / reads a run / refused\n")
            table(limits, [int(runs) for runs in sys.argv[1:]] or list(RUNS))

"""Kills an apply over all four emulated vendors at every line of its journal and at every request, and resumes each.

    python benchmarks/survival.py [POINT…]

Prints how many were survived: nothing paid twice, no result lost, no environment left without a word.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.program.conftest import FAST, Stage
from tests.program.killing import POINTS, killed_at, undisturbed


def main() -> None:
    points = sys.argv[1:] or list(POINTS)
    numbers = itertools.count(1)
    with tempfile.TemporaryDirectory() as scratch:

        def begin(**scenario: object) -> Stage:
            whole = {"certyn": {"rates": FAST}, **scenario}
            return Stage(Path(scratch) / f"stage-{next(numbers)}", whole)

        whole = undisturbed(begin)
        began = time.monotonic()
        for point in points:
            with ThreadPoolExecutor(4) as pool:
                found = list(pool.map(partial(one, begin, whole, point), range(1, whole.points[point] + 1)))
            reached = [each for each in found if each != "not reached"]
            lost = [each for each in reached if each not in {"survived", "decided"}]
            print(
                f"{point:8} {len(reached):4} killed, {len(reached) - len(lost):4} survived,"
                f" of them {reached.count('decided')} after a person's word"
            )
            for each in lost:
                print(f"         LOST: {each}")
        print(f"{time.monotonic() - began:.0f} s")


def one(begin, whole, point: str, number: int) -> str:  # noqa: ANN001
    try:
        return killed_at(begin, whole, point, number)
    except AssertionError as error:
        return f"{point}:{number}: {error}"


if __name__ == "__main__":
    main()

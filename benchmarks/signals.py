"""Seconds from a signal to the exit of an apply with many runs under way, and how many of them were cancelled.

python benchmarks/signals.py [RUNS…]
"""

from __future__ import annotations

import itertools
import signal
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.program.conftest import FAST, Stage

TIMES = 5


def main() -> None:
    runs = [int(word) for word in sys.argv[1:]] or [1, 10, 40]
    numbers = itertools.count(1)
    with tempfile.TemporaryDirectory() as scratch:
        for number in runs:
            for word in (signal.SIGINT, signal.SIGTERM):
                took = [interrupted(Path(scratch) / f"stage-{next(numbers)}", number, word) for _ in range(TIMES)]
                seconds = [each for each, _ in took]
                cancelled = [each for _, each in took]
                print(
                    f"{number:4} runs, {word.name}: {statistics.median(seconds):.2f} s"
                    f" ({min(seconds):.2f} to {max(seconds):.2f}), cancelled {min(cancelled)} to {max(cancelled)}"
                )


def interrupted(folder: Path, runs: int, word: signal.Signals) -> tuple[float, int]:
    """Seconds to the exit, and cancels that the vendor got."""
    stage = Stage(folder, {"speed": 50, "certyn": {"rates": FAST, "default": "hang"}})
    try:
        stage.commit(*(stage.certyn(f"smoke-{number}") for number in range(runs)))
        process = stage.start_apply()
        stage.until(lambda: len(stage.events("Accepted")) == runs)
        ended = process.signal(word)
        return ended.seconds, len(stage.sent("certyn", "POST", "/cancel"))
    finally:
        stage.close()


if __name__ == "__main__":
    main()

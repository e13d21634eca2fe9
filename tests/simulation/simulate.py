"""Runs as many worlds as one likes: python -m tests.simulation.simulate --seeds 100000 [--first SEED] [--show] …"""

from __future__ import annotations

import argparse
import re
import sys
import time
import traceback
from collections import Counter

from tests.simulation.worlds import World


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--step", type=int, default=1, help="from one seed to the next")
    parser.add_argument("--show", action="store_true", help="tell the story of each world that breaks a promise")
    parser.add_argument("--until-broken", action="store_true", help="stop at the first world that breaks a promise")
    told = parser.parse_args(words)
    broken: Counter[str] = Counter()
    began = time.process_time()
    for seed in range(told.first, told.first + told.step * told.seeds, told.step):
        world = World.of(seed)
        try:
            world.live()
        except Exception as error:  # noqa: BLE001  whatever it is, the seed has found it
            what = (str(error) or type(error).__name__).partition("\n")[0]
            broken[_kind(what)] += 1
            sys.stdout.write(f"seed {seed}: {type(error).__name__}: {what}\n")
            if told.show:
                sys.stdout.write(f"{world}\n{''.join(traceback.format_exception(error))}\n")
            if told.until_broken:
                break
    for what, number in broken.most_common():
        sys.stdout.write(f"{number:6} {what}\n")
    seconds = time.process_time() - began
    sys.stdout.write(
        f"{told.seeds} worlds, {broken.total()} broke a promise, {1000 * seconds / told.seeds:.1f} ms each\n"
    )
    return int(broken.total() > 0)


def _kind(what: str) -> str:
    """What many worlds have in common: the words without names and numbers."""
    words = re.sub(r"'[^']*'|\{[^}]*\}", "…", what.partition(": simulated")[0])
    return re.sub(r"\b\S*\d\S*", "…", words)[:100]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

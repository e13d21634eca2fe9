"""Takes each mend of mends.toml out of a copy of the program, and looks for a world that notices.

    python -m tests.simulation.mends [--seeds N] [--only REGEX]

Each mend stands for a fault that once broke a promise. A simulator that lives well without it does not look there.
A mend that worlds meet too seldom, or that another check covers there, has a test as its `witness`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.simulation.worlds import WIRED

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("mends.toml")
HANGS_S = 3600
"""A program without its mend may run for ever: that is noticed, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """A mend in one file of the package. Without it, `new` stands in the place of `old`, and a promise `breaks`."""

    name: str
    file: str
    old: str
    new: str
    breaks: str
    wired: bool = False
    witness: str | None = None
    """A test that fails without the mend, as pytest is given it."""

    def taken_out_of(self, package: Path) -> str:
        """The file's text without the mend. ValueError if the old text does not stand there exactly once."""
        text = (package / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.file} does not hold its old text exactly once: {TABLE.name} is stale")
        return text.replace(self.old, self.new)


def mends() -> list[Mend]:
    return [Mend(name=name, **fields) for name, fields in tomllib.loads(TABLE.read_text(encoding="utf-8")).items()]


def noticed(mend: Mend, seeds: int) -> str | None:
    """What a mend's witness says without it, or the first world that breaks a promise; None if nothing is noticed."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        for folder in ("qarunner", "tests"):
            shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        for file in ("qa-matrix.schema.json", "pyproject.toml"):
            shutil.copy(ROOT / file, copy)
        (copy / "qarunner" / mend.file).write_text(mend.taken_out_of(ROOT / "qarunner"), encoding="utf-8")
        try:
            return _failed(mend.witness, copy) if mend.witness else _broken(mend, copy, seeds)
        except subprocess.TimeoutExpired:
            return "it never ends"


def _failed(witness: str, copy: Path) -> str | None:
    """A witness that cannot be called has not seen anything: RuntimeError."""
    end = _run(copy, "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", witness)
    if end.returncode not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise RuntimeError(f"{witness} cannot be called\n{end.stdout}{end.stderr}")
    return f"{witness} fails" if end.returncode else None


def _broken(mend: Mend, copy: Path, seeds: int) -> str | None:
    words = ["tests.simulation.simulate", "--until-broken", "--seeds", str(seeds)]
    words += ["--first", str(WIRED - 1), "--step", str(WIRED)] if mend.wired else []
    end = _run(copy, *words)
    if (broken := re.search(r"^seed \d+: .*", end.stdout, re.MULTILINE)) is not None:
        return broken[0]
    if " 0 broke a promise" not in end.stdout:
        raise RuntimeError(f"{mend.name}: the simulator itself has failed\n{end.stdout}{end.stderr}")
    return None


def _run(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=HANGS_S, check=False)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds at most for each mend")
    parser.add_argument("--only", default="", metavar="REGEX", help="the mends with such a name")
    told = parser.parse_args(words)
    missed = 0
    for mend in mends():
        if not re.search(told.only, mend.name):
            continue
        began = time.monotonic()
        found = noticed(mend, told.seeds)
        missed += found is None
        head = f"{'found' if found else 'NOT FOUND':10}{mend.name} ({time.monotonic() - began:.0f} s)"
        sys.stdout.write(f"{head}\n{'':10}{found or f'not noticed: {mend.breaks}'}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{missed} not found\n")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

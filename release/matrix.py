"""The tests on each Python, with the oldest and the newest packages that pyproject.toml allows: `make test-matrix`.

Needs uv, and uses the Pythons that it finds on this machine. What tests themselves need is always the newest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = ("lowest-direct", "highest")
PART = (
    "tests/manifest",
    "tests/plan",
    "tests/report",
    "tests/vendors",
    "tests/program/test_apply.py",
    "tests/program/test_versions.py",
)


def main(words: list[str]) -> int:
    """Returns 1 if tests fail anywhere, 2 if no Python could be used; the last lines say what was tested."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", help=f"default: {', '.join(PYTHONS)}, as far as they are here")
    parser.add_argument("--resolution", action="append", choices=RESOLUTIONS, help="default: both")
    parser.add_argument("paths", nargs="*", default=PART, help="tests; default: those that depend on packages")
    given = parser.parse_args(words)
    results = {
        f"Python {python}, {resolution}": tested(python, resolution, given.paths)
        for python in given.python or PYTHONS
        for resolution in given.resolution or RESOLUTIONS
    }
    sys.stdout.writelines(f"{name}: {result}\n" for name, result in results.items())
    if set(results.values()) == {"not here"} or (given.python and "not here" in results.values()):
        return 2
    return int(any(result == "failed" for result in results.values()))


def tested(python: str, resolution: str, paths: Sequence[str]) -> str:
    if uv("python", "find", "--no-python-downloads", "--system", python, quiet=True):
        return "not here"
    folder = ROOT / "build" / "matrix" / f"{python}-{resolution}"
    inside = ["--python", str(folder)]
    allowed = folder / "allowed.txt"
    compiled = ["--no-deps", "--extra", "emulator", "--resolution", resolution, "--python-version", python, "--quiet"]
    steps = (
        ["venv", "--quiet", "--clear", "--seed", "--python", python, str(folder)],
        ["pip", "compile", "pyproject.toml", *compiled, "--output-file", str(allowed)],
        [
            "pip",
            "install",
            "--quiet",
            *inside,
            "--requirement",
            str(allowed),
            "--group",
            "dev",
            "--constraint",
            str(allowed),
        ],
        ["pip", "install", "--quiet", *inside, "--no-deps", "--editable", "."],
    )
    if any(uv(*step) for step in steps):
        return "failed"
    program = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = subprocess.run([program, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths], cwd=ROOT, check=False)
    return "failed" if done.returncode else "passed"


def uv(*words: str, quiet: bool = False) -> int:
    """Runs uv: the one beside this Python, or the one on the path. It looks for Pythons on the path, and in pyenv."""
    beside = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    program = str(beside) if beside.exists() else "uv"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob("*/bin")
    path = os.pathsep.join([*map(str, sorted(pyenv)), os.environ.get("PATH", "")])
    out = subprocess.DEVNULL if quiet else None
    environ = {**os.environ, "PATH": path}
    return subprocess.run([program, *words], cwd=ROOT, env=environ, stdout=out, stderr=out, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

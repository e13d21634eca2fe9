"""Whole commands beside their peers, A B A B, in CPU time: user + system of each process. `make bench` runs it.

python benchmarks/compare.py [ROUNDS]

It installs nothing: a peer that is not on the PATH, beside this Python or in ./node_modules is left out. The table goes
to benchmarks/table.md. A ratio that got worse by a tenth since the table of before is named, and the exit code is 1.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "benchmarks" / "table.md"
SCHEMA = ROOT / "qa-matrix.schema.json"
BIN = Path(sys.executable).parent
ROUNDS = 5
WORSE = 1.1

Argv = tuple[str, ...]
PYTHON: Argv = (sys.executable, "-c", "pass")
IMPORTS: Argv = (sys.executable, "-c", "import yaml, jinja2, typer, jsonschema, requests")

HEAD = "version: 1\nname: benchmark\nenv: { STAGE: { default: staging } }\nmatrix:\n"
ENTRY = """\
  - id: entry-{0}
    name: Entry number {0}
    labels: [smoke, checkout]
    vendor: doksi
    platform: web
    target: {{ web_url: "https://{{{{ env.STAGE }}}}.example.com/{0}" }}
    test_ids: [abc{0}, def{0}]
    artifacts: [{{ type: authentication, strategy: specific, account_id: acc_789 }}]
"""


class Used(NamedTuple):
    """What a process took: seconds of CPU, and MiB at most."""

    cpu: float
    peak: float


class Row(NamedTuple):
    """A command of ours and a peer's; `target` is the ratio that performance aims at, None where there is no aim."""

    name: str
    ours: Argv
    peer_name: str
    peer: Argv | None
    target: float | None = None


def program(name: str, *words: str) -> Argv | None:
    """A peer's command line; None where the peer is not there."""
    folders = (str(BIN), str(ROOT / "node_modules" / ".bin"), os.environ.get("PATH", ""))
    path = shutil.which(name, path=os.pathsep.join(folders))
    return None if path is None else (path, *words)


def rows(folder: Path) -> list[Row]:
    ours = (str(BIN / "qarunner"),)
    small, large = (str(folder / f"{size}.yml") for size in (10, 10_000))
    hundred = str(folder / "100000.yml")
    ajv = ("validate", "--spec=draft2020", "--strict=false", "-s", str(SCHEMA), "-d")
    check = program("check-jsonschema", "--schemafile", str(SCHEMA), small)
    hooks = folder / "hooks.yaml"
    hooks.write_text("repos: []\n", encoding="utf-8")
    runs = ("--runs-dir", str(folder / "runs"))
    return [
        Row("--version", (*ours, "--version"), "python -c pass", PYTHON, 1.5),
        Row("--version", (*ours, "--version"), "datadog-ci version", program("datadog-ci", "version")),
        Row("--help", (*ours, "--help"), "check-jsonschema, 10", check, 0.18),
        Row("validate, 10", (*ours, "validate", small), "check-jsonschema, 10", check, 0.30),
        Row("validate, 10", (*ours, "validate", small), "five imports", IMPORTS),
        Row(
            "validate, 10",
            (*ours, "validate", small),
            "pre-commit validate-config",
            program("pre-commit", "validate-config", str(hooks)),
            1.0,
        ),
        Row("plan, 10", (*ours, "plan", small), "check-jsonschema, 10", check, 0.35),
        Row("plan, 10", (*ours, "plan", small), "five imports", IMPORTS),
        Row("runs", (*ours, "runs", *runs), "check-jsonschema, 10", check, 0.30),
        Row("validate, 10,000", (*ours, "validate", large), "ajv, 10,000", program("ajv", *ajv, large), 0.85),
        Row("validate, 10,000", (*ours, "validate", large), "five imports", IMPORTS),
        Row("plan, 10,000", (*ours, "plan", large), "five imports", IMPORTS, 7.0),
        Row("validate, 100,000", (*ours, "validate", hundred), "ajv, 100,000", program("ajv", *ajv, hundred), 2.5),
        Row("plan, 100,000", (*ours, "plan", hundred), "plan, 10,000", (*ours, "plan", large), 11.0),
    ]


def measured(argv: Argv, folder: Path) -> Used:
    # Not what happens to be set here: a version that is not compiled costs twice as much, and keys change a plan.
    environ = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(argv, cwd=folder, env=environ, stdin=quiet, stdout=quiet, stderr=quiet)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(argv)} ended with {process.returncode}")
    return Used(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def line(row: Row, folder: Path, rounds: int) -> tuple[str, float]:
    """A line of the table, and its ratio: the median of those of the rounds."""
    assert row.peer is not None  # noqa: S101  the others are left out before
    pairs = [(measured(row.ours, folder), measured(row.peer, folder)) for _ in range(rounds)]
    ratio = median(a.cpu / b.cpu for a, b in pairs)
    ours, peer = (median(used.cpu for used in side) * 1000 for side in zip(*pairs, strict=True))
    peak = max(used.peak for used, _ in pairs)
    aim = "" if row.target is None else f"{row.target:g}{'' if ratio <= row.target else ', missed'}"
    return f"| {row.name} | {row.peer_name} | {ours:,.0f} | {peer:,.0f} | {peak:.0f} | {ratio:.2f} | {aim} |", ratio


def before() -> dict[tuple[str, str], float]:
    """The ratios of the last table."""
    if not TABLE.is_file():
        return {}
    cells = [line.strip("| ").split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines()[2:]]
    return {(cell[0], cell[1]): float(cell[5]) for cell in cells}


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    compileall.compile_dir(ROOT / "qarunner", quiet=2)
    earlier, worse = before(), []
    lines = ["| command | peer | CPU ms | peer's | MiB | ratio | aim |", "|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in (10, 10_000, 100_000):
            # In pieces: the memory of a child counts that of its parent when it began.
            with (folder / f"{size}.yml").open("w", encoding="utf-8") as file:
                file.write(HEAD)
                file.writelines(ENTRY.format(index) for index in range(size))
        for row in rows(folder):
            if row.peer is None:
                print(f"left out: {row.name}: {row.peer_name} is not there")
                continue
            measured(row.ours, folder)  # the first one warms the caches of files
            text, ratio = line(row, folder, 1 if "100,000" in row.name else rounds)
            lines.append(text)
            print(text, flush=True)
            last = earlier.get((row.name, row.peer_name))
            if last is not None and ratio > last * WORSE:
                worse.append(f"{row.name} / {row.peer_name}: {ratio:.2f}, and it was {last:.2f}")
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for text in worse:
        print(f"worse by a tenth or more: {text}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())

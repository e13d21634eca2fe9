"""The diff of the matrix as a note's text, from the program itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from qarunner.errors import ExitCode

PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """`text` is Markdown; `problem` says why there is none, and `log` all of it. `any`: whether anything changes."""

    text: str = ""
    any: bool = False
    problem: str | None = None
    log: str = ""


def changes_since(base: str, file: str | None) -> Changes:
    """What `qarunner diff` says, in another process: it needs no variable and no credential."""
    words = ["diff", "--format=markdown", "--exit-code", *([f"--file={file}"] if file else []), base]
    try:
        done = subprocess.run(  # noqa: S603  the program itself
            [sys.executable, "-I", "-m", "qarunner", *words],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Changes(problem=str(error))
    if done.returncode not in {ExitCode.OK, ExitCode.CHANGES}:
        lines = done.stderr.strip().splitlines()
        return Changes(problem=lines[0] if lines else f"exit {done.returncode}", log=done.stderr)
    return Changes(text=done.stdout, any=done.returncode == ExitCode.CHANGES)

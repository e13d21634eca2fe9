"""The parts of a note: the diff of the matrix, from the program itself, and what came of a run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.errors import ExitCode, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PATIENCE_S = 120.0


class Changes(Struct, frozen=True, kw_only=True):
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


RESULT = 30_000
"""Bytes of a result: a comment has room for the diff besides."""


def result_of(folder: Path, file: str, code: str, environ: Mapping[str, str]) -> str:
    """A run's result as Markdown. Without a run, what is known: `code` is the exit code, if there is one."""
    from qarunner.app.history import History
    from qarunner.app.reports import for_report
    from qarunner.app.runs import load
    from qarunner.report import markdown
    from qarunner.report.summary import summarise
    from qarunner.review.markdown import code as spanned

    try:
        summary = summarise(load(folder).run) if folder.name else None
    except UserError:
        summary = None
    if summary is None:
        reason = f"exit {int(code)}: nothing was run" if code.isdecimal() else "there is no result"
        return f"### ❌ {spanned(file)}: {reason}; the job's log says why"
    return markdown.render(for_report(History(folder.parent, environ).about(summary), "markdown"), RESULT)

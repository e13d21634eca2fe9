"""Reports as files: each written whole, and one that cannot be written does not touch the others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.diagnostics import choose
from qarunner.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qarunner.plan.model import Plan
    from qarunner.report.summary import Summary

FORMATS = ("json", "junit", "ctrf", "markdown", "html")
_MODULES = {"json": "jsondoc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A report that the user asked for."""

    format: str
    path: Path


def wanted(words: Iterable[str]) -> tuple[Wanted, ...]:
    """`FORMAT=PATH` words. UserError for another form or an unknown format, before anything is sent."""
    found = []
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not path:
            raise UserError(f"--report {word}: not of the form FORMAT=PATH", hint="such as --report junit=qa.xml")
        found.append(Wanted(format=checked_format(name, "--report"), path=_writable(word, Path(path))))
    return tuple(found)


def planned(plan: Plan) -> tuple[Wanted, ...]:
    """The reports that the manifest asks for. UserError if one would lie elsewhere: a link may lead there."""
    folder = Path(plan.manifest).parent
    found = []
    for number, report in enumerate(plan.reports):
        path = folder / report.path
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{plan.manifest}: reports[{number}]: {report.path} leads out of the manifest's folder")
        found.append(Wanted(format=report.format, path=_writable(f"{report.format}={report.path}", path)))
    return tuple(found)


def _writable(word: str, path: Path) -> Path:
    """Found out before anything is paid: the report's folder can be made, and it is no folder itself."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--report {word}: {path.parent}: {error.strerror}") from error
    if path.is_dir():
        raise UserError(
            f"--report {word}: {path} is a folder", hint=f"name a file in it, such as {path / 'report.xml'}"
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(f"--report {word}: {path}: cannot be written")
    return path


def checked_format(name: str, option: str) -> str:
    if name not in FORMATS:
        raise UserError(f"{option}: unknown format {name!r}", hint=choose(name, FORMATS))
    return name


def render(summary: Summary, form: str) -> str:
    """A report as text."""
    # At the end of a run, and for `report`; the page's templates come with a library of their own.
    module = import_module(f"qarunner.report.{_MODULES.get(form, form)}")
    rendered: str = module.render(summary)
    return rendered


def add_step_summary(environ: Mapping[str, str], summary: Summary) -> str | None:
    """On GitHub: appends the Markdown to the step's summary, as long as it fits. Returns what went wrong."""
    name = environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return None
    from qarunner.report import markdown  # noqa: PLC0415

    path = Path(name)
    try:
        # Earlier steps' words count as well: a summary that is too long is dropped whole.
        room = markdown.STEP_SUMMARY - (path.stat().st_size if path.exists() else 0)
        text = markdown.render(summary, room - 1024)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        return f"GITHUB_STEP_SUMMARY={name}: cannot be written: {error.strerror}"
    return None


def write(summary: Summary, reports: Iterable[Wanted]) -> list[str]:
    """Writes the reports; returns what went wrong, a sentence each."""
    from qarunner.engine.journal import write_whole  # noqa: PLC0415

    problems = []
    for report in reports:
        try:
            write_whole(report.path, render(summary, report.format).encode())
        except OSError as error:
            problems.append(f"--report {report.format}={report.path}: cannot be written: {error.strerror}")
    return problems

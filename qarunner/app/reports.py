"""Reports as files, and the values that no report may show."""

from __future__ import annotations

import contextlib
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from qarunner.decode import as_mapping
from qarunner.diagnostics import Diagnostic, choose, problem
from qarunner.errors import RunInUse, UserError
from qarunner.known import Known
from qarunner.manifest import codes
from qarunner.paths import (
    GIT,
    OWN,
    PathRefused,
    append,
    check_target,
    is_below,
    is_device,
    make_folder,
    refuse_input,
    remove_file,
    write_whole,
)
from qarunner.report import FORMATS
from qarunner.secret import VALUE_OF, mask, seal_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from qarunner.entry import Report
    from qarunner.manifest.yaml.reader import Document
    from qarunner.plan.model import Plan
    from qarunner.report.summary import Summary
    from qarunner.text import Clean


# ---------------------------------------------------------------------------------------------------------------------

# Reports: where they may be written is found out before anything is paid.


class ReportTarget(Struct, frozen=True, kw_only=True):
    """A report that is to be written. `named`: by the command line, so that it may be a device or a pipe."""

    format: str
    path: Path
    named: bool = False
    option: str = ""

    @property
    def word(self) -> str:
        """What messages call it."""
        return self.option or f"--report {self.format}={self.path}"


def targets_of(
    words: Iterable[str], runs_dir: Path, environ: Mapping[str, str], read: Sequence[Path | None] = ()
) -> tuple[ReportTarget, ...]:
    """`FORMAT=PATH` words. UserError for other forms and unknown formats; the other words leave no earlier report.

    `read` are files that the command reads: no report takes their place.
    """
    targets: list[ReportTarget] = []
    problems: list[UserError] = []
    for word in words:
        try:
            targets.append(_target_of(word, read))
        except UserError as error:
            problems.append(error)
    with refused_leaves_none(targets, runs_dir, environ):
        if problems:
            first, *others = problems
            raise UserError(first.message, hint=first.hint, details=[error.message for error in others])
        return apart(targets)


def _target_of(word: str, read: Sequence[Path | None]) -> ReportTarget:
    name, equals, path = word.partition("=")
    if not equals or path in {"", "-"}:
        raise UserError(f"--report {word}: not of the form FORMAT=PATH", hint="such as --report junit=qa.xml")
    if name not in FORMATS:
        raise UserError(f"--report: unknown format {name!r}", hint=choose(name, tuple(FORMATS)))
    return ReportTarget(format=name, path=_writable(f"--report {word}", Path(path), read), named=True)


def planned(plan: Plan) -> tuple[ReportTarget, ...]:
    """The reports that the manifest asks for. UserError if one would lie outside of the manifest's folder."""
    return beside(plan.manifest, plan.reports)


def beside(name: str, reports: Iterable[Report]) -> tuple[ReportTarget, ...]:
    """The same of a manifest that has become no plan."""
    manifest = Path(name)
    targets = []
    for number, report in enumerate(reports):
        where = f"{name}: reports[{number}]: {report.path}"
        try:
            path = _confined(manifest, report.path)
        except OSError as error:
            raise UserError(f"{where} {error.strerror}") from error
        targets.append(ReportTarget(format=report.format, path=_writable(where, path)))
    return apart(targets)


def misplaced(manifest: Path, document: Document, environ: Mapping[str, str]) -> Iterator[Diagnostic]:
    """The reports of a manifest that no apply would write where they are to go."""
    section = document.data.get("reports")
    formats: dict[Path, object] = {}
    for number, row in enumerate(section if isinstance(section, list) else []):
        name, form = as_mapping(row).get("path"), as_mapping(row).get("format")
        if isinstance(name, str) and (why := _refusal(manifest, name, form, formats, environ)):
            message, place = f"report {name}: {why}", ("reports", number, "path")
            yield problem(document, place, message, code=codes.MISPLACED, hint=_ELSEWHERE)


def _refusal(
    manifest: Path, name: str, form: object, formats: dict[Path, object], environ: Mapping[str, str]
) -> str | None:
    """Why a report cannot go where it is to go; None if it can. `formats`: that of each file that is taken."""
    from qarunner.app.git import tracked

    try:
        path = _confined(manifest, name)
        _refuse_own_folders(path)
        check_target(path)
        if tracked(path, environ) == Known(value=True):
            return _TRACKED
        refuse_input(path)
    except OSError as error:
        return error.strerror
    if formats.setdefault(_place(path), form) != form:
        return "has two formats, and each needs a file"
    return None


_TRACKED = "git tracks this file, and it would be replaced"


def _place(path: Path) -> Path:
    """A link by a report's name is replaced, and never followed."""
    return path.parent.resolve() / path.name


def _confined(manifest: Path, name: str) -> Path:
    """Where a report of a manifest goes. OSError if that is outside of the manifest's folder."""
    path = manifest.parent / name
    try:
        is_inside = path.resolve().is_relative_to(manifest.parent.resolve())
    except (OSError, RuntimeError, ValueError):
        raise PathRefused("is no path of a file") from None
    if Path(name).is_absolute() or not is_inside:
        raise PathRefused("leads out of the manifest's folder")
    return path


def _refuse_own_folders(path: Path) -> None:
    for folder, what in ((OWN, "the runs"), (GIT, "the repository itself")):
        if is_below(path, folder):
            raise PathRefused(f"lies in {folder}, which holds {what}")


def apart(reports: Iterable[ReportTarget]) -> tuple[ReportTarget, ...]:
    """The reports; each has a file of its own. UserError for two formats in one file."""
    formats: dict[Path, str] = {}
    targets = tuple(reports)
    for report in targets:
        path = _place(report.path)
        first = formats.setdefault(path, report.format)
        if first != report.format and not is_device(report.path):
            raise UserError(f"{report.path} would be both {first} and {report.format}", hint="name a file for each")
    return targets


def _writable(word: str, path: Path, read: Sequence[Path | None] = ()) -> Path:
    """Found out before anything is paid: the report's folder can be made, and it is no folder itself."""
    try:
        _refuse_own_folders(path)
        if any(file is not None and path.is_file() and file.exists() and path.samefile(file) for file in read):
            raise PathRefused("is read by this command, and would be replaced")
        make_folder(path.parent)
        folder = path.is_dir()
        writable = os.access(path if path.exists() else path.parent, os.W_OK)
    except OSError as error:
        raise UserError(f"{word}: cannot be written: {error.strerror}", hint=_ELSEWHERE) from error
    if folder:
        raise UserError(f"{word}: {path} is a folder", hint=f"name a file in it, such as {path / 'report.xml'}")
    if not writable:
        raise UserError(f"{word}: cannot be written: no permission", hint=_ELSEWHERE)
    return path


_ELSEWHERE = "name a file elsewhere, such as reports/qa.xml"


@contextlib.contextmanager
def refused_leaves_none(reports: Iterable[ReportTarget], runs_dir: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Where a run is refused, no report of an earlier one stays here. A process that drives the run keeps its own."""
    try:
        yield
    except RunInUse:
        raise
    except BaseException:  # a bug and a signal begin no run either
        with contextlib.suppress(UserError, OSError):
            claim(reports, runs_dir, environ, lambda _: None)
        raise


def claim(
    reports: Iterable[ReportTarget], runs_dir: Path, environ: Mapping[str, str], warn: Callable[[str], None]
) -> None:
    """Removes the reports of an earlier run at these places: they would be taken for reports of this run.

    UserError for a report over a file of a run, or over one that git tracks: the others are removed all the same.
    `warn` is called where git cannot tell.
    """
    problems = []
    for report in reports:
        try:
            if (doubt := _check_place(report, runs_dir, environ)) is not None:
                warn(f"qarunner: warning: {doubt}")
            remove_file(report.path)
        except UserError as error:
            problems.append(error)
        except OSError as error:
            what = "cannot be written" if isinstance(error, PathRefused) else "the earlier one cannot be removed"
            problems.append(UserError(f"{report.word}: {what}: {error.strerror}"))
    if problems:
        raise problems[0]


def claim_out(path: Path, form: str, runs_dir: Path, environ: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """The same for the one report that `--out` names."""
    word = f"--out {path}"
    target = ReportTarget(format=form, path=_writable(word, path), named=True, option=word)
    claim([target], runs_dir, environ, warn)


def _check_place(report: ReportTarget, runs_dir: Path, environ: Mapping[str, str]) -> str | None:
    """What git cannot tell of a report's place; None if it can. UserError for a place that no report may have."""
    from qarunner.app.git import tracked

    place = _place(report.path)
    if place.is_relative_to(runs_dir.resolve()):
        message = f"{report.word}: cannot be written: lies in {runs_dir}, which holds the runs"
        raise UserError(message, hint=_ELSEWHERE)
    answer = tracked(report.path, environ)
    if answer == Known(value=True):
        hint = "name a file that git does not track; the history of the repository is no place for results"
        raise UserError(f"{report.word}: {_TRACKED}", hint=hint)
    refuse_input(report.path)
    if isinstance(answer, Known):
        return None
    return f"{report.word}: git cannot tell whether it tracks this file: {answer.why}"


LONGEST_TEXT = 10_000
"""Characters of one vendor's text in a report; the JSON one has all of it."""


def for_report(summary: Summary, form: str, clean: Clean = mask) -> Summary:
    """The summary for a format: paths from the repository's root, no hidden value, and no text without end.

    `clean` takes out the secrets that this process knows.
    """
    from qarunner.report.summary import cleaned, from_root

    return cleaned(from_root(summary), clean, most=None if form == "json" else LONGEST_TEXT)


def render(summary: Summary, form: str, clean: Clean = mask) -> str:
    """A report as text."""
    return _rendered(for_report(summary, form, clean), form)


def _rendered(ready: Summary, form: str) -> str:
    # Each format is imported where it is asked for: most runs write one or two.
    rendered: str = import_module(f"qarunner.report.{form}").render(ready)
    return rendered


def add_step_summary(environ: Mapping[str, str], summary: Summary, clean: Clean = mask) -> str | None:
    """On GitHub: appends the Markdown to the step's summary, as long as it fits. Returns what went wrong."""
    name = environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return None
    from qarunner.report import markdown

    path = Path(name)
    try:
        # Earlier steps' words count as well: a summary that is too long is dropped whole.
        room = markdown.STEP_SUMMARY - (path.stat().st_size if path.exists() else 0)
        text = markdown.render(for_report(summary, "markdown", clean), room - 1024)
        append(path, text.encode())
    except OSError as error:
        return f"GITHUB_STEP_SUMMARY={name}: cannot be written: {error.strerror}"
    return None


def write(summary: Summary, reports: Iterable[ReportTarget], clean: Clean = mask) -> list[str]:
    """Writes the reports; returns what went wrong, a sentence each."""
    problems = []
    ready: dict[bool, Summary] = {}  # taking secrets out of thousands of texts is most of the work, and done once
    for report in reports:
        is_whole = report.format == "json"
        try:
            if is_whole not in ready:
                ready[is_whole] = for_report(summary, report.format, clean)
            write_whole(report.path, _rendered(ready[is_whole], report.format).encode(), device=report.named)
        except OSError as error:
            problems.append(f"{report.word}: cannot be written: {error.strerror}")
        except Exception as error:  # noqa: BLE001  a renderer's bug costs its own report, not the others nor the result
            problems.append(f"{report.word}: a bug in qarunner: {type(error).__name__}")
    return problems


# ---------------------------------------------------------------------------------------------------------------------

# What no output may show: values that are known here, whether they may be sent or not.


_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")


def credentials_in(environ: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    """The values of these variables, and of what else in an environment is a secret whatever the manifest says."""
    yield from (value for name in names if (value := environ.get(name)))
    yield from seal_keys(environ)
    for name in _PROXIES:
        with contextlib.suppress(ValueError):
            password = urlsplit(environ.get(name, "")).password
            if password:
                yield from (password, unquote(password))


def credentials_of(plan: Plan, environ: Mapping[str, str]) -> Iterator[str]:
    """The same for a plan: its vendors' keys, and its secrets."""
    keys = (settings.key_env for settings in plan.vendors.values())
    return credentials_in(environ, (*keys, *plan.secrets, *(f"{VALUE_OF}{name}" for name in plan.secrets)))

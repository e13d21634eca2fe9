"""Reports as files: each written whole, and one that cannot be written does not touch the others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.diagnostics import choose
from qarunner.errors import UserError
from qarunner.manifest.load import BadGlob, Found
from qarunner.plan.capabilities import misfit
from qarunner.vendors.api import Complaint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from qarunner.manifest.load import Finder
    from qarunner.plan.model import Plan
    from qarunner.report.summary import Summary
    from qarunner.vendors.api import Build, BuildRules


# ---------------------------------------------------------------------------------------------------------------------

# What comes from outside: the manifest's file, the environment, and the words on the command line.


NAMES = ("qa-matrix.yml", "qa-matrix.yaml")


def find_manifest(given: Path | None) -> Path:
    """The manifest: as given, or in this folder or the nearest parent up to the repository's root."""
    if given is not None:
        return given
    here = Path.cwd()
    for folder in (here, *here.parents):
        for name in NAMES:
            if (folder / name).is_file():
                return Path(os.path.relpath(folder / name))
        if (folder / ".git").exists():
            break
    raise UserError(
        f"no manifest: looked for {' and '.join(NAMES)} here and up to the repository's root",
        hint="name the file, or write one; `qarunner schema` prints what can stand in it",
    )


def read_manifest(path: Path) -> tuple[str, bytes]:
    """A manifest's name for messages, and its bytes."""
    try:
        return path.as_posix(), path.read_bytes()
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a file", hint=f"name the file in it: {path / NAMES[0]}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def with_env_files(environ: Mapping[str, str], files: Iterable[Path]) -> dict[str, str]:
    """The environment over the variables of files; of these, a later one wins over an earlier one."""
    found: dict[str, str] = {}
    for file in files:
        found.update(_read_env_file(file))
    return {**found, **environ}


def _read_env_file(file: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        with file.open(encoding="utf-8-sig") as stream:
            # Not interpolated: a value is what stands in the file, as `docker --env-file` reads it.
            values = dotenv_values(stream=stream, interpolate=False)
    except UnicodeDecodeError as error:
        raise UserError(f"--env-file {file}: is not UTF-8") from error
    except OSError as error:
        raise UserError(f"--env-file {file}: cannot be read: {error.strerror}") from error
    empty = [name for name, value in values.items() if value is None]
    if empty:
        raise UserError(f"--env-file {file}: {empty[0]!r} has no value", hint="write NAME=value, one a line")
    return {name: value for name, value in values.items() if value is not None}


def overrides(words: Iterable[str]) -> dict[str, str]:
    """`K=V` words as a mapping. UserError for one without `=`."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError(f"--var {word}: not of the form K=V", hint="such as --var LOCALE=de")
        found[name] = value
    return found


def allowed_secrets(environ: Mapping[str, str], words: Iterable[str]) -> frozenset[str]:
    """The words that --allow-secret and QARUNNER_ALLOW_SECRETS give, commas allowed in both: NAME or NAME@HOST."""
    from qarunner.manifest.templates.secret_access import checked_word

    given = tuple(words)
    for word in given:
        if not word.strip(" ,"):
            raise UserError(f"--allow-secret {word!r}: names no variable", hint="such as --allow-secret PREVIEW_TOKEN")
    listed = ",".join([environ.get("QARUNNER_ALLOW_SECRETS", ""), *given])
    return frozenset(checked_word(word.strip()) for word in listed.split(",") if word.strip())


def duration(option: str, text: str | None) -> float | None:
    """An option's duration in seconds. UserError if it is none, or zero."""
    from qarunner.manifest.model import seconds

    if text is None:
        return None
    try:
        found = seconds(text)
    except ValueError:
        found = 0.0
    if found <= 0:
        raise UserError(f"{option} {text}: not a duration", hint="write 200ms, 30s, 10m or 1h30m")
    return found


# ---------------------------------------------------------------------------------------------------------------------

# The files that a manifest's `include` names: found, and kept inside the repository.


_WILD = frozenset("*?[")


def repository_of(manifest: Path) -> tuple[Path, Path]:
    """The manifest's folder, and the root of its repository: the folder itself where there is none. Links followed."""
    folder = manifest.resolve().parent
    return folder, next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)


def finder(manifest: Path) -> Finder:
    """Finds fragments beside a manifest, in the order of their names."""

    def find(glob: str) -> list[Found]:
        if glob.startswith("/") or Path(glob).is_absolute():
            raise BadGlob("is absolute")
        wild = not _WILD.isdisjoint(glob)
        try:
            paths = sorted(manifest.parent.glob(glob), key=lambda path: path.as_posix())
        except (ValueError, NotImplementedError, OSError) as error:
            raise BadGlob(f"is no glob: {error}") from None
        own, (_, root) = manifest.resolve(), repository_of(manifest)
        return [_found(path, own, root) for path in paths if not (wild and path.is_dir())]

    return find


def _found(path: Path, own: Path, root: Path) -> Found:
    name = Path(os.path.normpath(path)).as_posix()
    try:
        # Links are followed first: what is included must not lie outside of the repository by pointing there.
        real = path.resolve(strict=True)
        refusal = _refusal(real, own, root)
        text = b"" if refusal else real.read_bytes()
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "its links lead in a circle"
        return Found(name=name, key=name, refusal=f"cannot be read: {reason}")
    return Found(name=name, key=str(real), text=text, refusal=refusal)


def _refusal(real: Path, own: Path, root: Path) -> str | None:
    if real == own:
        return "is the manifest itself: write a glob that does not match it"
    if not real.is_relative_to(root):
        return "lies outside of the repository"
    if real.is_dir():
        return f"is a folder: write {real.name}/*.yml"
    return None if real.is_file() else "is no file"


# ---------------------------------------------------------------------------------------------------------------------

# Local builds: found, kept inside the repository, and measured once.


_PATH = ("target", "binary")


def measurer(manifest: Path) -> Callable[[str, BuildRules | None], Build | Complaint]:
    """Reads builds whose paths are relative to the manifest's folder; each content is read once."""
    folder, root = repository_of(manifest)
    known: dict[Path, Build | Complaint] = {}

    def measure(text: str, rules: BuildRules | None) -> Build | Complaint:
        path = _located(folder, root, text)
        if isinstance(path, Complaint):
            return path
        wrong = _unfit(path, text, rules)
        if wrong is not None:
            return wrong
        if path not in known:
            known[path] = _measured(path, text)
        return known[path]

    return measure


def _located(folder: Path, root: Path, text: str) -> Path | Complaint:
    from qarunner.engine.io.uploads import BASE_APK

    # Links are followed first: a manifest must not send a file from outside of the repository by pointing at it.
    try:
        path = (folder / text).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return Complaint(
            path=_PATH, message=f"{text}: no such file", hint="build it first; paths begin at the manifest's folder"
        )
    if not path.is_relative_to(root):
        return Complaint(
            path=_PATH, message=f"{text}: lies outside of the repository", hint=f"the repository is {root.name}"
        )
    if not path.is_file() and not (path / BASE_APK).is_file():
        what = f"a folder of split APKs holds {BASE_APK}, this one does not" if path.is_dir() else "is no file"
        return Complaint(path=_PATH, message=f"{text}: {what}")
    if path.is_dir() and any(not _inside(each, root) for each in path.iterdir()):
        return Complaint(path=_PATH, message=f"{text}: a file in it lies outside of the repository")
    return path


def _unfit(path: Path, text: str, rules: BuildRules | None) -> Complaint | None:
    """What a look tells, before gigabytes are read for nothing."""
    from qarunner.engine.io.uploads import (
        flaw,
        sized,
    )

    try:
        found = sized(path, _name(path))
        if not found.size:
            return Complaint(path=_PATH, message=f"{text}: is empty")
        wrong = misfit(found, rules)
        if wrong is not None:
            return wrong
        reason = flaw(path, zips_of_apks=rules is not None and rules.zips_of_apks)
    except OSError as error:
        return _unreadable(text, error)
    return Complaint(path=_PATH, message=f"{text}: {reason}") if reason else None


def _measured(path: Path, text: str) -> Build | Complaint:
    from qarunner.engine.io.uploads import measure

    try:
        return measure(path, _name(path))
    except OSError as error:
        return _unreadable(text, error)


def _unreadable(text: str, error: OSError) -> Complaint:
    return Complaint(path=_PATH, message=f"{text}: cannot be read: {error.strerror or error}")


def _name(path: Path) -> str:
    return Path(os.path.relpath(path)).as_posix()


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


FORMATS = ("json", "junit", "ctrf", "markdown", "html")


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
    module = import_module(f"qarunner.report.{form}")
    rendered: str = module.render(summary)
    return rendered


def add_step_summary(environ: Mapping[str, str], summary: Summary) -> str | None:
    """On GitHub: appends the Markdown to the step's summary, as long as it fits. Returns what went wrong."""
    name = environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return None
    from qarunner.report import markdown

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
    from qarunner.engine.io.journal import write_whole

    problems = []
    for report in reports:
        try:
            write_whole(report.path, render(summary, report.format).encode())
        except OSError as error:
            problems.append(f"--report {report.format}={report.path}: cannot be written: {error.strerror}")
        except Exception as error:  # noqa: BLE001  a renderer's bug costs its own report, not the others nor the result
            problems.append(f"--report {report.format}={report.path}: a bug in qarunner: {type(error).__name__}")
    return problems

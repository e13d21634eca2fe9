"""What this machine has of what an apply needs: each check says what was seen, and how to put it right."""

from __future__ import annotations

import json
import platform
import re
import sys
import tempfile
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner import __version__
from qarunner.app.ci import in_ci, read_build, who
from qarunner.app.git import Git
from qarunner.diagnostics import Severity
from qarunner.engine.io.connection import Network
from qarunner.errors import ManifestError, UserError
from qarunner.known import Known, Refused
from qarunner.manifest.load import version_fits
from qarunner.manifest.schema import validate as published
from qarunner.manifest.schema.named import FILE, LINE, named_schema
from qarunner.paths import working_folder
from qarunner.secret import SEAL_KEY, seal_keys
from qarunner.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class State(StrEnum):
    """What a check came to. Only a problem stands in the way of an apply."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    NOT_CHECKED = "not_checked"


class Finding(Struct, frozen=True, kw_only=True):
    """What was looked at, what was seen, and how to put it right."""

    check: str
    text: str
    state: State = State.OK
    remedy: str | None = None


# --- this machine -----------------------------------------------------------------------------------------------------


_OLDEST_PYTHON = (3, 11)


def python() -> Finding:
    text = f"Python {platform.python_version()}, {platform.system()}; qarunner {__version__}"
    if sys.version_info >= _OLDEST_PYTHON:
        return Finding(check="python", text=text)
    return Finding(check="python", state=State.PROBLEM, text=text, remedy="install Python 3.11 or newer")


_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*([^;]*)(?:;\s*(.*))?")


def packages() -> Iterator[Finding]:
    """The packages that this distribution wants, as its own metadata name them."""
    fitting, wrong, extras = 0, [], []
    for line in _requirements():
        match = _REQUIREMENT.match(line)
        name, wanted, marker = (match[1], match[2].strip(), match[3] or "") if match else (line, "", "")
        version = _version_of(name)
        if "extra" in marker:
            extras += [] if version is not None else [name]
        elif version is None or not version_fits(version, wanted):
            wrong.append(f"{name}{wanted} ({version or 'not installed'})")
        else:
            fitting += 1
    if wrong:
        remedy = "install qarunner again, into an environment of its own"
        yield Finding(check="packages", state=State.PROBLEM, text=", ".join(wrong), remedy=remedy)
    else:
        yield Finding(check="packages", text=f"{plural(fitting, 'package')} in the versions that are needed")
    if extras:
        text = f"the extra emulator is not installed ({', '.join(sorted(set(extras)))}): apply --rehearse needs it"
        yield Finding(
            check="packages", state=State.WARNING, text=text, remedy="qarunner emulator says how to install it"
        )


def _requirements() -> list[str]:
    try:
        return metadata.requires("qarunner") or []
    except metadata.PackageNotFoundError:
        return []


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def git(environ: Mapping[str, str]) -> Iterator[Finding]:
    repository = Git(working_folder(), environ)
    head = repository.maybe("rev-parse", "--verify", "--quiet", "HEAD")
    if not isinstance(head, Known):
        state = State.WARNING
        what = "diff, --changed-since and the commit in reports need it"
        remedy = head.hint or ("run git init, or work in a clone" if repository.root is None else "install git")
        text = head.why if isinstance(head, Refused) else f"{head.why}: {what}"
        yield Finding(check="git", state=state, text=text, remedy=remedy)
        return
    build = read_build(environ, working_folder())
    where = f"branch {build.branch}" if build.branch else f"tag {build.tag}" if build.tag else "no branch"
    text = f"commit {build.sha[:7]}, {where}" if build.sha else f"no commit yet, {where}"
    yield Finding(check="git", text=text)
    for name, doubt in build.doubts.items():
        text = f"git.{name} is not known: {doubt.why}"
        yield Finding(check="git", state=State.WARNING, text=text, remedy=doubt.hint)
    if repository.maybe("rev-parse", "--is-shallow-repository") == Known("true"):
        text = "the clone is shallow: diff and --changed-since may not find the common commit"
        remedy = "fetch all of it: fetch-depth: 0 for actions/checkout, GIT_DEPTH: 0 in GitLab, git fetch --unshallow"
        yield Finding(check="git", state=State.WARNING, text=text, remedy=remedy)


def ci(environ: Mapping[str, str]) -> Finding:
    if not in_ci(environ):
        return Finding(check="ci", text="not in a job of a CI system")
    identity = who(environ)
    name = identity.pipeline if identity is not None and identity.pipeline else "a CI system that is not known"
    if seal_keys(environ):
        return Finding(check="ci", text=f"{name}; runs are sealed with {SEAL_KEY}")
    text = f"{name}; without {SEAL_KEY}, only jobs with the vendors' keys can join, resume or verify a run"
    remedy = f"store a long random text as the secret {SEAL_KEY} of this pipeline"
    return Finding(check="ci", state=State.WARNING, text=text, remedy=remedy)


def writable(check: str, folder: Path, remedy: str) -> Finding:
    """Tried with a file that has no name and leaves nothing; a folder that is not there yet, above it."""
    there = next((parent for parent in (folder, *folder.absolute().parents) if parent.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        text = f"{folder.as_posix()}: cannot be written: {error.strerror}"
        return Finding(check=check, state=State.PROBLEM, text=text, remedy=remedy)
    return Finding(check=check, text=folder.as_posix() + ("" if there == folder else ": is made by the first apply"))


def certificates(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        network = Network.of(environ)
        network.tls_context()
    except (UserError, OSError) as error:
        problem = error if isinstance(error, UserError) else UserError(f"certificates cannot be read: {error}")
        yield from refused("certificates", problem, None)
        return
    trusted = network.bundle or "those of the package certifi"
    yield Finding(check="certificates", text=", ".join([trusted, *network.folders]))


# --- the manifest's schema --------------------------------------------------------------------------------------------


_FORMS = (published.for_editors, published.plain)


def schema(path: Path) -> Finding:
    """What editors check the manifest with: the file or the address that its first lines name."""
    check, write = "schema", f"qarunner schema > {FILE}"
    named = named_schema(path, path.read_text(encoding="utf-8", errors="replace"))
    if named is None:
        remedy = f"{write}; first line: {LINE}./{FILE}"
        return Finding(check=check, state=State.WARNING, text="no line names a schema for editors", remedy=remedy)
    name = named.address if named.file is None else named.file.as_posix()
    if named.file is None and named.version is None:
        return Finding(check=check, state=State.NOT_CHECKED, text=f"{name} has no version in its address")
    fits, of_lock = named.version == __version__, ""
    if named.file is not None:
        try:
            content = json.loads(named.text or "")
        except (ValueError, RecursionError):
            fault = "cannot be read" if named.file.is_symlink() or named.file.exists() else "is not there"
            return Finding(check=check, state=State.WARNING, text=f"{name} {fault}", remedy=write)
        # Each lock makes another one: with --with-lock, the version alone is compared.
        of_lock = ", with the names of a lock" if '"Locked name"' in json.dumps(content) else ""
        fits = fits and (bool(of_lock) or content in [json.loads(form()) for form in _FORMS])
    if fits:
        return Finding(check=check, text=f"{name} is that of this version{of_lock}")
    how = f"is that of {named.whose}" if named.whose else "is not that of this version, as it was written"
    text = f"{name} {how}: editors check by other rules"
    return Finding(check=check, state=State.WARNING, text=text, remedy=named.remedy)


def refused(check: str, error: UserError, remedy: str | None) -> Iterator[Finding]:
    """An error of an apply, as findings: each problem of a manifest by itself."""
    if not isinstance(error, ManifestError):
        yield Finding(check=check, state=State.PROBLEM, text=error.message, remedy=error.hint or remedy)
        return
    for diagnostic in error.diagnostics:
        state = State.PROBLEM if diagnostic.severity is Severity.ERROR else State.WARNING
        yield Finding(
            check=check, state=state, text=f"{diagnostic.place}: {diagnostic.message}", remedy=diagnostic.hint or remedy
        )

"""Local builds: found, kept inside the repository, and measured once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.cli.fragments import repository_of
from qarunner.plan.check import misfit
from qarunner.vendors.api import Complaint

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.vendors.api import Build, BuildRules

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
    from qarunner.engine.uploads import BASE_APK  # noqa: PLC0415  for entries with a local build alone

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
    from qarunner.engine.packages import flaw  # noqa: PLC0415
    from qarunner.engine.uploads import sized  # noqa: PLC0415

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
    from qarunner.engine.uploads import measure  # noqa: PLC0415

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

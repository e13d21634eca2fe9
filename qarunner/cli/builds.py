"""Local builds: found, kept inside the repository, and measured once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.cli.fragments import repository_of
from qarunner.vendors.api import Complaint

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.vendors.api import Build

_PATH = ("target", "binary")


def measurer(manifest: Path) -> Callable[[str], Build | Complaint]:
    """Reads builds whose paths are relative to the manifest's folder; each content is read once."""
    folder, root = repository_of(manifest)
    known: dict[str, Build | Complaint] = {}

    def measure(text: str) -> Build | Complaint:
        if text not in known:
            known[text] = _measured(folder, root, text)
        return known[text]

    return measure


def _measured(folder: Path, root: Path, text: str) -> Build | Complaint:
    from qarunner.engine.uploads import BASE_APK, measure  # noqa: PLC0415  for entries with a local build alone

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
    try:
        found = measure(path, Path(os.path.relpath(path)).as_posix())
    except OSError as error:
        return Complaint(path=_PATH, message=f"{text}: cannot be read: {error.strerror}")
    return found if found.size else Complaint(path=_PATH, message=f"{text}: is empty")


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False

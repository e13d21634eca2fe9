"""What is inside a build: an APK that is none is found out before it is sent, and not late at the vendor."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from qarunner.engine.uploads import BASE_APK, SPLIT_APK, files_of

if TYPE_CHECKING:
    from pathlib import Path

_MANIFEST = "AndroidManifest.xml"
_ODD_ZIP = (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError)


def flaw(path: Path, *, zips_of_apks: bool) -> str | None:
    """Why a build cannot be what its name says; None where nothing speaks against it. OSError if it cannot be read."""
    for file in files_of(path):
        name = file.name.lower()
        where = f"{file.name} in it" if path.is_dir() else "it"
        if name.endswith(".apk"):
            members = _members(file)
            if members is None:
                return f"{where} is no APK, which would be a zip"
            if _MANIFEST not in members:
                return f"{where} is no APK: it holds no {_MANIFEST}"
        elif name.endswith(".zip") and zips_of_apks and not _holds_an_app(_members(file)):
            return f"a zip has to hold one .apk, or {BASE_APK} with split_config.*.apk, and nothing else"
    return None


def _members(file: Path) -> list[str] | None:
    """The names of the files in a zip; None of what is no zip."""
    try:
        with zipfile.ZipFile(file) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]
    except _ODD_ZIP:
        return None


def _holds_an_app(members: list[str] | None) -> bool:
    if members is None:
        return False
    if len(members) == 1:
        return members[0].lower().endswith(".apk")
    return BASE_APK in members and all(SPLIT_APK.fullmatch(name) for name in members)

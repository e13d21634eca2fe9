"""The files that a manifest's `include` names: found, and kept inside the repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.manifest.include import BadGlob, Found

if TYPE_CHECKING:
    from qarunner.manifest.include import Finder

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

"""Which files are ours to read and to write: the one place that follows links, or does not.

Every refusal is an OSError whose `strerror` ends a sentence that begins with the path, as the system's own do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from qarunner.decode import is_unicode
from qarunner.errors import UserError
from qarunner.regex import regex
from qarunner.signals import PROCESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST_NAMES = ("qa-matrix.yml", "qa-matrix.yaml")
GIT = ".git"
OWN = ".qarunner"
_BINARY: int = getattr(os, "O_BINARY", 0)  # Windows would turn every newline into two bytes
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)  # opening a pipe without a writer would wait for ever
_JUNCTION: int = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
_STREAM = regex(r"/{1,2}(dev/(std(in|out|err)|fd/\d+)|proc/(self|\d+)/fd/\d+)")
"""Names of open streams. They are links of the system, such as `>(…)` of a shell."""


class PathRefused(OSError):  # noqa: N818  it stands beside the system's own, which have no such ending
    """A path that is not ours to use. `strerror` says why."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EACCES, why)


NOT_WRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def way_to_write(error: OSError) -> str:
    """What a person has to do before a file can be written."""
    if error.errno in NOT_WRITABLE:
        return "make the folder writable for this user, or copy the runs folder elsewhere and name it with --runs-dir"
    return "make room"


# --- where things are -------------------------------------------------------------------------------------------------


def working_folder() -> Path:
    """The folder that relative paths begin at. UserError if it was removed under this process."""
    try:
        return Path.cwd()
    except OSError:
        raise UserError("the working directory does not exist any more", hint="change to a folder that does") from None


def repository_root(folder: Path) -> Path | None:
    """The root of the repository that a folder is in, links resolved; None where it is in none.

    A link below the root does not lead to another repository: the folders above a path are those that it names.
    """
    named = _named_root(_absolute(folder)) or _named_root(folder.resolve())
    return named.resolve() if named is not None else None


def manifest_root(manifest: Path) -> Path:
    """The folder in which everything lies that a manifest names: its repository's root, else its own folder."""
    return repository_root(manifest.parent) or manifest.parent.resolve()


def manifest_from_root(path: Path, root: Path | None) -> str:
    """A manifest's path as plans keep it: from the repository's root; as it was typed where there is no repository."""
    if root is not None and path.resolve().is_relative_to(root.resolve()):
        return path.resolve().relative_to(root.resolve()).as_posix()
    return posixpath.normpath(path.as_posix())


def nearest_manifest() -> Path | None:
    """The manifest in this folder or the nearest parent, up to the repository's root; None where there is none."""
    current = working_folder()
    for folder in (current, *current.parents):
        for name in MANIFEST_NAMES:
            if (folder / name).is_file():
                return Path(os.path.relpath(folder / name))
        if os.path.exists(folder / GIT):  # noqa: PTH110  it raises nothing
            break
    return None


def runs_folder(named: Path | None, manifest: Path | None, environ: Mapping[str, str]) -> Path:
    """Where runs are kept: as named, else beside the manifest, so that it is the same in each folder of a project.

    `manifest`: the file that a command was given; a saved plan says nothing of where its manifest lies.
    """
    if named is not None:
        return named
    if chosen := environ.get("QARUNNER_RUNS_DIR"):
        return Path(chosen)
    beside = manifest if manifest is not None and manifest.suffix in {".yml", ".yaml"} else nearest_manifest()
    return (beside.parent if beside is not None else Path()) / OWN / "runs"


def own_folder(runs_dir: Path) -> Path:
    """The topmost folder that is the program's alone: `.qarunner`, or a folder of runs that was named."""
    return runs_dir.parent if runs_dir.absolute().parent.name == OWN else runs_dir


def history_file(runs_dir: Path) -> Path:
    """`.qarunner/history.db`; in a folder of runs that was named, in that folder."""
    return own_folder(runs_dir) / "history.db"


def _named_root(folder: Path) -> Path | None:
    """The nearest folder with a `.git`, among those that an absolute path names."""
    # As texts: each file that is written or read asks this, and paths as objects take five times as long.
    name, above = "", os.fspath(folder)
    while name != above:
        name, above = above, os.path.dirname(above)  # noqa: PTH120
        if os.path.exists(os.path.join(name, GIT)):  # noqa: PTH110, PTH118  it raises nothing
            return Path(name)
    return None


def _absolute(path: Path) -> Path:
    """The path from the system's root. PathRefused for a name that no file can have."""
    text = os.fspath(path)
    try:
        possible = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise PathRefused("has a character that no file's name can have")
    return Path(os.path.abspath(text))  # noqa: PTH100  Path.absolute() keeps the dots


# --- reading ----------------------------------------------------------------------------------------------------------


def inside(path: Path, root: Path) -> Path:
    """A path that the repository names, with links resolved: it lies below `root`, and not below `.git`.

    It is a regular file or a folder. OSError if it does not exist.
    """
    try:
        real = _absolute(path).resolve(strict=True)
    except RuntimeError:  # before Python 3.13
        raise PathRefused("is a link that leads in a circle") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PathRefused("is a link that leads in a circle") from None
        raise
    if not real.is_relative_to(root):
        raise PathRefused("lies outside of the repository")
    if _goes_through(real.relative_to(root), GIT):
        raise PathRefused(f"lies in {GIT}")
    if not (real.is_file() or real.is_dir()):
        raise PathRefused("is no file")
    if not (is_unicode(os.fspath(path)) and is_unicode(os.fspath(real.relative_to(root)))):
        raise PathRefused("has a name that is not UTF-8")
    return real


def is_below(path: Path, name: str) -> bool:
    """True if a file lies in a folder of this name in its repository, as its path is written or with links resolved."""
    whole = _absolute(path)
    return _is_in(whole.parent, name) or _is_in(whole.parent.resolve(), name)


def _is_in(folder: Path, name: str) -> bool:
    return _goes_through(_within(folder, _named_root(folder)), name)


def _within(folder: Path, root: Path | None) -> Path:
    """A folder as its repository names it; as it is, where it lies outside of each repository."""
    return folder if root is None else folder.relative_to(root)


def _goes_through(path: Path, name: str) -> bool:
    return any(_bare(part) == name for part in path.parts)


def _bare(part: str) -> str:
    """A name as the least exact system has it: no capitals, no marks that are not seen, no end of dots, no stream."""
    if not part.isascii():
        import unicodedata  # noqa: PLC0415  hardly any path needs it

        part = "".join(sign for sign in part if unicodedata.category(sign) != "Cf")
    return part.casefold().partition(":")[0].rstrip(". ")


def read_regular(path: Path) -> bytes:
    """The content of a regular file. OSError if it cannot be read."""
    with open_regular(path) as file:
        return file.read()


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file to read it. Nothing waits for a pipe or reads a device. OSError if that cannot be done."""
    whole = _absolute(path)
    if whole.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder")
    fd = os.open(whole, os.O_RDONLY | _BINARY | _NO_WAIT)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise PathRefused("is no regular file")
    return os.fdopen(fd, "rb")


# --- writing ----------------------------------------------------------------------------------------------------------


def write_whole(path: Path, data: bytes, *, private: bool = False, device: bool = False) -> None:
    """Writes a file that a reader sees either whole or not at all. OSError if it cannot.

    A link is replaced, and never followed. `device`: the command line named it, so that it may be a device or a pipe.
    `private`: only the user may read it.
    """
    target = _absolute(path)
    if device and is_device(target):
        _write_to_device(target, data)
        return
    make_folder(target.parent)
    _check_target(target)
    temporary, fd = _temporary(target.parent, 0o600 if private else 0o666)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _check_way(target.parent)
        temporary.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def create(path: Path, data: bytes) -> None:
    """Writes a file that was not there before. FileExistsError if it was."""
    with os.fdopen(open_own(path, os.O_WRONLY | os.O_EXCL, mode=0o666), "wb") as file:
        file.write(data)


def append(path: Path, data: bytes) -> None:
    """Adds to a file that the environment names, or begins it. OSError if it cannot."""
    target = _absolute(path)
    if is_device(target):
        _write_to_device(target, data)
        return
    with os.fdopen(open_own(target, os.O_WRONLY | os.O_APPEND, mode=0o666), "wb") as file:
        file.write(data)


def open_own(path: Path, flags: int, *, mode: int = 0o600, create: bool = True) -> int:
    """Opens a file of ours; with `create`, makes it where it is not there. OSError if it is a link or no file."""
    target = _absolute(path)
    if create:
        make_folder(target.parent)
    else:
        _check_way(target.parent)
    _check_target(target)
    made = os.O_CREAT if create else 0
    fd = os.open(target, flags | made | _NO_LINK | _NO_WAIT | _BINARY, mode)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise PathRefused("is no regular file")
    return fd


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it. PathRefused where a link of the repository would lead elsewhere."""
    target = _absolute(path)
    _check_way(target)
    target.mkdir(parents=True, exist_ok=True)


def make_private_folder(path: Path) -> None:
    """Makes a folder of the program, and keeps runs and history out of commits; what the user made is left as it is."""
    top = own_folder(path)
    before = top.is_dir()
    make_folder(path)
    if not before:
        with contextlib.suppress(OSError):
            create(top / ".gitignore", b"*\n")


def remove_file(path: Path) -> None:
    """Removes a regular file, or a link by that name; a device stays. OSError if it cannot."""
    target = _absolute(path)
    if is_device(target):
        return
    _check_way(target.parent)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(target.lstat().st_mode):
            target.unlink()


_READ = frozenset({".yml", ".yaml", ".lock"})


def refuse_input(path: Path) -> None:
    """PathRefused for a file that is read by its name: a manifest, a fragment or a lock."""
    if path.suffix.lower() in _READ:
        raise PathRefused("has the name of a manifest, a fragment or a lock, and would take its place")


def check_target(path: Path) -> None:
    """OSError if no file can be written at a path, as far as that is seen without a change of the disk."""
    target = _absolute(path)
    _check_way(target.parent)
    _check_target(target)


def _check_target(target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        mode = target.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise PathRefused("is a folder" if stat.S_ISDIR(mode) else "is no regular file")


def _check_way(folder: Path) -> None:
    """PathRefused for a folder that no file may be written to: `.git`, or what a link of the repository leads to."""
    root = _named_root(folder)
    inside_git = _goes_through(_within(folder, root), GIT)
    if inside_git or ((real := folder.resolve()) != folder and _is_in(real, GIT)):
        raise PathRefused(f"lies in {GIT}")
    for part in _between(root, folder) if root is not None else ():
        try:
            status = part.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return  # it is still to be made
        if _is_link(status):
            raise PathRefused(f"lies behind the link {part.name}: name the folder that it leads to")


def _between(root: Path, folder: Path) -> Iterator[Path]:
    """The folders below `root` on the way to a folder, which is the last of them."""
    below = root
    for part in folder.relative_to(root).parts:
        below /= part
        yield below


def _is_link(status: os.stat_result) -> bool:
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def _temporary(folder: Path, mode: int) -> tuple[Path, int]:
    """A new file under a name that another process cannot predict."""
    path = folder / f".qarunner-{os.urandom(8).hex()}.tmp"
    return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY, mode)


def is_device(target: Path) -> bool:
    """True if a name stands for something that is written to, not replaced. Of links, only the system's own do."""
    try:
        mode = target.lstat().st_mode
    except OSError:
        return False
    if _STREAM.fullmatch((target.parent.resolve() / target.name).as_posix()):
        return True
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def _write_to_device(target: Path, data: bytes) -> None:
    if stat.S_ISFIFO(target.stat().st_mode):
        PROCESS.write_to_pipe(target, data)
        return
    # A stream that leads into a file is a log, to which others have written.
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_APPEND | _BINARY), "wb") as file:
        file.write(data)

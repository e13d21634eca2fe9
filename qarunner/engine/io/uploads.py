"""Builds as bytes: their size and hash, and bodies to send that are the same for the same content."""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from qarunner.regex import regex
from qarunner.vendors.api import Build, Form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# ---------------------------------------------------------------------------------------------------------------------

# What is inside a build: a broken APK is found before it is sent, and not late at the vendor.


_MANIFEST = "AndroidManifest.xml"


_ODD_ZIP = (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError)


def validate_apk(path: Path, *, zips_of_apks: bool) -> str | None:
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


CHUNK = 1024 * 1024


BASE_APK = "base.apk"


SPLIT_APK = regex(r"base\.apk|split_config\..+\.apk")


_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in a zip, so that two zips of one content are equal byte for byte."""


class BuildChanged(OSError):  # noqa: N818  it says what happened
    """A build is another one than when the plan was made."""


def sized(path: Path, name: str) -> Build:
    """A build as its folder's listing tells it: with its size, and without a hash. OSError if it cannot be read."""
    size = sum(file.stat().st_size for file in files_of(path))
    return Build(path=name, filename=path.name, size=size, sha256="", folder=path.is_dir())


def measure(path: Path, name: str) -> Build:
    """A build's size and hash. OSError if it cannot be read. `name` is the path that messages and plans show."""
    digest = hashlib.sha256()
    size = 0
    for file in files_of(path):
        if path.is_dir():
            # Names belong to a folder's content; a single file may be renamed and stays the same build.
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        for chunk in _chunks(file):
            digest.update(chunk)
            size += len(chunk)
    return Build(path=name, filename=path.name, size=size, sha256=digest.hexdigest(), folder=path.is_dir())


def files_of(path: Path) -> list[Path]:
    """The file itself, or a folder's split APKs in order of their names: nothing else in it may travel along."""
    return sorted(file for file in path.iterdir() if SPLIT_APK.fullmatch(file.name)) if path.is_dir() else [path]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


EMPTY = (b"", b"")


def open_body(build: Build, *, zipped: bool) -> IO[bytes]:
    """The bytes to send, from their start. BuildChanged if the content is not the plan's any more."""
    path = Path(build.path)
    if measure(path, build.path).sha256 != build.sha256:
        raise BuildChanged(f"{build.path} was changed after the plan was made")
    return _zip(path) if zipped else path.open("rb")


def _zip(path: Path) -> IO[bytes]:
    """A zip in a temporary file. Stored, not deflated: an APK is compressed already."""
    body = tempfile.TemporaryFile()  # noqa: SIM115  the sender closes it
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
        for file in files_of(path):
            entry = zipfile.ZipInfo(file.name, _EPOCH)
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=False) as inside:
                for chunk in _chunks(file):
                    inside.write(chunk)
    body.seek(0)
    return body


def form_around(form: Form, boundary: str) -> tuple[bytes, bytes]:
    """What stands before and behind a file in a multipart form (RFC 7578)."""
    line = f"--{boundary}\r\nContent-Disposition: form-data; "
    fields = "".join(f'{line}name="{_quoted(name)}"\r\n\r\n{value}\r\n' for name, value in form.fields)
    name, filename = _quoted(form.name), _quoted(form.filename)
    kind = "Content-Type: application/octet-stream"
    before = f'{fields}{line}name="{name}"; filename="{filename}"\r\n{kind}\r\n\r\n'
    return before.encode(errors="replace"), f"\r\n--{boundary}--\r\n".encode()


def _quoted(text: str) -> str:
    """A name in a part's head, as browsers write it: it cannot end the head."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


class ProgressReader:
    """A body that says how far it has been read. `requests` takes its length from `__len__`."""

    def __init__(
        self, body: IO[bytes], on_progress: Callable[[int, int], None], around: tuple[bytes, bytes] = EMPTY
    ) -> None:
        self._on_progress = on_progress
        self._sent = 0
        self._parts: list[IO[bytes]] = [io.BytesIO(around[0]), body, io.BytesIO(around[1])]
        self._size = len(around[0]) + body.seek(0, 2) + len(around[1])
        body.seek(0)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        chunk = b""
        while self._parts and not (chunk := self._parts[0].read(size if size and size > 0 else CHUNK)):
            self._parts.pop(0)
        self._sent += len(chunk)
        self._on_progress(self._sent, self._size)
        return chunk

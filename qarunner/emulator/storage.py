"""Presigned uploads: a URL that takes one file for a while, from anybody who holds it, without a credential."""

from __future__ import annotations

import hashlib
import zipfile
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.emulator.ledger import Upload
from qarunner.emulator.messages import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping

    from qarunner.emulator.ledger import Ids, Ledger, Timeline

CREDENTIAL_HEADERS = ("authorization", "x-api-key", "cookie")
IN_MEMORY = 8 << 20


class Stored(Struct, frozen=True, kw_only=True):
    """The bytes that arrived; `members` are the names inside a zip, None for anything else."""

    size: int
    sha256: str
    members: tuple[str, ...] | None


class Slot(Struct, kw_only=True):
    """One presigned URL."""

    url: str
    signature: str
    content_type: str
    expires: float
    upload: Upload
    stored: Stored | None = None


class Storage:
    """All presigned URLs of all vendors."""

    def __init__(self, root: str, timeline: Timeline, ledger: Ledger, ids: Ids) -> None:
        self._root = root
        self._timeline = timeline
        self._ledger = ledger
        self._ids = ids
        self._slots: dict[tuple[str, str], Slot] = {}

    def open(self, vendor: str, *, content_type: str, valid: float, filename: str | None = None) -> Slot:
        """Makes a URL that takes one file for `valid` seconds."""
        token, signature = self._ids.short(24), self._ids.short(32)
        upload = Upload(time=self._ledger.time(), vendor=vendor, token=token, filename=filename)
        slot = Slot(
            url=f"{self._root}/storage/{vendor}/{token}?signature={signature}",
            signature=signature,
            content_type=content_type,
            expires=self._timeline.now() + valid,
            upload=upload,
        )
        self._slots[vendor, token] = slot
        self._ledger.uploads.append(upload)
        return slot

    def admit(self, vendor: str, token: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Slot:
        """Finds the slot of an upload, or refuses it before its bytes are read."""
        leaked = [name for name in CREDENTIAL_HEADERS if name in headers]
        if leaked:
            raise Refused(400, f"a presigned URL takes no credential, but {', '.join(leaked)} was sent")
        slot = self._slots.get((vendor, token))
        if slot is None:
            raise Refused(404, "no such upload")
        if dict(query) != {"signature": slot.signature}:
            raise Refused(403, "the signature does not match")
        if self._timeline.now() > slot.expires:
            raise Refused(403, "the URL has expired")
        if headers.get("content-type") != slot.content_type:
            raise Refused(403, f"the URL was signed for Content-Type {slot.content_type}")
        return slot

    async def receive(self, slot: Slot, chunks: AsyncIterable[bytes]) -> Stored:
        """Takes the bytes."""
        digest, size = hashlib.sha256(), 0
        with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            async for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            return self.keep(slot, Stored(size=size, sha256=digest.hexdigest(), members=_members(file)))

    def keep(self, slot: Slot, stored: Stored) -> Stored:
        """Says what has arrived; a second upload to the same URL replaces the first."""
        slot.stored = stored
        slot.upload.size, slot.upload.sha256 = stored.size, stored.sha256
        return stored


def _members(file: SpooledTemporaryFile[bytes]) -> tuple[str, ...] | None:
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            return tuple(archive.namelist())
    except zipfile.BadZipFile:
        return None

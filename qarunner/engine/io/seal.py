"""The chain through the lines of a journal: every line proves those before it, and with a key also who wrote them.

A line ends in `"check":"…"`: 16 digits of a checksum over all lines so far, and in a sealed journal 32 digits of its
MAC. The MACs are made with a key of the run's own. A line with `"seals"` gives that key to each holder of a secret, and
says in their name that all before it is true: the first line does so, and one that a person wrote with `--unsealed`.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RUN_KEY = 32
"""Bytes of a run's own key."""

_CHECK = regex(rb',(?:"seals":(\{[^{}]*\}),)?"check":"([0-9a-f]{16})([0-9a-f]{32})?"\}')
_TAG = 16
_SUM = 8


class Key(Struct, frozen=True):
    """What a secret seals with. `id` tells holders which seal is theirs, and nothing about the secret."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.id})"

    @classmethod
    def of(cls, secret: str) -> Key:
        key = _mac(secret.encode("utf-8", "surrogateescape"), b"qarunner run folder")
        return cls(_mac(key, b"id")[:6].hex(), key)


class Trust(StrEnum):
    """What the seal of a journal says to the holder of some keys."""

    HOLDS = "holds"
    BROKEN = "broken"
    MISSING = "missing"
    FOREIGN = "foreign"
    """It was sealed with other keys than those that are here."""
    UNCHECKED = "unchecked"
    """There is no key here to look with."""


class DamagedLineError(Exception):
    """A line is not what was written."""


class Chain(Struct, frozen=True):
    """Where a journal stands: a digest of all lines so far, and the run's own key if it is known."""

    digest: bytes = b""
    run_key: bytes | None = None

    def __repr__(self) -> str:
        return f"Chain({self.digest.hex()})"

    def line(self, body: bytes) -> tuple[bytes, Chain]:
        """An event's JSON as the next line, and the chain behind it."""
        digest = _next(self.digest, body)
        return _finished(body, b"", digest, self.run_key)

    def sealed_line(self, body: bytes, keys: Iterable[Key], run_key: bytes) -> tuple[bytes, Chain]:
        """The same, with a new key of the run, which every one of the keys gives its holder."""
        nonce = _next(self.digest, body)
        seals = {key.id: _seal(key, nonce, run_key).hex() for key in keys}
        encoded = msgspec.json.encode(seals, order="sorted")
        return _finished(body, b'"seals":' + encoded + b",", _next(nonce, encoded), run_key)


def _finished(body: bytes, seals: bytes, digest: bytes, run_key: bytes | None) -> tuple[bytes, Chain]:
    tag = _mac(run_key, digest)[:_TAG].hex() if run_key is not None else ""
    check = f'"check":"{digest[:_SUM].hex()}{tag}"}}\n'.encode()
    return body[:-1] + b"," + seals + check, Chain(digest, run_key)


class Reader:
    """Follows a journal line by line. Without keys it finds damage alone."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = {key.id: key for key in keys}
        self.chain = Chain()
        self.trust = Trust.MISSING if keys else Trust.UNCHECKED
        self.broken_at: int | None = None
        """The first line that no holder of the keys has written."""
        self._number = 0
        self.checked = False
        """True once a line had a checksum: those of format 1 lack it."""

    def take(self, line: bytes) -> bytes:
        """The JSON of a line's event. DamagedLineError if it is not as it was written."""
        self._number += 1
        match = _CHECK.search(line)
        if match is None or match.end() != len(line):
            if self.checked:
                raise DamagedLineError("it has no checksum")
            return self._old(line)
        self.checked = True
        body, seals = line[: match.start()] + b"}", match[1]
        digest = nonce = _next(self.chain.digest, body)
        if seals is not None:
            digest = _next(nonce, seals)
        if digest[:_SUM].hex().encode() != match[2]:
            raise DamagedLineError("its checksum is wrong")
        run_key = self.chain.run_key if seals is None else self._opened(seals, nonce)
        self._verify(run_key, digest, match[3])
        self.chain = Chain(digest, run_key)
        return body

    def _old(self, line: bytes) -> bytes:
        """Journals of format 1 have nothing that proves anything."""
        self.chain = Chain(_next(self.chain.digest, line))
        return line

    def _opened(self, encoded: bytes, nonce: bytes) -> bytes | None:
        """The run's key, if a holder of one of our keys has sealed all lines up to this one."""
        if not self._keys:
            return None
        seals = _seals(encoded)
        mine = [(key, seals[name]) for name, key in self._keys.items() if name in seals]
        for key, seal in mine:
            if (run_key := _open(key, nonce, seal)) is not None:
                self.trust, self.broken_at = Trust.HOLDS, None
                return run_key
        if mine:
            self._break()
        elif self.trust is not Trust.BROKEN:
            self.trust = Trust.FOREIGN
        return None

    def _verify(self, run_key: bytes | None, digest: bytes, tag: bytes | None) -> None:
        if self.trust is not Trust.HOLDS or run_key is None:
            return
        if tag is None or not hmac.compare_digest(_mac(run_key, digest)[:_TAG].hex().encode(), tag):
            self._break()

    def _break(self) -> None:
        if self.trust is not Trust.BROKEN:
            self.trust, self.broken_at = Trust.BROKEN, self._number


def ends_within(text: bytes) -> bool:
    """True if a whole line with its checksum stands in a text, and more behind it."""
    match = _CHECK.search(text)
    return match is not None and match.end() < len(text)


def _seals(encoded: bytes) -> Mapping[str, str]:
    try:
        return msgspec.json.decode(encoded, type=dict[str, str])
    except msgspec.MsgspecError:
        return {}


def _seal(key: Key, nonce: bytes, run_key: bytes) -> bytes:
    hidden = _xor(run_key, _mac(key.secret, b"key", nonce))
    return hidden + _mac(key.secret, b"seal", nonce, hidden)[:_TAG]


def _open(key: Key, nonce: bytes, seal: str) -> bytes | None:
    """The run's key; None if the holder of this key has not sealed just this line, after just these."""
    try:
        data = bytes.fromhex(seal)
    except ValueError:
        return None
    hidden, tag = data[:RUN_KEY], data[RUN_KEY:]
    if len(hidden) != RUN_KEY or not hmac.compare_digest(_mac(key.secret, b"seal", nonce, hidden)[:_TAG], tag):
        return None
    return _xor(hidden, _mac(key.secret, b"key", nonce))


def _next(digest: bytes, data: bytes) -> bytes:
    return hashlib.sha256(digest + data).digest()


def _mac(key: bytes, *parts: bytes) -> bytes:
    mac = _keyed(key).copy()
    mac.update(b"\0".join(parts))
    return mac.digest()


@lru_cache(maxsize=8)
def _keyed(key: bytes) -> hmac.HMAC:
    """To set one up takes longer than a line: all lines of a journal have one key."""
    return hmac.new(key, digestmod="sha256")


def _xor(one: bytes, two: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, two, strict=True))

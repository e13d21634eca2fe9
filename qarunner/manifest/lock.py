"""The lock beside a manifest: the ids behind names, as an inventory had them. The text is not trusted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.diagnostics import Diagnostic, Path, Place, problem
from qarunner.entry import NameKind
from qarunner.errors import ManifestError
from qarunner.manifest.codes import Code
from qarunner.manifest.yaml.reader import Document, decode, read
from qarunner.regex import regex
from qarunner.secret import has_brackets

VERSION = 1

LARGEST_MIB = 16
"""A lock of 100,000 names has about 10 MiB."""

Items: TypeAlias = "Mapping[str, str]"
"""What a name or a glob stands for: ids, each with its name at the vendor."""


class Scope(NamedTuple):
    """Where a name holds. `project` is None at a vendor that has no projects."""

    vendor: str
    project: str | None
    kind: NameKind


class Lock(Struct, frozen=True, kw_only=True):
    """Names and globs as the manifest has them, each with what it stood for on the day when that last changed."""

    day: str
    names: Mapping[Scope, Mapping[str, Items]] = field(default_factory=dict)

    def find(self, scope: Scope, name: str) -> Items | None:
        """None if the lock does not have the name there."""
        return self.names.get(scope, {}).get(same(name))

    def find_anywhere(self, vendor: str, kind: NameKind, name: str) -> Items | None:
        """The same where the project is not known: that of any project, since only a build says which one."""
        scopes = (scope for scope in self.names if (scope.vendor, scope.kind) == (vendor, kind))
        return next((items for scope in scopes if (items := self.find(scope, name)) is not None), None)


def same(name: str) -> str:
    """A name in the form in which names are compared: one character can be written in several ways."""
    return unicodedata.normalize("NFC", name)


class VendorNames(Struct, frozen=True, kw_only=True):
    """What of a vendor has names, and the form of an environment's id where environments have names besides."""

    kinds: frozenset[NameKind]
    environment_id: str | None = None

    def is_environment_name(self, text: str) -> bool:
        return self.environment_id is not None and re.fullmatch(self.environment_id, text) is None


class KnownNames:
    """A manifest's lock, which is read when the first name is looked up, and what else tells what a name means.

    `file` is the lock's name for messages. `of` gives the facts about a vendor; None for one that is not known.
    `projects` are those that the environment names, by vendor.
    """

    def __init__(
        self,
        file: str,
        of: Callable[[str], VendorNames | None],
        load: Callable[[], Lock | None],
        projects: Mapping[str, str] | None = None,
    ) -> None:
        self.file = file
        self.of = of
        self.projects = projects or {}
        self._load = load

    def at(self, projects: Mapping[str, str]) -> KnownNames:
        """The same in an environment that names projects."""
        return KnownNames(self.file, self.of, lambda: self.lock, projects)

    @cached_property
    def lock(self) -> Lock | None:
        """None if there is no such file. ManifestError if it cannot be read."""
        return self._load()


# --- the file ---------------------------------------------------------------------------------------------------------


_CONFLICT = regex(r"^(<{7}|={7}|>{7}|\|{7})( |$)", re.MULTILINE)

_AGAIN = "write it anew: qarunner lock"


def parse(name: str, data: bytes) -> Lock:
    """The lock of a file. ManifestError with the one thing that is wrong first: the rest would follow from it."""
    if len(data) > LARGEST_MIB * 2**20:
        raise ManifestError([unreadable(name, f"is larger than {LARGEST_MIB} MiB")])
    try:
        source = decode(name, data)
        conflict = _CONFLICT.search(source.text)
        document = None if conflict else read(name, data)
    except ManifestError as error:
        first = error.diagnostics[0]
        message = f"the lock cannot be read: {first.message}"
        raise ManifestError([replace(first, code=Code.BAD_LOCK, message=message, hint=_AGAIN)]) from error
    if document is not None:
        return _lock_of(document)
    at = conflict.start() if conflict else 0
    message = "the lock has the marks of a merge conflict"
    hint = f"keep either side, then {_AGAIN}"
    raise ManifestError([source.problem(at, message, code=Code.BAD_LOCK, hint=hint)])


def unreadable(name: str, why: str) -> Diagnostic:
    """What to say of a file that is no lock at all; `why` goes on after its name."""
    hint = f"remove it, and {_AGAIN}"
    return Diagnostic(code=Code.BAD_LOCK, message=f"the lock {why}", place=Place(name, 1, 1), hint=hint)


def _lock_of(document: Document) -> Lock:
    data = document.data
    if data.get("version") != VERSION:
        version = data.get("version")
        message = f"a lock of version {version!r}: this qarunner reads version {VERSION}"
        hint = f"install the qarunner that wrote it, or {_AGAIN}"
        raise ManifestError([problem(document, ("version",), message, code=Code.BAD_LOCK, hint=hint)])
    _check_keys(document, (), data, ("version", "day", "locked"))
    day = _text(document, ("day",), data.get("day"))
    names: dict[Scope, dict[str, Items]] = {}
    for index, part in enumerate(_list(document, ("locked",), data.get("locked"))):
        path: Path = ("locked", index)
        section = _mapping(document, path, part)
        _check_keys(document, path, section, ("vendor", "project", *NameKind))
        vendor = _text(document, (*path, "vendor"), section.get("vendor"))
        project = None if section.get("project") is None else _text(document, (*path, "project"), section["project"])
        for kind in NameKind:
            if kind in section:
                scope = Scope(vendor, project, kind)
                if scope in names:
                    raise _fault(document, path, f"{vendor} stands twice with the same project")
                names[scope] = dict(_names(document, (*path, str(kind)), section[kind]))
    return Lock(day=day, names=names)


def _names(document: Document, path: Path, data: object) -> Iterator[tuple[str, Items]]:
    for name, items in _mapping(document, path, data).items():
        ids = _mapping(document, (*path, name), items)
        if not ids:
            raise _fault(document, (*path, name), f"{name!r} stands for nothing")
        yield same(name), {key: _text(document, (*path, name, key), value) for key, value in ids.items()}


def _check_keys(document: Document, path: Path, data: Mapping[str, object], known: tuple[str, ...]) -> None:
    for key in data:
        if key not in known:
            raise _fault(document, (*path, key), f"unknown key {key!r} in the lock", key=True)


def _mapping(document: Document, path: Path, data: object) -> Mapping[str, object]:
    if not isinstance(data, dict):
        raise _fault(document, path, "the lock has no mapping here")
    return data


def _list(document: Document, path: Path, data: object) -> list[object]:
    if not isinstance(data, list):
        raise _fault(document, path, f"{path[-1]!r} in the lock is no list")
    return data


def _text(document: Document, path: Path, data: object) -> str:
    if not isinstance(data, str) or not data:
        raise _fault(document, path, f"{path[-1]!r} in the lock is no text")
    if has_brackets(data):
        raise _fault(document, path, "the characters ⟦ and ⟧ are reserved for the placeholders of secrets")
    return data


def _fault(document: Document, path: Path, message: str, *, key: bool = False) -> ManifestError:
    return ManifestError([problem(document, path, message, code=Code.BAD_LOCK, hint=_AGAIN, key=key)])


def to_text(lock: Lock, manifest: str) -> bytes:
    """The lock as it is written: sorted, a line for each name and id, so that changes of two branches merge."""
    lines = [
        f"# The ids behind the names in {manifest}, written by `qarunner lock`. Commit it, and do not edit it.",
        f"version: {VERSION}",
        f"day: {quoted(lock.day)}",
    ]
    places = sorted({(scope.vendor, scope.project or "", scope.project) for scope in lock.names})
    lines += ["locked:"] if places else ["locked: []"]
    for vendor, _, project in places:
        lines.append(f"  - vendor: {quoted(vendor)}")
        lines += [f"    project: {quoted(project)}"] if project is not None else []
        for kind in sorted(NameKind):
            if names := lock.names.get(Scope(vendor, project, kind)):
                lines.append(f"    {kind}:")
                lines += _lines(names)
    return "".join(f"{line}\n" for line in lines).encode()


def _lines(names: Mapping[str, Items]) -> Iterator[str]:
    for name in sorted(names):
        yield f"      {quoted(name)}:"
        for identifier, locked_name in sorted(names[name].items(), key=lambda item: (item[1], item[0])):
            yield f"        {quoted(identifier)}: {quoted(locked_name)}"


def quoted(text: str) -> str:
    """A text in YAML's double quotes: whatever a vendor calls its tests stays one text on one line."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) <= _BMP else f"\\U{ord(character):08x}"


_BMP = 0xFFFF

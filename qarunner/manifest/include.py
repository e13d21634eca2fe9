"""Fragments: files that `include` names, whose entries stand behind those of the manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from qarunner.diagnostics import closest, problem
from qarunner.errors import ManifestError
from qarunner.manifest.codes import Code
from qarunner.manifest.document import Document, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.diagnostics import Diagnostic, Path, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that a glob names: its text, or why it cannot be taken. `key` is one for all names of the same file."""

    name: str
    key: str
    text: bytes = b""
    refusal: str | None = None


class BadGlob(ValueError):  # noqa: N818  it says what was found
    """A glob that cannot be followed, and why."""


Finder: TypeAlias = Callable[[str], Sequence[Found]]
"""The files that a glob names, in their order. BadGlob if there is no telling."""


class Joined(Document):
    """A manifest with its fragments, as one document: its `matrix` has the entries of all of them."""

    __slots__ = ("_fragments", "_main")

    def __init__(self, main: Document, fragments: Sequence[Document]) -> None:
        self.name = main.name
        self._main = main
        self._fragments: list[tuple[int, Document]] = []
        own = main.data.get("matrix")
        entries: list[object] = list(own) if isinstance(own, list) else []
        for fragment in fragments:
            more = fragment.data.get("matrix")
            self._fragments.append((len(entries), fragment))
            entries += more if isinstance(more, list) else []
        self.data = {**main.data, "matrix": entries} if entries else main.data

    def locate(self, path: Path, *, key: bool = False) -> Place:
        if len(path) > 1 and path[0] == "matrix" and isinstance(path[1], int):
            for first, fragment in reversed(self._fragments):
                if path[1] >= first:
                    return fragment.locate(("matrix", path[1] - first, *path[2:]), key=key)
        return self._main.locate(path, key=key)

    def source_line(self, place: Place) -> str | None:
        documents = {fragment.name: fragment for _, fragment in self._fragments}
        return documents.get(place.file, self._main).source_line(place)


class Included(NamedTuple):
    """A document with its fragments, the texts of these, and what is wrong with them."""

    document: Document
    texts: tuple[bytes, ...]
    problems: tuple[Diagnostic, ...]


def join(main: Document, find: Finder | None) -> Included:
    """Follows the globs of a document of any shape: what the schema would refuse is left out."""
    globs = main.data.get("include")
    if not isinstance(globs, list) or not isinstance(main.data.get("matrix", []), list):
        return Included(main, (), ())
    fragments: dict[str, tuple[Document, bytes] | None] = {}
    problems: list[Diagnostic] = []
    for index, glob in enumerate(globs):
        for found in _found(main, index, glob, find, problems) if isinstance(glob, str) else ():
            if found.key not in fragments:
                fragments[found.key] = _fragment(main, found, problems)
    taken = [each for each in fragments.values() if each is not None]
    whole = Joined(main, [document for document, _ in taken]) if taken else main
    return Included(whole, tuple(text for _, text in taken), tuple(problems))


def _found(main: Document, index: int, glob: str, find: Finder | None, problems: list[Diagnostic]) -> Iterator[Found]:
    """The files of one glob that can be taken."""
    path: Path = ("include", index)
    try:
        files = find(glob) if find is not None else ()
    except BadGlob as bad:
        problems.append(problem(main, path, f"include: {glob!r} {bad}", code=Code.INCLUDE, hint=_HINT))
        return
    if not files:
        message = f"include: no file matches {glob!r}"
        problems.append(problem(main, path, message, code=Code.INCLUDE, hint=_HINT))
    for file in files:
        if file.refusal is None:
            yield file
        else:
            message = f"include: {file.name} {file.refusal}"
            problems.append(problem(main, path, message, code=Code.INCLUDE, hint=_HINT))


_HINT = "globs such as qa/**/*.yml begin at the manifest's folder and stay inside of the repository"


def _fragment(main: Document, file: Found, problems: list[Diagnostic]) -> tuple[Document, bytes] | None:
    try:
        fragment = read(file.name, file.text)
    except ManifestError as error:
        problems += error.diagnostics
        return None
    problems += _misplaced(main, fragment)
    return fragment, file.text


_TOP = ("version", "name", "env", "vars", "vendors", "defaults", "gate", "include", "profiles", "budget", "reports")


def _misplaced(main: Document, fragment: Document) -> Iterator[Diagnostic]:
    """What a fragment has besides a list of entries."""
    if "version" in fragment.data:
        message = f"this is a manifest of its own, and {main.name} includes it as a fragment"
        hint = "a fragment holds matrix and nothing else: narrow the glob, or move what stands at the top"
        yield problem(fragment, ("version",), message, code=Code.FRAGMENT, hint=hint, key=True)
        return
    for key in fragment.data:
        if key == "matrix" or key.startswith("x-"):
            continue
        if key in _TOP:
            message = f"{key!r} cannot stand in a fragment: it belongs into {main.name}, which includes this file"
            hint = "a fragment holds matrix and nothing else"
        else:
            message = f"unknown key {key!r}"
            meant = "did you mean 'matrix'? " if closest(key, ["matrix"]) else ""
            hint = f"{meant}A fragment holds matrix and nothing else"
        yield problem(fragment, (key,), message, code=Code.FRAGMENT, hint=hint, key=True)
    matrix = fragment.data.get("matrix")
    if "matrix" not in fragment.data and closest("matrix", fragment.data):
        return  # it is misspelt, which was told
    if not isinstance(matrix, list) or not matrix:
        has = "matrix" in fragment.data
        message = "matrix: expected a list of entries" if has else "a fragment without matrix holds nothing"
        hint = "begin each entry with `- id: …`" if has else "write matrix, with a list of entries"
        yield problem(fragment, ("matrix",), message, code=Code.FRAGMENT, hint=hint)


def lone_fragment(document: Document) -> Diagnostic | None:
    """What to say of a file that holds entries and nothing else: most likely the manifest that includes it is meant."""
    keys = {key for key in document.data if not key.startswith("x-")}
    if keys != {"matrix"}:
        return None
    message = "this is a fragment, which holds matrix alone: it is checked with the manifest that includes it"
    hint = "name that manifest; a file that is a manifest itself begins with `version: 1` and a name"
    return problem(document, (), message, code=Code.FRAGMENT, hint=hint)

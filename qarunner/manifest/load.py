"""Text → Manifest, or every problem at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qarunner.diagnostics import Diagnostic, in_order, problem
from qarunner.errors import ManifestError
from qarunner.manifest import document, schema
from qarunner.manifest.axis_rules import check_axes
from qarunner.manifest.bind import bind, cross_references, profile_names
from qarunner.manifest.codes import Code
from qarunner.manifest.include import join, lone_fragment
from qarunner.manifest.model import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.diagnostics import Path
    from qarunner.manifest.document import Document
    from qarunner.manifest.faults import Fault
    from qarunner.manifest.include import Finder


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A manifest as far as it can be read, and what is wrong with it.

    `sound` are the indexes of entries that later checks can look at; None: all of them. `profiles` are those that can.
    """

    manifest: Manifest
    problems: tuple[Diagnostic, ...]
    sound: frozenset[int] | None
    profiles: tuple[str, ...] = ()


def load(name: str, text: bytes | str, find: Finder | None = None) -> Manifest:
    """A manifest that passed the schema and the cross-reference checks. ManifestError has all problems.

    `name` is the file as the user gave it; it stands in every place. `find` finds the fragments that it includes.
    """
    examined = examine(name, text, find)
    if examined.problems:
        raise ManifestError(examined.problems)
    return examined.manifest


def examine(name: str, text: bytes | str, find: Finder | None = None) -> Examined:
    """The same without stopping at problems of single entries. ManifestError where nothing can be read at all."""
    main = document.read(name, text)
    read, more, problems = join(main, find)
    lone = lone_fragment(main)
    faults = schema.faults(read.data)
    shown = in_order(
        problem(read, fault.path, fault.message, code=fault.code, hint=fault.hint, key=fault.key)
        for fault in faults
        if not (lone and fault.path == ())
    )
    texts = (text, *more)
    manifest = bind(read, templated=any(_may_hold(each, "{{", "{%", "{#") for each in texts))
    told = {fault.place for fault in shown}
    others = [found for found in (*cross_references(manifest), *_reserved(read, texts)) if found.place not in told]
    sound = _sound(read, faults) if lone is None else frozenset()
    odd = check_axes(read, sound)
    found = in_order([*shown, *others, *problems, *(fault.problem for fault in odd), *([lone] if lone else [])])
    profiles = _sound_profiles(read, faults)
    if not found:
        return Examined(manifest=manifest, problems=(), sound=None, profiles=profiles)
    stuck = {fault.entry for fault in odd}
    sound = frozenset() if None in stuck else sound - stuck
    return Examined(manifest=manifest, problems=found, sound=sound, profiles=profiles)


_LEANED_ON = frozenset({"defaults", "env", "vars"})


def _sound(read: Document, faults: Sequence[Fault]) -> frozenset[int]:
    """The entries without a fault; none where what all of them lean on has one."""
    matrix = read.data.get("matrix")
    if not isinstance(matrix, list) or any(fault.path[:1] and fault.path[0] in _LEANED_ON for fault in faults):
        return frozenset()
    faulty = {fault.path[1] for fault in faults if fault.path[:1] == ("matrix",) and len(fault.path) > 1}
    return frozenset(index for index in range(len(matrix)) if index not in faulty)


def _sound_profiles(read: Document, faults: Sequence[Fault]) -> tuple[str, ...]:
    faulty = {fault.path[1] if len(fault.path) > 1 else None for fault in faults if fault.path[:1] == ("profiles",)}
    return () if None in faulty else tuple(name for name in profile_names(read) if name not in faulty)


def _may_hold(text: bytes | str, *wanted: str) -> bool:
    """Whether a file can hold one of these texts anywhere. Escapes can spell anything, so a backslash is a maybe."""
    if isinstance(text, str):
        return "\\" in text or any(each in text for each in wanted)
    # UTF-16 has a zero byte beside every ASCII character: nothing can be ruled out.
    return b"\\" in text or b"\0" in text or any(each.encode() in text for each in wanted)


def _reserved(read: Document, texts: Sequence[bytes | str]) -> Iterator[Diagnostic]:
    """The two brackets around the placeholders of secrets: whoever could write them could forge one."""
    if not any(_may_hold(text, "⟦", "⟧") for text in texts):
        return
    for path, is_key in _with_brackets(read.data, ()):
        yield problem(
            read,
            path,
            "the characters ⟦ and ⟧ are reserved for the placeholders of secrets",
            code=Code.RESERVED,
            hint="use other brackets; to insert a secret write {{ env.NAME }}",
            key=is_key,
        )


def _with_brackets(value: object, path: Path) -> Iterator[tuple[Path, bool]]:
    """Paths of strings with such a bracket; True where it is the key that has it."""
    if isinstance(value, str) and ("⟦" in value or "⟧" in value):
        yield path, False
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        if isinstance(step, str) and ("⟦" in step or "⟧" in step):
            yield (*path, step), True
        yield from _with_brackets(child, (*path, step))

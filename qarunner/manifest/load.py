"""Text → Manifest, or every problem at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.diagnostics import in_order, problem
from qarunner.errors import ManifestError
from qarunner.manifest import document, schema
from qarunner.manifest.bind import bind, cross_references
from qarunner.manifest.codes import Code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.diagnostics import Diagnostic, Path
    from qarunner.manifest.document import Document
    from qarunner.manifest.model import Manifest


def load(name: str, text: bytes | str) -> Manifest:
    """A manifest that passed the schema and the cross-reference checks. ManifestError has all problems.

    `name` is the file as the user gave it; it stands in every place.
    """
    read = document.read(name, text)
    faults = schema.check(read)
    manifest = bind(read, templated=_may_hold(text, "{{", "{%", "{#"))
    told = {fault.place for fault in faults}
    others = [found for found in (*cross_references(manifest), *_reserved(read, text)) if found.place not in told]
    if faults or others:
        raise ManifestError(in_order([*faults, *others]))
    return manifest


def _may_hold(text: bytes | str, *wanted: str) -> bool:
    """Whether a file can hold one of these texts anywhere. Escapes can spell anything, so a backslash is a maybe."""
    if isinstance(text, str):
        return "\\" in text or any(each in text for each in wanted)
    # UTF-16 has a zero byte beside every ASCII character: nothing can be ruled out.
    return b"\\" in text or b"\0" in text or any(each.encode() in text for each in wanted)


def _reserved(read: Document, text: bytes | str) -> Iterator[Diagnostic]:
    """The two brackets around the placeholders of secrets: whoever could write them could forge one."""
    if not _may_hold(text, "⟦", "⟧"):
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

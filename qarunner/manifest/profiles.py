"""Profiles: a manifest with what one of them changes, and whether its choice is a choice of anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.diagnostics import choose, problem
from qarunner.errors import UserError
from qarunner.manifest.bind import bind, profile_names
from qarunner.manifest.codes import Code
from qarunner.manifest.select import parse, select, suggestion, unmatched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.diagnostics import Diagnostic, Path
    from qarunner.manifest.model import Manifest, Row


def with_profile(manifest: Manifest, name: str) -> Manifest:
    """The manifest with a profile over it. UserError if it has none of that name."""
    known = profile_names(manifest.document)
    if name not in known:
        hint = (
            choose(name, known) if known else "write it: profiles: { " + name + ": { select: [label:" + name + "] } }"
        )
        raise UserError(f"--profile {name}: {manifest.document.name} has no such profile", hint=hint)
    return bind(manifest.document, templated=manifest.templated, profile=name)


def check_select(manifest: Manifest, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """Expressions of the manifest's profile that cannot be read, or that name what no row has."""
    path: Path = ("profiles", str(manifest.profile), "select")
    sound = True
    for index, expression in enumerate(manifest.select):
        for message, hint in _flaws(expression, rows):
            sound = False
            yield problem(manifest.document, (*path, index), message, code=Code.PROFILE, hint=hint)
    if sound and manifest.select and not select(rows, manifest.select):
        message = f"select chooses none of {len(rows)} entries"
        yield problem(manifest.document, path, message, code=Code.PROFILE, hint="choose one at least")


def _flaws(expression: str, rows: Sequence[Row]) -> Iterator[tuple[str, str | None]]:
    try:
        terms = parse(expression)
        missing = unmatched(rows, (expression,))
    except UserError as error:
        yield error.message.removeprefix("--"), error.hint
        return
    for term in terms:
        # What is left out may have gone already; what is chosen has to be there.
        if term.text in missing and not term.negated:
            yield f"select: {term.text!r} matches no entry", suggestion(rows, term.text)

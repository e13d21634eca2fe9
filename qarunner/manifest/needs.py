"""What has to pass before what: references between rows, checked, and followed to their end."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from qarunner.diagnostics import Diagnostic, closest, problem
from qarunner.known import holds_template
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import RowLocator, one_of_each
from qarunner.manifest.model import Manifest, Row, entry_of
from qarunner.manifest.select import Vocabulary
from qarunner.manifest.templates.expression import ROOTS, Steps, TemplateError, as_text
from qarunner.manifest.templates.parse import parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence


_SHOWN = 10


MOST_NEEDS = 1_000_000
"""Pairs of a row and one that it needs."""


def references(row: Row) -> list[str]:
    """The ids that a row names under `needs`, with the values of its own axes. What is not known stays as it is."""
    return [_with_axes(need, row) for need in _written_needs(row)]


def _with_axes(reference: str, row: Row) -> str:
    if not holds_template(reference):
        return reference
    context = {**{root: {} for root in ROOTS}, "matrix": row.matrix}
    pieces = parse(reference).pieces
    try:
        return "".join(part if isinstance(part, str) else as_text(part.compute(context, Steps())) for part in pieces)
    except TemplateError:
        return reference


def resolve(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """What each row needs, as ids of rows; rows that need nothing are left out, as are references to nothing."""
    if not any("needs" in row.data for row in rows):
        return {}
    named = Vocabulary(rows)
    # Rows that need the same share one tuple: each of a thousand rows may need each of a thousand others.
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    resolved: dict[str, tuple[str, ...]] = {}
    for row in rows:
        if "needs" in row.data:
            written = tuple(references(row))
            if written not in known:
                known[written] = tuple(dict.fromkeys(need for reference in written for need in named.ids(reference)))
            resolved[row.id] = known[written]
    return {row: needs for row, needs in resolved.items() if needs}


def closure(ids: Iterable[str], needs: Mapping[str, tuple[str, ...]]) -> dict[str, str | None]:
    """These rows and all that they need, near and far; each with the row that needs it, None for those given."""
    reasons: dict[str, str | None] = dict.fromkeys(ids)
    queue = list(reasons)
    for row in queue:
        for need in needs.get(row, ()):
            if need not in reasons:
                reasons[need] = row
                queue.append(need)
    return reasons


# --- what is wrong ----------------------------------------------------------------------------------------------------


def check_needs(manifest: Manifest, rows: Sequence[Row], elsewhere: Collection[str] = ()) -> tuple[Diagnostic, ...]:
    """References to nothing, and rows that wait for themselves.

    `elsewhere` are ids of entries that have no rows here, since something else is wrong with them.
    """
    waiting = [row for row in rows if "needs" in row.data]
    if not waiting:
        return ()
    named = Vocabulary(rows)
    unknown = [
        _no_entry(manifest, row, index, reference, named)
        for row in (*one_of_each(waiting), *(row for row in waiting if any(map(holds_template, _written_needs(row)))))
        for index, reference in enumerate(references(row))
        if not named.ids(reference) and entry_of(reference) not in elsewhere
        if not holds_template(reference)
    ]
    unknown += _foreign(manifest, one_of_each(waiting))
    pairs = sum(len(named.ids(reference)) for row in waiting for reference in references(row))
    if pairs > MOST_NEEDS:
        return (*unknown, _too_many_needs(manifest, waiting, named, pairs))
    return (*unknown, *_cycles(manifest, rows, named))


def _written_needs(row: Row) -> list[str]:
    written = row.data.get("needs")
    return [need for need in written if isinstance(need, str)] if isinstance(written, list) else []


def _foreign(manifest: Manifest, rows: Iterable[Row]) -> Iterator[Diagnostic]:
    """Templates that read something else than the row's own values: which rows wait is known without a variable."""
    for row in rows:
        for index, text in enumerate(_written_needs(row)):
            roots = {reference.root for reference in parse(text).references}
            if roots - {"matrix"}:
                message = f"needs: only matrix can be read here, and this reads {min(roots - {'matrix'})}"
                hint = "write build[locale={{ matrix.locale }}], or name the entry"
                yield problem(RowLocator(manifest, row), ("needs", index), message, code=Code.UNKNOWN_NEED, hint=hint)


def _too_many_needs(manifest: Manifest, waiting: Iterable[Row], named: Vocabulary, pairs: int) -> Diagnostic:
    row = max(waiting, key=lambda row: sum(len(named.ids(reference)) for reference in references(row)))
    message = f"needs: {pairs:,} pairs of rows would wait for each other; at most {MOST_NEEDS:,} are taken"
    hint = "let the rows need one entry, such as a setup, instead of each other's rows"
    return problem(RowLocator(manifest, row), ("needs",), message, code=Code.TOO_MUCH_WORK, hint=hint)


def _no_entry(manifest: Manifest, row: Row, index: int, reference: str, named: Vocabulary) -> Diagnostic:
    known = named.words("id")
    near = closest(reference, known.keys() - {row.id})
    some = ", ".join(sorted(known)[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
    hint = f"did you mean {near!r}?" if near else f"needs names entries or rows of this matrix: {some}"
    message = f"needs: there is no entry {reference!r}"
    return problem(RowLocator(manifest, row), ("needs", index), message, code=Code.UNKNOWN_NEED, hint=hint)


_MOST_CYCLES = 100
"""So many are reported at once: where each of a thousand rows needs each other one, there are far more."""


def _cycles(manifest: Manifest, rows: Sequence[Row], named: Vocabulary) -> Iterator[Diagnostic]:
    by_id = {row.id: row for row in rows}
    for cycle in islice(_circles(resolve(rows)), _MOST_CYCLES):
        row, need = by_id[cycle[0]], cycle[1]
        index = next(n for n, reference in enumerate(references(row)) if need in named.ids(reference))
        shown = " → ".join(cycle if len(cycle) <= _SHOWN else [*cycle[: _SHOWN - 1], "…", cycle[-1]])
        alone = row.id == need
        text = f"{row.id} needs itself" if alone else "these wait for each other"
        several = alone and references(row)[index] != row.id
        hint = "name its other rows one by one" if several else "remove it" if alone else "remove one of these needs"
        message = f"needs: {text}: {shown}"
        yield problem(RowLocator(manifest, row), ("needs", index), message, code=Code.NEEDS_CYCLE, hint=hint)


def _circles(needs: Mapping[str, tuple[str, ...]]) -> Iterator[list[str]]:
    """Cycles, each beginning with the row whose need closes it, and one for each such row.

    There is at least one of each group that waits for itself.
    """
    state: dict[str, bool] = {}  # True: on the way that is walked; False: done
    closing: set[str] = set()
    for start in needs:
        if start in state:
            continue
        way, rest = [start], [iter(needs[start])]
        state[start] = True
        while way:
            step = next(rest[-1], None)
            if step is None:
                state[way.pop()] = False
                rest.pop()
            elif step not in state:
                state[step] = True
                way.append(step)
                rest.append(iter(needs.get(step, ())))
            elif state[step] and way[-1] not in closing:
                closing.add(way[-1])
                yield [way[-1], *way[way.index(step) :]]

"""What has to pass before what: references between rows, checked, and followed to their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.diagnostics import closest, problem
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import Placed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.model import Manifest, Row

_SHOWN = 10


def references(row: Row) -> list[str]:
    """The ids that a row names under `needs`, as they were written."""
    told = row.data.get("needs")
    return [each for each in told if isinstance(each, str)] if isinstance(told, list) else []


def resolve(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """What each row needs, as ids of rows; rows that need nothing are left out, as are references to nothing."""
    if not any("needs" in row.data for row in rows):
        return {}
    named = _names(rows)
    found = {
        row.id: tuple(dict.fromkeys(need for reference in references(row) for need in named.get(reference, ())))
        for row in rows
        if "needs" in row.data
    }
    return {row: needs for row, needs in found.items() if needs}


def _names(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Rows by every name that means them: `search` and `search/web` both mean `search/web[locale=en]`."""
    found: dict[str, list[str]] = {}
    for row in rows:
        variant = row.id.partition("[")[0]
        for name in dict.fromkeys((row.id, variant, variant.partition("/")[0])):
            found.setdefault(name, []).append(row.id)
    return found


def closure(ids: Iterable[str], needs: Mapping[str, tuple[str, ...]]) -> dict[str, str | None]:
    """These rows and all that they need, near and far; each with the row that needs it, None for those given."""
    found: dict[str, str | None] = dict.fromkeys(ids)
    queue = list(found)
    for row in queue:
        for need in needs.get(row, ()):
            if need not in found:
                found[need] = row
                queue.append(need)
    return found


# --- what is wrong ----------------------------------------------------------------------------------------------------


def check_needs(manifest: Manifest, rows: Sequence[Row], elsewhere: Collection[str] = ()) -> tuple[Diagnostic, ...]:
    """References to nothing, and rows that wait for themselves.

    `elsewhere` are ids of entries that have no rows here, since something else is wrong with them.
    """
    if not any("needs" in row.data for row in rows):
        return ()
    named = _names(rows)
    unknown = [
        _unknown(manifest, row, index, reference, named)
        for row in rows
        for index, reference in enumerate(references(row))
        if reference not in named and reference.partition("[")[0].partition("/")[0] not in elsewhere
    ]
    return (*unknown, *_cycles(manifest, rows, named))


def _unknown(manifest: Manifest, row: Row, index: int, reference: str, named: Mapping[str, list[str]]) -> Diagnostic:
    near = closest(reference, named)
    some = ", ".join(list(named)[:_SHOWN]) + (", …" if len(named) > _SHOWN else "")
    hint = f"did you mean {near!r}?" if near else f"needs names entries or rows of this matrix: {some}"
    message = f"needs: there is no entry {reference!r}"
    return problem(Placed(manifest, row), ("needs", index), message, code=Code.UNKNOWN_NEED, hint=hint)


def _cycles(manifest: Manifest, rows: Sequence[Row], named: Mapping[str, list[str]]) -> Iterator[Diagnostic]:
    by_id = {row.id: row for row in rows}
    for cycle in _circles(resolve(rows)):
        row, need = by_id[cycle[0]], cycle[1]
        index = next(n for n, reference in enumerate(references(row)) if need in named.get(reference, ()))
        shown = " → ".join(cycle if len(cycle) <= _SHOWN else [*cycle[: _SHOWN - 1], "…", cycle[-1]])
        alone = row.id == need
        told = f"{row.id} needs itself" if alone else "these wait for each other"
        several = alone and references(row)[index] != row.id
        hint = "name its other rows one by one" if several else "remove it" if alone else "remove one of these needs"
        message = f"needs: {told}: {shown}"
        yield problem(Placed(manifest, row), ("needs", index), message, code=Code.NEEDS_CYCLE, hint=hint)


def _circles(needs: Mapping[str, tuple[str, ...]]) -> Iterator[list[str]]:
    """Cycles, each beginning with the row whose need closes it; at least one of each group that waits for itself."""
    state: dict[str, bool] = {}  # True: on the way that is walked; False: done
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
            elif state[step]:
                yield [way[-1], *way[way.index(step) :]]

"""Two expanded matrices → the rows that were added, removed and changed, each with its cause. Needs no variable."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, cast

from msgspec.structs import asdict, replace

from qarunner.decode import Json, as_mapping
from qarunner.entry import BY_NAME, Entry, Retries, SelectionKind
from qarunner.known import holds_template
from qarunner.manifest.expand import place_of
from qarunner.manifest.load import entry_of
from qarunner.manifest.model import BASE, Manifest, Row
from qarunner.manifest.rules import truth
from qarunner.plan.cost import Counted, cost_of, prices_of
from qarunner.plan.guard import grouped
from qarunner.review import reasons as causes
from qarunner.review.fields import Fields, fields_of, fields_of_settings, flat, meaning, meant, written_fields
from qarunner.review.model import Change, Difference, Field, Line, Setting, Side, Size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_RENAMING = frozenset({"name", "description"})
"""Fields that may change with an id without making it another row."""


_OF_ROWS = frozenset({"version", "matrix", "include", "defaults"})
"""What the rows themselves show."""


def beyond(difference: Difference, plain: Difference) -> Difference:
    """What differs under a profile and does not differ in the same way without one."""
    seen = {"+": {line.id for line in plain.added}, "-": {line.id for line in plain.removed}}
    known = {change.after.id: _meaning(change) for change in plain.changed}
    return replace(
        difference,
        added=tuple(line for line in difference.added if line.id not in seen["+"]),
        removed=tuple(line for line in difference.removed if line.id not in seen["-"]),
        changed=tuple(change for change in difference.changed if known.get(change.after.id) != _meaning(change)),
        settings=tuple(setting for setting in difference.settings if setting not in plain.settings),
    )


def _meaning(change: Change) -> list[tuple[str, Json, Json]]:
    return [(field.path, field.before, field.after) for field in change.fields]


def compare(before: Side | None, after: Side) -> Difference:
    """What changed from one matrix to the other; all of it is new where there was no matrix."""
    old, new = _lines(before), _lines(after)
    common = [name for name in new if name in old]
    renamed = _renames([old[name] for name in old if name not in new], [new[name] for name in new if name not in old])
    pairs = [(old[name], new[name]) for name in common] + renamed
    position = {name: number for number, name in enumerate(new)}
    pairs.sort(key=lambda pair: position[pair[1].id])
    gone, come = {pair[0].id for pair in pairs}, {pair[1].id for pair in pairs}
    why = causes.Expansion(old.values(), new.values())
    changes = [_change(before, first, after, second) for first, second in pairs] if before is not None else []
    return Difference(
        added=tuple(replace(line, cause=why.added(line)) for line in new.values() if line.id not in come),
        removed=tuple(replace(line, cause=why.removed(line)) for line in old.values() if line.id not in gone),
        changed=tuple(change for change in changes if change.fields),
        settings=_settings(before, after),
        before=size(before),
        after=size(after),
    )


def _lines(side: Side | None) -> dict[str, Line]:
    return {} if side is None else {row.id: _line(side, row) for row in side.rows}


def _line(side: Side, row: Row) -> Line:
    place = place_of(side.manifest, row, ())
    value = side.values.get(row.id, row)
    vendor = str(value.data.get("vendor"))
    fields = fields_of(value) | _named(value, side.evaluated.names.get(vendor, {}))
    fields |= fields_of_settings(vendor, side.settings(vendor))
    tests, listed = tests_of(value)
    return Line(
        id=row.id,
        entry=row.entry_id,
        variant=row.variant,
        axes=row.point,
        vendor=cast("str | None", fields.get("vendor")),
        platform=cast("str | None", fields.get("platform")),
        tests=tests,
        listed=listed,
        origin=replace(place, file=place.file.removeprefix(side.copied_to)),
        row=row,
        value=value,
        fields=fields,
    )


def _named(value: Row, names: Mapping[str, str]) -> Fields:
    """The names of a row, as they are written, and what the lock has behind them: people know no ids."""
    fields: Fields = {}
    for key, written in (value.named or {}).items():
        ids = cast("list[str]", value.data[BY_NAME[key]])
        fields |= {key: list(written), BY_NAME[key]: [f"{names[identifier]} ({identifier})" for identifier in ids]}
    return fields


def _with_names(line: Line, other: Line, others: Side) -> Line:
    """A row that has ids where the other side has names: its ids are shown as that side's lock shows them."""
    names = others.evaluated.names.get(str(other.value.data.get("vendor")), {})
    fields: Fields = {}
    for key in (other.value.named or {}).keys() - (line.value.named or {}).keys():
        if isinstance(ids := line.value.data.get(BY_NAME[key]), list):
            fields[BY_NAME[key]] = [f"{names[str(test)]} ({test})" if str(test) in names else test for test in ids]
    return replace(line, fields=line.fields | fields) if fields else line


def tests_of(row: Row) -> tuple[int, bool]:
    """How many tests a row stands for, and whether it names each of them."""
    estimate, named = row.data.get("estimate"), row.data.get("test_ids")
    if isinstance(estimate, int):
        return estimate, isinstance(named, list)
    for key in (SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS):
        ids = row.data.get(key)
        if isinstance(ids, list):
            return len(ids), key is SelectionKind.TEST_IDS
    return 1, False


# --- renamed rows -----------------------------------------------------------------------------------------------------

_ALIKE = 0.5
"""The part of two rows' fields that has to be equal besides their tests, before one is called the other's new name."""


def _renames(removed: Sequence[Line], added: Sequence[Line]) -> list[tuple[Line, Line]]:
    """Rows of the same tests under another id. Where several could be meant, the variant has to tell."""
    pairs: list[tuple[Line, Line]] = []
    for exact in (True, False):
        taken = {line.id for pair in pairs for line in pair}
        old = _by_tests([line for line in removed if line.id not in taken], exact=exact)
        new = _by_tests([line for line in added if line.id not in taken], exact=exact)
        for tests, first in old.items():
            second = new.get(tests, [])
            if len(first) == len(second) == 1 and _alike(first[0], second[0]):
                pairs.append((first[0], second[0]))
    return pairs


def _by_tests(lines: Iterable[Line], *, exact: bool) -> dict[str, list[Line]]:
    groups: dict[str, list[Line]] = {}
    for line in lines:
        data = line.row.data
        tests = [data.get(key) for key in ("vendor", "platform", *SelectionKind, *BY_NAME)]
        place = [line.variant, dict(line.axes)] if exact else [dict(line.axes)]
        groups.setdefault(json.dumps([place, tests], sort_keys=True), []).append(line)
    return groups


def _alike(before: Line, after: Line) -> bool:
    old, new = written_fields(before.row), written_fields(after.row)
    paths = (old.keys() | new.keys()) - _RENAMING
    return sum(_same(old, new, path) for path in paths) >= _ALIKE * len(paths)


# --- fields -----------------------------------------------------------------------------------------------------------


def _change(before: Side | None, first: Line, after: Side, second: Line) -> Change:
    assert before is not None  # noqa: S101  no pair without two sides
    first, second = _with_names(first, second, after), _with_names(second, first, before)
    field_causes = causes.FieldCauses(before.manifest, first, after.manifest, second, lock=after.lock)
    old, new = meaning(first.fields), meaning(second.fields)
    paths = tuple(dict.fromkeys((*second.fields, *first.fields)))
    same = {path for path in paths if _same(old, new, path)}
    # Names in place of the same ids are another way of writing, as ids in place of names are.
    same |= {key for key, ids in BY_NAME.items() if ids in same and (key in old) != (key in new)}
    fields = [
        field for path in paths if (field := _field(field_causes, path, first, second, same=path in same)) is not None
    ]
    if first.id != second.id:
        renamed = Field(path="id", before=first.id, after=second.id, cause=causes.renamed(first, second))
        # What `{{ matrix.id }}` makes of it is a consequence.
        old, new = written_fields(first.row), written_fields(second.row)
        follows = {path for path in new if _same(old, new, path) and "matrix." in str(new[path])}
        fields = [renamed, *(field for field in fields if field.path not in follows)]
    return Change(before=first, after=second, fields=tuple(fields))


def _field(field_causes: causes.FieldCauses, path: str, first: Line, second: Line, *, same: bool) -> Field | None:
    old, new = causes.presentable(first.fields.get(path)), causes.presentable(second.fields.get(path))
    if not same:
        cause, where = field_causes.cause(path)
        return Field(path=path, before=old, after=new, cause=cause, where=where)
    reads = field_causes.of_values(new) if isinstance(new, str) and holds_template(new) else None
    return Field(path=path, before=old, after=new, cause=reads) if reads else None


def _same(before: Fields, after: Fields, path: str) -> bool:
    """Whether a value is the same, and of the same kind: true is not 1."""
    if (path in before) != (path in after):
        return False
    first, second = before.get(path), after.get(path)
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def _settings(before: Side | None, after: Side) -> tuple[Setting, ...]:
    old, new = _top(before), _top(after)
    first, second = meant(old), meant(new)
    return tuple(
        Setting(path=path, before=causes.presentable(old.get(path)), after=causes.presentable(new.get(path)))
        for path in dict.fromkeys((*new, *old))
        if not _same(first, second, path)
    )


def _top(side: Side | None) -> Fields:
    """What stands at the top and in the base, with the gate that holds: each layer of it and its defaults."""
    if side is None:
        return {}
    manifest = side.manifest
    written = {key: value for key, value in manifest.document.data.items() if key not in _OF_ROWS}
    base = {key: value for key, value in manifest.section((BASE,)).items() if key != "gate"}
    return dict(flat({**written, **({BASE: base} if base else {}), "gate": asdict(manifest.gate)}))


# --- what it costs ----------------------------------------------------------------------------------------------------

_IN_CREATES = ("id", "vendor", "platform", "target", "test_ids", "category_ids", "tags", "artifacts", "options")


def size(side: Side | None) -> Size:
    """Rows, with the tests and create calls of those that can run. Equal templates most likely have equal values."""
    if side is None:
        return Size()
    runs: dict[str, int] = {}
    sketches: dict[str, list[Entry]] = {}
    values = [value for row in side.rows if truth((value := side.values.get(row.id, row)).data.get("if")) is not False]
    for value in values:
        name = str(value.data.get("vendor"))
        sketch = _sketch(side.manifest, value) if name in side.vendors else None
        if sketch is None:
            runs[name] = runs.get(name, 0) + 1
        else:
            sketches.setdefault(name, []).append(sketch)
    for name, entries in sketches.items():
        runs[name] = runs.get(name, 0) + len(grouped(side.vendors[name], entries))
    rows = [_counted(value) for value in values]
    cost = cost_of(prices_of(side.all_settings), runs, rows)
    tests, guessed = sum(row.tests for row in rows), any(row.guess for row in rows)
    return Size(rows=len(side.rows), tests=tests, at_least=guessed, runs=runs, cost=cost)


def _counted(row: Row) -> Counted:
    """A retry that a variable decides is not there: it is no more than that."""
    tests, listed = tests_of(row)
    retries = as_mapping(row.data.get("retries"))
    numbers = (retries.get("failed", Retries().failed), retries.get("infra", Retries().infra))
    estimated = isinstance(row.data.get("estimate"), int)
    return Counted(
        vendor=str(row.data.get("vendor")),
        tests=tests,
        guess=not (listed or estimated),
        retries=sum(number for number in numbers if isinstance(number, int)),
    )


def _sketch(manifest: Manifest, row: Row) -> Entry | None:
    """The entry as far as it decides which create it goes into; None where only a variable tells."""
    data = {key: value for key, value in row.data.items() if key in _IN_CREATES}
    if any(isinstance(data.get(kind), str) for kind in SelectionKind):
        return None
    try:
        return entry_of(manifest, replace(row, data=data), today=date.min)
    except (ValueError, KeyError, TypeError):
        return None

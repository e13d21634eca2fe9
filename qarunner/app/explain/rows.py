"""One row, explained: where each value was written, whether it runs and why, what it sends, gates and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from qarunner.app.choosing import Chosen, Hide, RowFilter, weigh_rows
from qarunner.app.ci import read_build
from qarunner.app.files import find_manifest
from qarunner.app.planning import (
    check_manifest,
    in_environment,
    part_of,
    read_inputs,
    row_filter,
    settings_of,
    values_of,
)
from qarunner.decode import as_mapping
from qarunner.diagnostics import Place, in_order
from qarunner.entry import BY_NAME, Entry, Policy, SelectionKind
from qarunner.errors import ManifestError, NothingSelected, UserError
from qarunner.known import holds_template
from qarunner.manifest.expand import layer_of, place_of, row_problems, spelled
from qarunner.manifest.load import entry_of
from qarunner.manifest.model import BASE, Row
from qarunner.manifest.needs import closure, resolve
from qarunner.manifest.rules import check_quarantines, policy_of
from qarunner.manifest.select import KNOWN_LATER, Shard, parse_shard, select, suggestion
from qarunner.manifest.templates.evaluate import evaluate, with_known
from qarunner.manifest.templates.reads import Read, reads_of
from qarunner.paths import working_folder
from qarunner.plan.capabilities import own_settings
from qarunner.plan.cost import cost_of, counted, prices_of
from qarunner.plan.guard import AdapterBug, adapter_guard, grouped
from qarunner.plan.model import Cost
from qarunner.vendors.api import Call, Metadata, Request, Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from qarunner.app.options import ExplainOptions
    from qarunner.app.planning import CheckedManifest
    from qarunner.diagnostics import Path as Trail
    from qarunner.manifest.templates.env import Values


_HINT = "name an entry of the manifest, or a code such as E204"


_NOT_SHOWN = frozenset({"id", "if", "needs"})
"""Keys that have a line of their own in `explain`."""


class Value(Struct, frozen=True, kw_only=True):
    """A value as it was written, and as it is with what is set; `source` names the layer that it comes from.

    `unknown` has the reasons why it is still a template.
    """

    path: str
    written: object
    value: object
    source: str
    place: Place
    unknown: tuple[str, ...] = ()


class Sent(Struct, frozen=True, kw_only=True):
    """The create call that a row is a part of. `together` are the other rows of it, `uses` what is made before."""

    request: Request
    group: tuple[str, ...]
    """All rows of the call, this one among them."""
    entry: str
    uses: tuple[str, ...]

    @property
    def together(self) -> tuple[str, ...]:
        return tuple(entry for entry in self.group if entry != self.entry)


class Explained(Struct, frozen=True, kw_only=True):
    """All there is to say of a row. `runs` is None where a variable that is not set decides; `reason` says why."""

    row: Row
    place: Place
    runs: bool | None
    reason: str
    values: tuple[Value, ...]
    reads: tuple[Read, ...]
    policy: Policy
    entry: Entry | None
    needs: tuple[str, ...]
    sent: Sent | None
    unsent: str | None
    """Why the request cannot be shown."""
    missing: tuple[str, ...]
    undecided: str | None = None
    """What decides whether it gates and is not known."""
    cost: Cost | None = None
    """What it costs in a run of its own; None without a price."""


class Explaining:
    """A checked manifest, with what is set and chosen."""

    def __init__(
        self,
        checked: CheckedManifest,
        values: Values,
        *,
        wanted: RowFilter,
        metadata: Metadata,
        today: date,
        shard: Shard | None = None,
    ) -> None:
        self._checked = checked
        self._manifest = checked.manifest
        self._values = values
        self._wanted = wanted
        self._selection = wanted.select
        self._metadata = metadata
        self._today = today
        self._written = {row.id: row for row in checked.rows}
        self._needs = resolve(checked.rows)
        known = with_known(checked.manifest, checked.rows, values, *KNOWN_LATER.values())
        self._selected = {row.id for row in select(known, wanted.select)}
        self._profiled = {row.id for row in select(known, checked.manifest.select or [])}
        self._chosen = self._choose(checked.rows, wanted.select)
        self._evaluated = evaluate(checked.manifest, checked.rows, values)
        self._rows = {row.id: row for row in self._evaluated.rows}
        self._entries = {row.id: self._entry(row) for row in self._evaluated.rows}
        self._shard = shard
        self._shards = self._split(shard) if shard is not None else None
        self._choices = {row.id: self._in_shard(row, *self._choice(row)) for row in checked.rows}
        self._groups: dict[tuple[str, tuple[str, ...]], dict[str, tuple[Entry, ...]]] = {}
        self._calls: dict[str, Sent] = {}
        self._indexes: dict[tuple[Trail, tuple[str, ...]], dict[object, int]] = {}

    def row(self, row: Row) -> Explained:
        """ManifestError where what is set does not fit."""
        rendered = self._rows[row.id]
        if problems := in_order(row_problems(self._manifest, rendered, rendered.data)):
            raise ManifestError(problems)
        runs, reason = self._choices[row.id]
        entry = self._entries[row.id]
        sent, unsent = self._sent(row, entry)
        unknown = self._evaluated.unknown.get(row.id, {})
        return Explained(
            row=row,
            place=place_of(self._manifest, row, ()),
            runs=runs,
            reason=reason,
            values=tuple(self._values_of_row(row, rendered)),
            reads=tuple(reads_of(self._manifest, row, self._evaluated, self._values)),
            policy=policy_of(_known(rendered.data), self._today),
            entry=entry,
            needs=self._needs.get(row.id, ()),
            sent=sent,
            unsent=unsent,
            missing=tuple(dict.fromkeys(reason for reasons in unknown.values() for reason in reasons)),
            undecided=next((key for key in ("quarantine", "allow_failure") if (key,) in unknown), None),
            cost=self._cost(entry),
        )

    def _cost(self, entry: Entry | None) -> Cost | None:
        if entry is None:
            return None
        settings = {**self._manifest.vendors, **self._evaluated.vendors}
        return cost_of(prices_of(settings), {entry.vendor: 1}, [counted(entry)])

    # --- where values come from ---------------------------------------------------------------------------------------

    def _values_of_row(self, row: Row, rendered: Row) -> Iterator[Value]:
        for name, value in row.axes:
            where = self._axis(row, name, value)
            for field, part in _leaves(value) if isinstance(value, dict) else [((), value)]:
                shown, place = _dotted(("matrix", name, *field)), self._manifest.document.locate((*where, *field))
                yield Value(path=shown, written=part, value=part, source="axis", place=place)
        unknown = self._evaluated.unknown.get(row.id, {})
        for path, written in self._parts(row):
            yield Value(
                path=_dotted(path),
                written=written,
                value=self._value(rendered, path),
                source=self._source(layer_of(self._manifest, row, path)),
                place=place_of(self._manifest, row, path),
                unknown=tuple(
                    dict.fromkeys(why for inner in unknown if inner[: len(path)] == path for why in unknown[inner])
                ),
            )
        yield from self._taken_away(row)

    def _parts(self, row: Row) -> Iterator[tuple[Trail, object]]:
        """The leaves of a row; the items of a list one by one, where several layers added to it."""
        for path, written in _leaves(row.data):
            items = [((*path, index), item) for index, item in enumerate(written if isinstance(written, list) else ())]
            several = len({layer_of(self._manifest, row, place) for place, _ in items}) > 1
            yield from items if several else [(path, written)]

    def _taken_away(self, row: Row) -> Iterator[Value]:
        """Keys that a layer takes away from those below it."""
        for layer in row.layers:
            for key, value in as_mapping(self._manifest.document.at(layer)).items():
                path = (*layer, key)
                if value is None and key not in row.data and layer_of(self._manifest, row, (key,)) == layer:
                    place = self._manifest.document.locate(path)
                    yield Value(path=key, written=None, value=None, source=self._source(layer), place=place)

    def _axis(self, row: Row, name: str, value: object) -> Trail:
        """Where the value of an axis stands: in the axis itself, or in a combination that was added."""
        whole = self._list_of(row, ("axes", name))
        index = self._places(whole, ()).get(_mark(value, ()))
        if index is not None and self._manifest.document.at((*whole, index)) == value:
            return (*whole, index)
        whole, names = self._list_of(row, ("include",)), tuple(other for other, _ in row.axes)
        index = self._places(whole, names).get(_mark(dict(row.axes), names))
        return whole if index is None else (*whole, index, name)

    def _list_of(self, row: Row, path: Trail) -> Trail:
        return (*layer_of(self._manifest, row, path), *path)

    def _places(self, whole: Trail, names: tuple[str, ...]) -> Mapping[object, int]:
        """Where each item of a list stands first, by its mark. Made once: an entry may have thousands of rows."""
        if (whole, names) not in self._indexes:
            listed = self._manifest.document.at(whole)
            items = listed if isinstance(listed, list) else []
            self._indexes[whole, names] = {_mark(items[at], names): at for at in reversed(range(len(items)))}
        return self._indexes[whole, names]

    def _value(self, rendered: Row, path: Trail) -> object:
        """A value as it is sent; of names, with their ids."""
        key = str(path[0])
        if key not in (rendered.named or {}):
            return _at(rendered.data, path)
        known = self._evaluated.names.get(str(rendered.data.get("vendor")), {})
        ids = rendered.data[BY_NAME[key]]
        return [f"{known.get(identifier)} ({identifier})" for identifier in ids] if isinstance(ids, list) else ids

    def _source(self, layer: Trail) -> str:
        match layer:
            case ("base", section, *rest):
                return ", ".join([BASE, *map(str, rest[:1] if section != "defaults" else ())])
            case ("profiles", name, *_):
                return f"profile {name}"
            case ("vendors", name, "defaults"):
                return f"defaults of {name}"
            case ("defaults",):
                return "defaults"
            case (*_, "variants", name):
                return f"variant {name}"
            case _:
                return "entry"

    # --- whether it runs ----------------------------------------------------------------------------------------------

    def _choice(self, row: Row) -> tuple[bool | None, str]:
        """As `apply` would choose with the same options."""
        profile = self._manifest.select
        if profile and row.id not in self._profiled:
            return False, f"profile {self._manifest.profile} chooses {' or '.join(profile)} alone"
        named, chosen = row.id in self._selected, self._chosen
        if isinstance(chosen, ManifestError) and named:
            # Some row's condition cannot be computed: without rows that have nothing to do with this one.
            chosen = self._choose([self._written[other] for other in closure([row.id], self._needs)], ())
        match chosen:
            case ManifestError(diagnostics=problems) if named:
                return None, f"a condition decides, and {problems[0].message}"
            case Chosen(planned=planned) if row.id in planned:
                return True, self._asked() if named else f"{planned[row.id]} needs it"
            case Chosen(reasons=reasons) if row.id in reasons:
                return False, reasons[row.id]
            case _:
                return False, self._unasked(row)

    def _split(self, shard: Shard) -> Mapping[str, int] | None:
        """The number of each row's shard; None where what is not set decides which rows run, or how many tests."""
        if not isinstance(self._chosen, Chosen):
            return None
        entries: list[Entry] = []
        for row, needs in ((row, self._chosen.needs.get(row, ())) for row in self._chosen.planned):
            if (entry := self._entries[row]) is None:
                return None
            entries.append(replace(entry, needs=needs))
        return part_of(shard, entries, 1).shards

    def _in_shard(self, row: Row, runs: bool | None, reason: str) -> tuple[bool | None, str]:  # noqa: FBT001  passed on
        """What of a row's choice is left in this shard."""
        if self._shard is None or runs is False:
            return runs, reason
        if self._shards is None or row.id not in self._shards:
            return None, f"{reason}; which shard runs it depends on what is not set"
        number = self._shards[row.id]
        if number != self._shard.index:
            return False, f"shard {number}/{self._shard.count} runs it"
        return runs, f"{reason}; it is in shard {self._shard}"

    def _choose(self, rows: Sequence[Row], expressions: Sequence[str]) -> Chosen | UserError:
        try:
            return weigh_rows(self._manifest, rows, replace(self._wanted, select=expressions), self._values)
        except (NothingSelected, ManifestError) as error:
            return error

    def _asked(self) -> str:
        return f"--select {' or '.join(self._selection)}" if self._selection else "nothing leaves it out"

    def _unasked(self, row: Row) -> str:
        earlier = self._wanted.earlier
        if earlier is not None and row.id not in earlier.failed:
            return f"it passed in run {earlier.run_id}" if row.id in earlier.passed else f"not in run {earlier.run_id}"
        return f"--select {' or '.join(self._selection)} does not name it"

    # --- what it sends ------------------------------------------------------------------------------------------------

    def _entry(self, rendered: Row) -> Entry | None:
        """The row as adapters see it; None if a variable decides on a value of a closed set, or on a name."""
        data = _known(rendered.data)
        selections = [data.get(kind) for kind in SelectionKind]
        closed = (data.get("platform"), *selections, *(item.get("strategy") for item in _artifacts(data)))
        if any(isinstance(item, str) and holds_template(item) for item in closed) or BY_NAME.keys() & data.keys():
            return None
        if any(row_problems(self._manifest, rendered, rendered.data)):
            return None
        needs = self._needs.get(rendered.id, ())
        return entry_of(self._manifest, replace(rendered, data=data), today=self._today, needs=needs)

    def _sent(self, row: Row, entry: Entry | None) -> tuple[Sent | None, str | None]:
        if entry is None:
            return None, "a variable that is not set decides what is sent"
        vendor = self._checked.vendors[entry.vendor]
        try:
            return replace(self._call(vendor, self._group_of(vendor, row, entry)), entry=row.id), None
        except (AdapterBug, UserError) as error:
            # Adapters are made for what is rendered: a template where a number belongs can be too much.
            return None, f"it cannot be made from templates: {error}"

    def _call(self, vendor: Vendor, group: tuple[Entry, ...]) -> Sent:
        """The create of a group. It is made once, however many rows ask for it."""
        ids = tuple(member.id for member in group)
        if ids[0] not in self._calls or self._calls[ids[0]].group != ids:
            settings = settings_of(self._evaluated.vendors, {vendor.info.name: vendor}, self._values.env)
            call = Call(entries=group, settings=own_settings(settings[vendor.info.name]), metadata=self._metadata)
            with adapter_guard(vendor, "submit"):
                request = vendor.submit(call)
            with adapter_guard(vendor, "resources"):
                uses = tuple(f"{need.kind} {need.path or ''}".rstrip() for need in vendor.resources(call))
            self._calls[ids[0]] = Sent(request=request, group=ids, entry=ids[0], uses=uses)
        return self._calls[ids[0]]

    def _group_of(self, vendor: Vendor, row: Row, entry: Entry) -> tuple[Entry, ...]:
        """The rows that share a call with this one; a row that does not run is alone."""
        if self._choices[row.id][0] is False:
            return next(map(tuple, grouped(vendor, [entry])))
        key = entry.vendor, self._needs.get(row.id, ())
        if key not in self._groups:
            alike = (
                other
                for other in self._entries.values()
                if other is not None
                and (other.vendor, self._needs.get(other.id, ())) == key
                and self._choices[other.id][0] is not False
            )
            groups = map(tuple, grouped(vendor, list(alike)))
            self._groups[key] = {other.id: group for group in groups for other in group}
        return self._groups[key][row.id]


def _leaves(data: Mapping[str, object], above: Trail = ()) -> Iterator[tuple[Trail, object]]:
    for key, value in data.items():
        path = (*above, key)
        if path[0] in _NOT_SHOWN or path[0] in {"axes", "exclude", "variants"}:
            continue
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


def _mark(item: Any, names: tuple[str, ...]) -> object:  # noqa: ANN401  a value of an axis, or a combination of some
    """What tells a value of an axis from the others; with `names`, a combination that has all of them."""
    if not names:
        return type(item), spelled(item)
    return tuple(spelled(item[name]) for name in names) if all(name in item for name in names) else None


def _dotted(path: Trail) -> str:
    return ".".join(map(str, path))


def _at(data: object, path: Trail) -> object:
    """The value at a path; None where it leads nowhere."""
    for step in path:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int):
            data = data[step]
    return data


def _known(data: Mapping[str, object]) -> dict[str, object]:
    """A row without what decides on numbers and is still a template: there the usual value is shown."""
    known = {
        key: value
        for key, value in data.items()
        if not (key in {"timeout", "estimate", "allow_failure"} and isinstance(value, str) and holds_template(value))
    }
    retries = known.get("retries")
    if isinstance(retries, dict):
        known["retries"] = {key: value for key, value in retries.items() if not isinstance(value, str)}
    return known


def _artifacts(data: Mapping[str, object]) -> list[Mapping[str, object]]:
    artifacts = data.get("artifacts")
    return [item for item in artifacts if isinstance(item, dict)] if isinstance(artifacts, list) else []


def explain_rows(options: ExplainOptions, environ: Mapping[str, str], *, hide: Hide) -> list[Explained]:
    """The rows that an id or glob names, as `apply` with these options takes them. UserError if no row has the name."""
    explaining, rows = _explaining(options, environ, hide)
    word = options.word
    chosen = [row for row in rows if row.id == word] or select(rows, [word])
    if not chosen:
        raise UserError(f"no entry is called {word!r}", hint=suggestion(rows, word) if rows else _HINT)
    return [explaining.row(row) for row in chosen]


def _explaining(options: ExplainOptions, environ: Mapping[str, str], hide: Hide) -> tuple[Explaining, tuple[Row, ...]]:
    path = find_manifest(options.file)
    shard = parse_shard(options.shard) if options.shard is not None else None
    inputs = read_inputs(options, environ)
    checked = check_manifest(path, environ, options.profile, hide=hide)
    build = read_build(environ, working_folder(), branch=options.branch, tag=options.tag)
    values, problems = values_of(checked, inputs, environ, build, hide)
    quarantines = check_quarantines(checked.manifest, checked.evaluated.rows, options.today)
    if wrong := in_order([*checked.problems, *quarantines.errors, *problems]):
        raise ManifestError(wrong)
    explaining = Explaining(
        replace(checked, manifest=in_environment(checked.manifest, checked.vendors, values.env)),
        values,
        wanted=row_filter(path, options, values.env, inputs, build.sha),
        metadata=build.metadata,
        today=options.today,
        shard=shard,
    )
    return explaining, checked.rows

"""One row, explained: where each value was written, whether it runs and why, what it sends, gates and costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qarunner.cli.choosing import Chosen, choose_rows
from qarunner.cli.prepare import settings_of
from qarunner.diagnostics import Place, in_order
from qarunner.entry import Entry, Policy
from qarunner.errors import ManifestError, NothingSelected, UserError
from qarunner.manifest.bind import entry_of
from qarunner.manifest.expand import deciding_layer, locate, row_problems
from qarunner.manifest.expression import holds_template
from qarunner.manifest.model import Row
from qarunner.manifest.needs import closure, resolve
from qarunner.manifest.partly import Partly
from qarunner.manifest.policy import policy_of
from qarunner.manifest.select import select
from qarunner.plan.blame import AdapterBug, blamed, grouped
from qarunner.plan.check import own_settings
from qarunner.vendors.api import Call, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from qarunner.cli.choosing import Wanted
    from qarunner.cli.prepare import Checked
    from qarunner.diagnostics import Path as Trail
    from qarunner.manifest.variables import Values
    from qarunner.vendors.api import Metadata

_UNTOLD = frozenset({"id", "if", "needs"})
"""Keys that are told apart from the values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value as it was written, and as it is with what is set; `source` names the layer that it comes from."""

    path: str
    written: object
    value: object
    source: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The create call that a row is a part of. `together` are the rows that share it, `uses` what is made before."""

    request: Request
    together: tuple[str, ...]
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """All there is to say of a row. `runs` is None where a variable that is not set decides; `reason` says why."""

    row: Row
    place: Place
    runs: bool | None
    reason: str
    values: tuple[Value, ...]
    policy: Policy
    entry: Entry | None
    needs: tuple[str, ...]
    sent: Sent | None
    unsent: str | None
    """Why the request cannot be shown."""
    missing: tuple[str, ...]


class Explaining:
    """A checked manifest, with what is set and chosen."""

    def __init__(
        self,
        found: Checked,
        values: Values,
        *,
        wanted: Wanted,
        environ: Mapping[str, str],
        metadata: Metadata,
        today: date,
    ) -> None:
        self._found = found
        self._manifest = found.manifest
        self._values = values
        self._wanted = wanted
        self._selection = wanted.select
        self._environ = environ
        self._metadata = metadata
        self._today = today
        self._partly = Partly(found.manifest, values)
        self._needs = resolve(found.rows)
        self._selected = select(found.rows, wanted.select)
        self._chosen = self._choose(found.rows, wanted.select)

    def row(self, row: Row) -> Explained:
        """ManifestError where what is set does not fit."""
        rendered = self._partly.row(row)
        if problems := in_order(row_problems(self._manifest, rendered, rendered.data)):
            raise ManifestError(problems)
        runs, reason = self._choice(row)
        entry = self._entry(rendered)
        sent, unsent = self._sent(row, entry)
        return Explained(
            row=row,
            place=locate(self._manifest, row, ()),
            runs=runs,
            reason=reason,
            values=tuple(self._told(row, rendered)),
            policy=policy_of(_known(rendered.data), self._today),
            entry=entry,
            needs=self._needs.get(row.id, ()),
            sent=sent,
            unsent=unsent,
            missing=tuple(self._partly.missing(rendered.data)),
        )

    # --- where values come from ---------------------------------------------------------------------------------------

    def _told(self, row: Row, rendered: Row) -> Iterator[Value]:
        for name, value in row.axes:
            path: Trail = ("axes", name)
            layer = deciding_layer(self._manifest, row, path)
            place = self._manifest.document.locate((*layer, *path, self._position((*layer, *path), value)))
            yield Value(path=f"matrix.{name}", written=value, value=value, source="axis", place=place)
        for path, written in _leaves(row.data):
            yield Value(
                path=_dotted(path),
                written=written,
                value=_at(rendered.data, path),
                source=self._source(deciding_layer(self._manifest, row, path)),
                place=locate(self._manifest, row, path),
            )

    def _position(self, path: Trail, value: object) -> int:
        listed = _at(self._manifest.document.data, path)
        values = listed if isinstance(listed, list) else []
        return next((n for n, each in enumerate(values) if type(each) is type(value) and each == value), 0)

    def _source(self, layer: Trail) -> str:
        match layer:
            case ("profiles", name, *_):
                return f"profile {name}"
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
        if profile and row not in select(self._found.rows, profile):
            return False, f"profile {self._manifest.profile} chooses {' or '.join(profile)} alone"
        named = row in self._selected
        match self._chosen:
            case Chosen() as chosen:
                if row.id in {each.id for each in chosen.rows}:
                    return True, self._why(chosen, row) if not named else self._asked()
                reason = next((each.reason for each in chosen.left_out if each.row == row.id), None)
                return False, reason or self._unasked(row)
            case NothingSelected(details=details):
                own = next((line for line in details if line.startswith(f"{row.id}: ")), None)
                return False, own.partition(": ")[2] if own else self._unasked(row)
            case _:
                return self._alone(row) if named else (False, self._unasked(row))

    def _choose(self, rows: Sequence[Row], expressions: Sequence[str]) -> Chosen | UserError:
        try:
            return choose_rows(self._manifest, rows, replace(self._wanted, select=expressions), self._values)
        except (NothingSelected, ManifestError) as error:
            return error

    def _alone(self, row: Row) -> tuple[bool | None, str]:
        """Where some row's condition cannot be computed: without rows that have nothing to do with this one."""
        wide = closure([row.id], self._needs)
        match self._choose([each for each in self._found.rows if each.id in wide], ()):
            case Chosen(rows=rows) if row.id in {each.id for each in rows}:
                return True, self._asked()
            case NothingSelected(details=details) if details:
                return False, details[0].partition(": ")[2]
            case ManifestError(diagnostics=problems):
                return None, f"a condition decides, and {problems[0].message}"
            case _:
                return False, "something that it needs is not planned"

    def _why(self, chosen: Chosen, row: Row) -> str:
        start = f"{row.id} is included: "
        return next((each.removeprefix(start) for each in chosen.remarks if each.startswith(start)), "it is needed")

    def _asked(self) -> str:
        return f"--select {' or '.join(self._selection)}" if self._selection else "nothing leaves it out"

    def _unasked(self, row: Row) -> str:
        earlier = self._wanted.earlier
        if earlier is not None and row.id not in earlier.failed:
            return f"it passed in run {earlier.run_id}" if row.id in earlier.passed else f"not in run {earlier.run_id}"
        return f"--select {' or '.join(self._selection)} does not name it"

    # --- what it sends ------------------------------------------------------------------------------------------------

    def _entry(self, rendered: Row) -> Entry | None:
        """The row as adapters see it; None where a variable decides on something of which there is a closed set."""
        data = _known(rendered.data)
        closed = (data.get("platform"), *(each.get("strategy") for each in _artifacts(data)))
        if any(isinstance(each, str) and holds_template(each) for each in closed):
            return None
        if any(row_problems(self._manifest, rendered, rendered.data)):
            return None
        needs = self._needs.get(rendered.id, ())
        return entry_of(self._manifest, replace(rendered, data=data), today=self._today, needs=needs)

    def _sent(self, row: Row, entry: Entry | None) -> tuple[Sent | None, str | None]:
        if entry is None:
            return None, "a variable that is not set decides what is sent"
        name = entry.vendor
        vendor = self._found.vendors[name]
        rows = [each for each in self._found.rows if each.data.get("vendor") == name and self._runs_beside(each, row)]
        entries = [entry if each is row else self._entry(self._partly.row(each)) for each in rows]
        settings = settings_of(
            {name: self._partly.mapping(self._manifest.vendors.get(name, {}), {})}, {name: vendor}, self._environ
        )
        try:
            groups = grouped(vendor, [each for each in entries if each is not None])
            group = next(group for group in groups if entry in group)
            call = Call(entries=group, settings=own_settings(settings[name]), metadata=self._metadata)
            with blamed(vendor, "submit"):
                request = vendor.submit(call)
            with blamed(vendor, "resources"):
                uses = tuple(f"{need.kind} {need.path or ''}".rstrip() for need in vendor.resources(call))
        except (AdapterBug, UserError) as error:
            # Adapters are made for what is rendered: a template where a number belongs can be too much.
            return None, f"it cannot be made from templates: {error}"
        together = tuple(each.id for each in group if each.id != row.id)
        return Sent(request=request, together=together, uses=uses), None

    def _runs_beside(self, other: Row, row: Row) -> bool:
        """Whether two rows can share a call: what needs something waits in a call of its own."""
        if other is row:
            return True
        alike = self._needs.get(other.id, ()) == self._needs.get(row.id, ())
        return alike and self._choice(other)[0] is not False and self._choice(row)[0] is not False


def _leaves(data: Mapping[str, object], above: Trail = ()) -> Iterator[tuple[Trail, object]]:
    for key, value in data.items():
        path = (*above, key)
        if path[0] in _UNTOLD or path[0] in {"axes", "exclude", "variants"}:
            continue
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


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
    found = {
        key: value
        for key, value in data.items()
        if not (key in {"timeout", "estimate", "allow_failure"} and isinstance(value, str) and holds_template(value))
    }
    retries = found.get("retries")
    if isinstance(retries, dict):
        found["retries"] = {key: value for key, value in retries.items() if not isinstance(value, str)}
    return found


def _artifacts(data: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = data.get("artifacts")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

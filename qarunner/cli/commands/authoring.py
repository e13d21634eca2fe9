"""`init` and `explain`: the first manifest, the page of a code, and one entry from its lines to its request."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.app.choosing import Chosen, choose_rows
from qarunner.app.files import find_manifest, lock_of, read_lock
from qarunner.app.planning import settings_of
from qarunner.decode import as_mapping
from qarunner.diagnostics import Place, choose, in_order
from qarunner.entry import BY_NAME, Entry, Policy, SelectionKind
from qarunner.errors import ExitCode, ManifestError, NothingSelected, UserError
from qarunner.known import holds_template
from qarunner.manifest.expand import layer_of, place_of, row_problems, spelled
from qarunner.manifest.load import entry_of
from qarunner.manifest.model import BASE, Row
from qarunner.manifest.rules import closure, policy_of, resolve
from qarunner.manifest.schema import validate as published
from qarunner.manifest.select import KNOWN_LATER, select
from qarunner.manifest.templates.evaluate import evaluate, with_known
from qarunner.manifest.templates.reads import Read, reads_of
from qarunner.paths import MANIFEST_NAMES, create, working_folder, write_whole
from qarunner.plan.capabilities import own_settings
from qarunner.plan.cost import cost_of, counted, is_guess, money_data, prices_of, tests_of, with_retries
from qarunner.plan.guard import AdapterBug, adapter_guard, grouped
from qarunner.plan.model import Cost
from qarunner.text import duration, styled
from qarunner.vendors import registry
from qarunner.vendors.api import Call, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from qarunner.app.choosing import RowFilter
    from qarunner.app.options import EmulatorOptions, ExplainOptions, InitOptions, SchemaOptions
    from qarunner.app.planning import CheckedManifest
    from qarunner.cli.console import Console
    from qarunner.diagnostics import Path as Trail
    from qarunner.entry import NameKind
    from qarunner.manifest.templates.env import Values
    from qarunner.text import Line
    from qarunner.vendors.api import Metadata, Vendor
    from qarunner.vendors.types import Starter


# ---------------------------------------------------------------------------------------------------------------------

# The page of each code: docs/errors.md, shipped with the package, so that it is at hand offline.


_NAME = "errors.md"


_HEADING = re.compile(r"^## ([EW][0-9]{3})$", re.MULTILINE)


_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")


_INTRODUCED = {"yaml": "Such as:", "console": "", "diff": "Put right:"}


CODE = re.compile(r"[EWew][0-9]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a code means, an example that has it, and how the example is put right. `text` is Markdown."""

    code: str
    title: str
    text: str

    def block(self, language: str) -> str | None:
        """The first block of code in a language, with a line end after each line."""
        return next((body for marked, body in _BLOCK.findall(self.text) if marked == language), None)


def source() -> str:
    """All pages, as Markdown: inside the package, or in the docs of a source checkout."""
    shipped = Path(__file__).parents[1] / _NAME
    return (shipped if shipped.exists() else Path(__file__).parents[3] / "docs" / _NAME).read_text(encoding="utf-8")


def pages() -> dict[str, Page]:
    """The pages by their codes, in the order of the file."""
    _, *parts = _HEADING.split(source())
    return {
        code: Page(code=code, title=text.strip().partition("\n")[0], text=text.strip())
        for code, text in zip(parts[::2], parts[1::2], strict=True)
    }


def plain(page: Page) -> Iterator[str]:
    """A page's lines for a terminal: blocks are indented, and nothing of Markdown is left but back quotes."""
    body = _LINK.sub(r"\1", page.text.partition("\n")[2].lstrip("\n"))
    yield f"{page.code}: {page.title}"
    yield ""
    indent = ""
    for line in body.splitlines():
        if line.startswith("```"):
            introduction = "" if indent else _INTRODUCED.get(line[3:].partition(" ")[0], "")
            indent = "" if indent else "    "
            if introduction:
                yield from (introduction, "")
        else:
            yield f"{indent}{line}".rstrip()


# ---------------------------------------------------------------------------------------------------------------------

# `init`: a first manifest for the chosen vendors, over no other one, and the schema that editors check it with.


_SCHEMA = "qa-matrix.schema.json"


_FIRST_LINES = f"# yaml-language-server: $schema=./{_SCHEMA}\nversion: 1\n"


_HEAD = f"""{_FIRST_LINES}name: {{name}}

env:                                    # the only environment variables that templates can read
  STAGING_URL: {{{{ format: uri }}}}          # its value: QARUNNER_VAR_STAGING_URL, or --env STAGING_URL

"""


def init(console: Console, environ: Mapping[str, str], options: InitOptions) -> ExitCode:
    """Writes both files into this folder. UserError where a manifest is already there, or for a vendor of plugins."""
    folder = Path()
    there = next((folder / name for name in MANIFEST_NAMES if (folder / name).exists()), None)
    if there is not None:
        raise UserError(f"{there.as_posix()} is already there", hint="remove it first; nothing is overwritten")
    path = folder / MANIFEST_NAMES[0]
    if options.from_vendor is not None:
        return _init_from_vendor(console, environ, options, path)
    starters = {name: text for name in registry.names_builtin() if (text := registry.get(name).info.starter)}
    chosen = tuple(dict.fromkeys(options.vendor))
    for name in chosen:
        if name not in starters:
            raise UserError(f"--vendor: there is no starter for {name!r}", hint=choose(name, tuple(starters)))
    if not chosen:
        raise UserError("init: choose a vendor", hint=f"--vendor NAME, repeatable: {', '.join(starters)}")
    _write_first(console, path, starter(_name(folder), [starters[name] for name in chosen]))
    keys = ", ".join(registry.get(name).info.key_env for name in chosen)
    console.note(
        f"next: put your ids in, set QARUNNER_VAR_STAGING_URL and {keys}, then `qarunner validate` and `qarunner plan`"
    )
    return ExitCode.OK


def _write_first(console: Console, path: Path, text: str) -> None:
    try:
        create(path, text.encode())
        write_whole(path.with_name(_SCHEMA), published.for_editors().encode())
    except OSError as error:
        raise UserError(f"{path.as_posix()}: cannot be written: {error.strerror}") from error
    console.result(f"{path.as_posix()}: written, with {_SCHEMA} for editors")


def _init_from_vendor(console: Console, environ: Mapping[str, str], options: InitOptions, path: Path) -> ExitCode:
    """Entries with names, and the lock with their ids: a manifest that can be planned as it stands."""
    from qarunner.app.inventory import first_manifest
    from qarunner.app.options import LockOptions
    from qarunner.cli.commands.tools import lock

    if options.vendor:
        raise UserError("init: --vendor and --from-vendor exclude each other", hint="give one of them")
    text = first_manifest(_name(path.parent), options, environ, hide=console.hide, note=console.note)
    _write_first(console, path, f"{_FIRST_LINES}{text}")
    lock(console, environ, LockOptions(files=(path,), env_file=options.env_file))
    console.note("next: `qarunner plan`; what shall not run, take out, then `qarunner lock`")
    return ExitCode.OK


def schema(console: Console, _: Mapping[str, str], options: SchemaOptions) -> ExitCode:
    form = published.plain if options.plain else published.for_editors
    if options.fragment and options.base:
        raise UserError("--fragment does not go with --base", hint="each prints one schema")
    names = _locked_names(options.file) if options.with_lock else {}
    console.json(form(fragment=options.fragment, base=options.base, names=names))
    return ExitCode.OK


def _locked_names(file: Path | None) -> dict[NameKind, dict[str, str]]:
    """What can be completed: all names of a manifest's lock, each with its vendor and id. UserError without a lock."""
    path = find_manifest(file)
    lock = read_lock(path)
    if lock is None:
        raise UserError(f"--with-lock: there is no {lock_of(path).as_posix()}", hint="qarunner lock writes it")
    by_kind: dict[NameKind, dict[str, str]] = {}
    for scope, names in lock.names.items():
        for name, items in names.items():
            known = by_kind.setdefault(scope.kind, {})
            known.setdefault(name, f"{', '.join(items)} at {scope.vendor}")
            for identifier, locked_name in items.items():
                known.setdefault(locked_name, f"{identifier} at {scope.vendor}")
    return {kind: dict(sorted(known.items())) for kind, known in by_kind.items()}


def emulator(_: Console, __: Mapping[str, str], options: EmulatorOptions) -> int:
    from qarunner.app.session import run_emulator

    return run_emulator(options)


def starter(name: str, starters: Sequence[Starter]) -> str:
    """A manifest that is valid as it stands."""
    settings = "".join(part.settings for part in starters)
    middle = f"vendors:                                # settings, never credentials\n{settings}\n" if settings else ""
    entries = "\n".join(part.entry for part in starters)
    return f"{_HEAD.format(name=name)}{middle}defaults: {{ timeout: 30m }}\n\nmatrix:\n{entries}"


def _name(folder: Path) -> str:
    """The folder's name, where it can stand in YAML without quotes."""
    name = folder.resolve().name
    plain = name.isascii() and name[:1].isalpha() and name.replace("-", "").replace("_", "").isalnum()
    return name if plain and name.lower() not in {"true", "false", "null"} else "my-app"


# ---------------------------------------------------------------------------------------------------------------------

# One row, explained: where each value was written, whether it runs and why, what it sends, gates and costs.


_NOT_SHOWN = frozenset({"id", "if", "needs"})
"""Keys that have a line of their own in `explain`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value as it was written, and as it is with what is set; `source` names the layer that it comes from.

    `unknown` has the reasons why it is still a template.
    """

    path: str
    written: object
    value: object
    source: str
    place: Place
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The create call that a row is a part of. `together` are the other rows of it, `uses` what is made before."""

    request: Request
    group: tuple[str, ...]
    """All rows of the call, this one among them."""
    entry: str
    uses: tuple[str, ...]

    @property
    def together(self) -> tuple[str, ...]:
        return tuple(entry for entry in self.group if entry != self.entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
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
        environ: Mapping[str, str],
        metadata: Metadata,
        today: date,
    ) -> None:
        self._checked = checked
        self._manifest = checked.manifest
        self._values = values
        self._wanted = wanted
        self._selection = wanted.select
        self._environ = environ
        self._metadata = metadata
        self._today = today
        self._written = {row.id: row for row in checked.rows}
        self._needs = resolve(checked.rows)
        known = with_known(checked.manifest, checked.rows, values, *KNOWN_LATER.values())
        self._selected = {row.id for row in select(known, wanted.select)}
        self._profiled = {row.id for row in select(known, checked.manifest.select or [])}
        chosen = self._choose(checked.rows, wanted.select)
        self._chosen = {row.id for row in chosen.rows} if isinstance(chosen, Chosen) else frozenset()
        self._remarks = _before_colons(chosen.remarks) if isinstance(chosen, Chosen) else {}
        self._reasons = _reasons(chosen)
        self._evaluated = evaluate(checked.manifest, checked.rows, values)
        self._rows = {row.id: row for row in self._evaluated.rows}
        self._choices = {row.id: self._choice(row) for row in checked.rows}
        self._entries = {row.id: self._entry(row) for row in self._evaluated.rows}
        self._groups: dict[tuple[str, tuple[str, ...]], dict[str, tuple[Entry, ...]]] = {}
        self._calls: dict[str, Sent] = {}

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
        path: Trail = ("axes", name)
        whole = (*layer_of(self._manifest, row, path), *path)
        listed = self._manifest.document.at(whole)
        for index, item in enumerate(listed if isinstance(listed, list) else ()):
            if type(item) is type(value) and item == value:
                return (*whole, index)
        whole = (*layer_of(self._manifest, row, ("include",)), "include")
        added = self._manifest.document.at(whole)
        for index, item in enumerate(added if isinstance(added, list) else ()):
            if all(name in item and spelled(item[name]) == spelled(other) for name, other in row.axes):
                return (*whole, index, name)
        return whole

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
        named = row.id in self._selected
        if row.id in self._chosen:
            return True, self._asked() if named else self._remarks.get(f"{row.id} is included", "it is needed")
        if self._reasons is None:
            return self._alone(row) if named else (False, self._unasked(row))
        return False, self._reasons.get(row.id) or self._unasked(row)

    def _choose(self, rows: Sequence[Row], expressions: Sequence[str]) -> Chosen | UserError:
        try:
            return choose_rows(self._manifest, rows, replace(self._wanted, select=expressions), self._values)
        except (NothingSelected, ManifestError) as error:
            return error

    def _alone(self, row: Row) -> tuple[bool | None, str]:
        """Where some row's condition cannot be computed: without rows that have nothing to do with this one."""
        match self._choose([self._written[other] for other in closure([row.id], self._needs)], ()):
            case Chosen(rows=rows) if row.id in {other.id for other in rows}:
                return True, self._asked()
            case NothingSelected(details=details) if details:
                return False, details[0].partition(": ")[2]
            case ManifestError(diagnostics=problems):
                return None, f"a condition decides, and {problems[0].message}"
            case _:
                return False, "something that it needs is not planned"

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
            settings = settings_of(self._evaluated.vendors, {vendor.info.name: vendor}, self._environ)
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


def _reasons(chosen: Chosen | UserError) -> Mapping[str, str] | None:
    """Why rows are left out, by id; None where a condition cannot be computed."""
    match chosen:
        case Chosen(left_out=left_out):
            return {missing.row: missing.reason for missing in left_out}
        case NothingSelected(details=details):
            return _before_colons(details)
        case _:
            return None


def _before_colons(lines: Iterable[str]) -> dict[str, str]:
    return {before: after for before, _, after in (line.partition(": ") for line in lines)}


def _leaves(data: Mapping[str, object], above: Trail = ()) -> Iterator[tuple[Trail, object]]:
    for key, value in data.items():
        path = (*above, key)
        if path[0] in _NOT_SHOWN or path[0] in {"axes", "exclude", "variants"}:
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


_WIDEST = 44


_HINT = "name an entry of the manifest, or a code such as E204"


def explain(console: Console, environ: Mapping[str, str], words: ExplainOptions) -> ExitCode:
    """The page of a code, or the rows that an id or glob names. An entry goes before a code of the same name."""
    word = words.word
    if not CODE.fullmatch(word):
        return _explain_rows(console, environ, words)
    if word[0].islower():  # no id has upper-case letters
        try:
            return _explain_rows(console, environ, words)
        except UserError:
            pass
    return explain_code(console, word)


def explain_code(console: Console, word: str) -> ExitCode:
    """Prints the page of a code. UserError if there is none."""
    known = pages()
    page = known.get(word.upper())
    if page is None:
        raise UserError(f"unknown code {word!r}", hint=choose(word.upper(), tuple(known)))
    if console.output == "json":
        data = {"version": 1, "code": page.code, "title": page.title, "text": page.text}
        console.data(data)
        return ExitCode.OK
    first, *rest = plain(page)
    console.result(styled(first, "bold"))
    for line in rest:
        console.result(line)
    return ExitCode.OK


# --- entries ----------------------------------------------------------------------------------------------------------


def _explain_rows(console: Console, environ: Mapping[str, str], words: ExplainOptions) -> ExitCode:
    from qarunner.manifest.select import (
        select,
        suggestion,
    )

    word = words.word
    explaining, rows = _explaining(console, environ, words)
    chosen = [row for row in rows if row.id == word] or select(rows, [word])
    if not chosen:
        raise UserError(f"no entry is called {word!r}", hint=suggestion(rows, word) if rows else _HINT)
    explained_rows = [explaining.row(row) for row in chosen]
    if console.output == "json":
        data = {"version": 1, "entries": [_data(explained) for explained in explained_rows]}
        console.data(data)
        return ExitCode.OK
    shown: dict[str, str] = {}
    for number, explained in enumerate(explained_rows):
        for line in ([""] if number else []) + list(_text(explained, shown)):
            console.result(line)
    return ExitCode.OK


def _explaining(
    console: Console, environ: Mapping[str, str], words: ExplainOptions
) -> tuple[Explaining, tuple[Row, ...]]:
    from qarunner.app import files as inputs
    from qarunner.app.ci import checked_name, read_build
    from qarunner.app.planning import (
        check_manifest,
        in_environment,
        read_inputs,
        row_filter,
        secret_values,
        values_of,
    )

    path = inputs.find_manifest(words.file)
    read = read_inputs(words, environ)
    checked = check_manifest(path, environ, words.profile, hide=console.hide)
    branch, tag = checked_name("--branch", words.branch), checked_name("--tag", words.tag)
    build = read_build(environ, working_folder(), branch=branch, tag=tag)
    facts = build.facts
    values, environ, problems = values_of(checked, read, environ, facts)
    console.hide(secret_values(checked.manifest, environ, values.overrides, values.files, keys=values.credentials))
    if checked.problems or problems:
        raise ManifestError(in_order([*checked.problems, *problems]))
    explaining = Explaining(
        replace(checked, manifest=in_environment(checked.manifest, checked.vendors, environ)),
        values,
        wanted=row_filter(path, words, environ, read, build.sha),
        environ=environ,
        metadata=facts.metadata,
        today=words.today,
    )
    return explaining, checked.rows


def _text(explained: Explained, shown: dict[str, str]) -> Iterator[Line]:
    """`shown`: by the first row of a call, the row below which its request stands already."""
    yield styled(explained.row.id, "bold"), f"  {explained.place}"
    runs = {True: ("runs", "green"), False: ("does not run", "yellow"), None: ("runs or not", "yellow")}[explained.runs]
    yield "  ", styled(*runs), f": {explained.reason}"
    condition = explained.row.data.get("if")
    if condition is not None:
        yield f"  if: {_short(condition)}"
    yield f"  {gate(explained)}"
    for line in needs(explained):
        yield f"  {line}"
    yield f"  cost: {cost(explained)}"
    if explained.missing:
        yield f"  not known, and shown as templates: {'; '.join(explained.missing)}"
    yield ""
    yield from _table(explained.values)
    yield ""
    if explained.reads:
        yield from _reads(explained.reads)
        yield ""
    yield from _request(explained, shown)


def gate(explained: Explained) -> str:
    """Whether the verdict counts for the build, and why."""
    policy = explained.policy
    if explained.undecided is not None:
        return f"gates or not: {explained.undecided} is {explained.row.data[explained.undecided]}"
    if policy.quarantine is not None:
        held = policy.quarantine
        return f"does not gate until {held.until}: in quarantine, {held.reason} ({held.owner})"
    if policy.allow_failure:
        return "does not gate: allow_failure"
    ended = "; its quarantine has ended" if explained.row.data.get("quarantine") else ""
    return f"gates: a failed or blocked test fails the build{ended}"


def needs(explained: Explained) -> Iterator[str]:
    if explained.needs:
        yield f"needs: {', '.join(explained.needs)}; unless they pass it is skipped"


def cost(explained: Explained) -> str:
    """How many tests, how often at most, and for how long."""
    entry, policy = explained.entry, explained.policy
    tests = "unknown" if entry is None else f"{tests_of(entry)}{' or more' if is_guess(entry) else ''}"
    more = [f"{policy.retries.failed} after failed tests"] if policy.retries.failed else []
    more += [f"{policy.retries.infra} after a failure of the vendor"] if policy.retries.infra else []
    again = f"1 run, and at most {' and '.join(more)}" if more else "1 run"
    worth = f"; {with_retries(explained.cost)}" if explained.cost is not None else ""
    return f"{tests} {'test' if tests == '1' else 'tests'}; {again}; at most {duration(policy.timeout_s)} each{worth}"


def _table(values: tuple[Value, ...]) -> Iterator[Line]:
    rows = [(value, _short(value.written)) for value in values]
    path = max((len(value.path) for value, _ in rows), default=0)
    text = min(max((len(shown) for _, shown in rows), default=0), _WIDEST)
    source = max((len(value.source) for value, _ in rows), default=0)
    for value, shown in rows:
        yield f"  {value.path:{path}}  {shown:{text}}  {value.source:{source}}  ", styled(str(value.place), "dim")
        if value.value != value.written:
            yield f"  {'':{path}}  = {json.dumps(value.value, ensure_ascii=False)}"
        if value.unknown:
            yield f"  {'':{path}}  ? {'; '.join(value.unknown)}"


def _reads(reads: tuple[Read, ...]) -> Iterator[Line]:
    rows = [(read, f"? {read.unknown}" if read.unknown else _short(read.value)) for read in reads]
    path = max(len(read.path) for read, _ in rows)
    text = min(max(len(shown) for _, shown in rows), _WIDEST)
    source = max(len(read.source) for read, _ in rows)
    yield "  it reads:"
    for read, shown in rows:
        place = f"  {read.place}" if read.place is not None else ""
        yield f"  {read.path:{path}}  {shown:{text}}  {read.source:{source if place else 0}}", styled(place, "dim")


def _short(value: object) -> str:
    """A value as it can stand in YAML, on one line."""
    text = value if isinstance(value, str) and value.isprintable() and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _request(explained: Explained, shown: dict[str, str]) -> Iterator[Line]:
    if explained.sent is None:
        yield f"  request: {explained.unsent}"
        return
    if (first := shown.setdefault(explained.sent.group[0], explained.row.id)) != explained.row.id:
        yield f"  {explained.sent.request.method} {explained.sent.request.path}  together with {first}, above"
        return
    for need in explained.sent.uses:
        yield f"  before it: {need}"
    together = f"  together with {', '.join(explained.sent.together)}" if explained.sent.together else ""
    yield f"  {explained.sent.request.method} {explained.sent.request.path}{together}"
    for line in json.dumps(explained.sent.request.body, indent=2, ensure_ascii=False, default=str).splitlines():
        yield styled(f"    {line}", "dim")


def _data(explained: Explained) -> dict[str, object]:
    """A row as data; the same keys whatever the row is."""
    row, sent, policy = explained.row, explained.sent, explained.policy
    return {
        "id": row.id,
        "entry": row.entry_id,
        "variant": row.variant,
        "axes": row.point,
        "file": explained.place.file,
        "line": explained.place.line,
        "column": explained.place.column,
        "runs": explained.runs,
        "reason": explained.reason,
        "if": row.data.get("if"),
        "needs": list(explained.needs),
        "gate": {"gating": policy.gating if explained.undecided is None else None, "reason": gate(explained)},
        "cost": _cost_data(explained),
        "missing": list(explained.missing),
        "values": [_value_data(value) for value in explained.values],
        "reads": [_read_data(value) for value in explained.reads],
        "request": None
        if sent is None
        else {
            "method": sent.request.method,
            "path": sent.request.path,
            "body": sent.request.body,
            "together": list(sent.together),
            "uses": list(sent.uses),
        },
    }


def _cost_data(explained: Explained) -> dict[str, object]:
    retries = explained.policy.retries
    return {
        "tests": None if explained.entry is None else tests_of(explained.entry),
        "retries": {"failed": retries.failed, "infra": retries.infra},
        "timeout_s": explained.policy.timeout_s,
        **(money_data(explained.cost) if explained.cost is not None else {}),
    }


def _value_data(value: Value) -> dict[str, object]:
    return {
        "path": value.path,
        "written": value.written,
        "value": value.value,
        "unknown": list(value.unknown),
        "from": value.source,
        "file": value.place.file,
        "line": value.place.line,
        "column": value.place.column,
    }


def _read_data(read: Read) -> dict[str, object]:
    return {
        "path": read.path,
        "value": read.value,
        "unknown": read.unknown,
        "from": read.source,
        "file": read.place.file if read.place else None,
        "line": read.place.line if read.place else None,
        "column": read.place.column if read.place else None,
    }

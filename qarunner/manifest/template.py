"""Templates in the strings of a manifest: checked without any value, then rendered once, from the outside in.

Rendering never changes the structure, and no result is read as a template again.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from qarunner import secret
from qarunner.diagnostics import in_order, problem
from qarunner.errors import ManifestError
from qarunner.manifest import schema
from qarunner.manifest.codes import Code
from qarunner.manifest.computing import Computing
from qarunner.manifest.expand import Placed, Section, row_problems
from qarunner.manifest.expression import Flaw, TemplateFault, as_text, holds_template, parse
from qarunner.manifest.model import Row
from qarunner.manifest.permissions import Permissions, refusal
from qarunner.manifest.scope import IN_ROWS, IN_VARS, IN_VENDORS, Scope, templates_in
from qarunner.manifest.variables import Use, Values, check_key_names, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qarunner.diagnostics import Diagnostic, Locator, Path
    from qarunner.manifest.document import Document
    from qarunner.manifest.expression import Reference
    from qarunner.manifest.model import Manifest

__all__ = ["Rendered", "Values", "answers", "check_templates", "render"]

_Found: TypeAlias = "list[tuple[Path, str]]"
"""Strings with templates, and their paths in what was searched."""

_Container: TypeAlias = "dict[str | int, object]"
"""A mapping, or a list, which a path's step indexes alike."""


# --- without values ---------------------------------------------------------------------------------------------------


def check_templates(manifest: Manifest, rows: Sequence[Row]) -> tuple[Diagnostic, ...]:
    """What is wrong with the templates of these rows and of the sections at the top; no variable needs to be set."""
    if not manifest.templated:
        return ()
    found = [*_check_sections(manifest), *_check_rows(manifest, rows), *_check_keys(manifest, rows)]
    return in_order(found)


def _check_sections(manifest: Manifest) -> Iterator[Diagnostic]:
    for section, data, roots in (("vars", manifest.vars, IN_VARS), ("vendors", manifest.vendors, IN_VENDORS)):
        scope = Scope(manifest, roots)
        for path, text in templates_in(data):
            # A part of vars may be called like this, too.
            literal = section == "vendors" and path[-1] == "api_key_env"
            for flaw in (_NO_NAME,) if literal else scope.flaws(parse(text)):
                yield _placed(Section(manifest, section), path, flaw)
    for path, _ in templates_in(manifest.document.data.get("env")):
        if path and path[-1] not in {"pattern", "description"}:
            yield _placed(manifest.document, ("env", *path), _NO_TEMPLATE)


def _check_keys(manifest: Manifest, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """Keys are never rendered. Only `vars` and `options` have keys that the schema does not know anyway."""
    for path in _keys_in(manifest.vars):
        yield problem(Section(manifest, "vars"), path, _NO_KEY.message, code=_NO_KEY.code, key=True)
    for row in rows:
        for path in _keys_in(row.data.get("options")):
            yield problem(Placed(manifest, row), ("options", *path), _NO_KEY.message, code=_NO_KEY.code, key=True)


def _keys_in(data: object) -> Iterator[Path]:
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, child in children:
        if isinstance(step, str) and holds_template(step):
            yield (step,)
        for path in _keys_in(child):
            yield (step, *path)


_NO_KEY = Flaw(Code.NO_TEMPLATE_HERE, "a key is literal: only values are rendered")
_NO_NAME = Flaw(Code.NO_TEMPLATE_HERE, "the name of a credential is literal: a template cannot choose it")
_NO_TEMPLATE = Flaw(Code.NO_TEMPLATE_HERE, "declarations are literal: no template is rendered here")


def _check_rows(manifest: Manifest, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    scopes: dict[tuple[str, ...], _Answers] = {}
    for row in rows:
        axes = tuple(name for name, _ in row.axes)
        answers = scopes.get(axes)
        if answers is None:
            answers = scopes[axes] = _Answers(Scope(manifest, IN_ROWS, axes))
        for path, text in templates_in(row.data):
            for flaw in answers.of(text):
                yield _placed(Placed(manifest, row), path, flaw)


class _Answers:
    """What is wrong with each text; most texts of a matrix repeat."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._known: dict[str, tuple[Flaw, ...]] = {}

    def of(self, text: str) -> tuple[Flaw, ...]:
        if text not in self._known:
            self._known[text] = tuple(self._scope.flaws(parse(text)))
        return self._known[text]


def _placed(locator: Locator, path: Path, flaw: Flaw) -> Diagnostic:
    return problem(locator, path, flaw.message, code=flaw.code, hint=flaw.hint)


# --- with values ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Rows and vendor settings without templates; secrets stand in them as placeholders.

    `secrets` has the text of those that are used, `env` the values of all used variables, with placeholders for
    secrets. Settings of vendors that no row uses are left out.
    """

    rows: tuple[Row, ...]
    vendors: Mapping[str, Mapping[str, object]]
    secrets: Mapping[str, str]
    env: Mapping[str, object]


def render(manifest: Manifest, rows: Sequence[Row], values: Values) -> Rendered:
    """Puts the values into the rows. ManifestError has every problem.

    Only what these rows use has to be set and allowed: a variable that none of them reads is not looked at.
    """
    early = [*check_templates(manifest, rows), *check_key_names(manifest, values.vendor_keys, values.allow_secrets)]
    job = _Rendering(manifest, rows, values)
    resolved = resolve(manifest, {} if early else job.used_variables(), values)
    _stop_at([*early, *resolved.problems])
    return job.run(Computing(resolved, values))


def answers(manifest: Manifest, rows: Sequence[Row], values: Values, key: str) -> dict[str, object]:
    """By id, the value of a condition, in rows that hold no other key: nothing else has to be set.

    What a build does not have, such as a tag, can be asked for here: it equals nothing.
    """
    if not rows:
        return {}
    job = _Rendering(manifest, rows, values, whole=False)
    resolved = resolve(manifest, job.used_variables(), values)
    _stop_at(resolved.problems)
    return {row.id: row.data[key] for row in job.run(Computing(resolved, values, asking=True)).rows}


def _stop_at(problems: Iterable[Diagnostic]) -> None:
    found = in_order(problems)
    if found:
        raise ManifestError(found)


class _Rendering:
    """One pass over everything that the rows use, collecting problems."""

    def __init__(self, manifest: Manifest, rows: Sequence[Row], values: Values, *, whole: bool = True) -> None:
        look = templates_in if manifest.templated else _nothing_in
        self._whole = whole
        self._manifest = manifest
        self._rows = [(row, look(row.data)) for row in rows]
        self._vendors = {name: look(manifest.vendors[name]) for name in _vendors_of(manifest, rows)}
        # What --var gives is a value, and never a template.
        self._given = {name: text for name, text in values.overrides.items() if name in manifest.vars}
        self._vars = {name: [] if name in self._given else look(value) for name, value in manifest.vars.items()}
        self._permissions = Permissions(values.allow_secrets)
        self._problems: list[Diagnostic] = []

    def used_variables(self) -> dict[str, Use]:
        """The environment variables that are read, each with the first place that does."""
        document = self._manifest.document
        used: dict[str, Use] = {}
        names: dict[str, None] = {}
        for row, found in self._rows:
            self._note(found, Placed(self._manifest, row), (), used, names)
        for vendor, found in self._vendors.items():
            self._note(found, document, ("vendors", vendor), used, names)
        self._vars = {name: self._vars[name] for name in names}
        for name, found in self._vars.items():
            self._note(found, Section(self._manifest, "vars"), (name,), used, {})
        return used

    def _note(self, found: _Found, locator: Locator, above: Path, used: dict[str, Use], names: dict[str, None]) -> None:
        for path, text in found:
            for reference in _references(text):
                if reference.root == "env":
                    used.setdefault(reference.path[0], Use(locator, (*above, *path)))
                elif reference.root == "vars":
                    # A part of `vars` that is chosen by a computed name can be any.
                    names |= dict.fromkeys(reference.path[:1] or self._manifest.vars)

    def run(self, computing: Computing) -> Rendered:
        document = self._manifest.document
        for name, found in self._vars.items():
            own = self._given.get(name, self._manifest.vars[name])
            computing.vars[name] = self._fill(own, found, computing, Section(self._manifest, "vars"), (name,))
        vendors = {
            name: self._fill(self._manifest.vendors[name], found, computing, document, ("vendors", name))
            for name, found in self._vendors.items()
        }
        if not self._problems and any(self._vendors.values()):
            self._problems += _settings_faults(document, vendors)
        _stop_at(self._problems)
        rows = [self._row(row, found, computing) if found else row for row, found in self._rows]
        if computing.secrets:
            self._problems += self._misdirected(rows, vendors)
        _stop_at(self._problems)
        return Rendered(
            rows=tuple(rows),
            vendors=cast("dict[str, Mapping[str, object]]", vendors),
            secrets=computing.secrets,
            env=computing.env,
        )

    def _misdirected(self, rows: Sequence[Row], vendors: Mapping[str, object]) -> Iterator[Diagnostic]:
        """Secrets on their way to somewhere else than the pipeline allows."""
        places: list[tuple[Locator, object]] = [(Placed(self._manifest, row), row.data) for row in rows]
        for locator, data in (*places, (self._manifest.document, {"vendors": vendors})):
            for path, name, where in self._permissions.misdirected(data):
                message, hint = refusal(self._permissions, name, where)
                yield problem(locator, path, message, code=Code.ELSEWHERE, hint=hint)

    def _row(self, row: Row, found: _Found, computing: Computing) -> Row:
        before = len(self._problems)
        data = self._fill(row.data, found, computing, Placed(self._manifest, row), (), row.matrix)
        rendered = Row(row.id, cast("dict[str, object]", data), row.layers, row.path, row.variant, row.axes)
        if self._whole and len(self._problems) == before:
            self._problems += _faults(self._manifest, rendered, computing)
        return rendered

    def _fill(
        self,
        data: object,
        found: _Found,
        computing: Computing,
        locator: Locator,
        above: Path,
        matrix: Mapping[str, object] | None = None,
    ) -> object:
        """Data with its templates replaced by their values; everything else is shared with the original."""
        results: dict[Path, object] = {}
        for path, text in found:
            try:
                value = computing.value(text, matrix or {})
                results[path] = as_text(value) if not above and path[0] in _TEXTS else value
            except TemplateFault as fault:
                self._problems.append(_placed(locator, (*above, *path), fault.flaw))
        return _replaced(data, results)


_TEXTS = frozenset(
    {"name", "description", "labels", "platform", "target", "test_ids", "category_ids", "tags", "artifacts"}
)
"""Keys of rows under which only text can stand: there the number 3 of an axis is the text 3."""


def _nothing_in(_: object) -> _Found:
    return []


def _references(text: str) -> Iterator[Reference]:
    for expression in parse(text).expressions:
        yield from expression.references


def _vendors_of(manifest: Manifest, rows: Sequence[Row]) -> list[str]:
    """Vendors with settings that one of the rows goes to; all of them where a template chooses the vendor."""
    named = {str(row.data.get("vendor")) for row in rows}
    return [name for name in manifest.vendors if name in named or any(map(holds_template, named))]


def _replaced(data: object, results: Mapping[Path, object]) -> object:
    """A copy with new values at these paths. Only what lies on the way to them is copied."""
    copies: dict[Path, _Container] = {}
    for path, value in results.items():
        if not path:
            return value
        parent = _copied(data, path[:-1], copies)
        parent[path[-1]] = value
    return copies.get((), data)


def _copied(data: object, path: Path, copies: dict[Path, _Container]) -> _Container:
    """The copy of the mapping or list at a path, made with those around it where it does not exist yet."""
    if path not in copies:
        original = _copied(data, path[:-1], copies)[path[-1]] if path else data
        copies[path] = copy(cast("_Container", original))
        if path:
            copies[path[:-1]][path[-1]] = copies[path]
    return copies[path]


def _faults(manifest: Manifest, row: Row, computing: Computing) -> Iterator[Diagnostic]:
    """The schema once more, with the values in place. Secrets are masked, as messages quote what they refuse."""
    data = {key: _masked(value, key) for key, value in row.data.items()} if computing.secrets else row.data
    return row_problems(manifest, row, data, templates=False)


def _settings_faults(document: Document, vendors: Mapping[str, object]) -> Iterator[Diagnostic]:
    """The schema knows settings as a part of a manifest alone: here, of one with nothing else in it."""
    masked = {name: _masked(settings, "vendors") for name, settings in vendors.items()}
    data = {"version": 1, "name": "-", "matrix": [{"id": "x"}], "vendors": masked}
    for fault in schema.faults(data, templates=False):
        yield problem(document, fault.path, fault.message, code=fault.code, hint=fault.hint, key=fault.key)


def _masked(value: object, key: str) -> object:
    if isinstance(value, dict):
        return {name: _masked(child, key) for name, child in value.items()}
    if isinstance(value, list):
        return [_masked(child, key) for child in value]
    if not isinstance(value, str):
        return value
    # Where a whole URL is secret, its scheme is as well: the check would miss it.
    unseen = "https://" if key == "target" and value.startswith(secret.OPEN) else ""
    return unseen + secret.mask(value)

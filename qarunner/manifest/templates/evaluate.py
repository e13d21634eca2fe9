"""Templates in a row: checked without any value, then computed once, from the outside in."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, cast

from qarunner import secret
from qarunner.diagnostics import in_order, problem
from qarunner.entry import ENTRY_KEYS
from qarunner.errors import ManifestError
from qarunner.known import Refused, Unknown, holds_template
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import Few, Placed, Section, one_of_each, row_problems
from qarunner.manifest.model import Row
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.templates.env import Resolved, Use, check_key_names, resolve, shaped_like_secret
from qarunner.manifest.templates.expression import (
    LONGEST_TEXT,
    Expression,
    Facts,
    Flaw,
    OutOfSteps,
    Steps,
    TemplateFault,
    as_text,
)
from qarunner.manifest.templates.parse import parse
from qarunner.manifest.templates.scope import IN_ROWS, IN_VARS, IN_VENDORS, Scope, templates_in
from qarunner.manifest.templates.secret_access import misdirected, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qarunner.diagnostics import Diagnostic, Locator, Path
    from qarunner.manifest.model import Manifest
    from qarunner.manifest.templates.env import Values
    from qarunner.manifest.templates.expression import Reference
    from qarunner.manifest.yaml.reader import Document


# ---------------------------------------------------------------------------------------------------------------------

# Values put into strings: each distinct expression is computed once, unless it depends on the row.


_WHOLE = "a secret can be inserted whole, or through urlencode or b64encode"


class Computing:
    """Strings with templates → their values. `vars` gets its own once they are rendered.

    `asking`: conditions are computed, which may ask for facts that this build does not have.
    """

    def __init__(self, resolved: Resolved, values: Values, *, asking: bool = False) -> None:
        self._asking = asking
        self._steps = values.steps
        self.secrets = resolved.secrets
        self.env: Mapping[str, object] = resolved.env
        self.vars: dict[str, object] = {}
        self._context: dict[str, Mapping[str, object]] = {
            "env": resolved.env,
            "vars": self.vars,
            "git": Facts(values.git) if asking else values.git,
            "ci": Facts(values.ci) if asking else values.ci,
            "matrix": {},
        }
        self._known: dict[Expression, object] = {}

    def value(self, text: str, matrix: Mapping[str, object]) -> str | int | float | bool:
        """The value of a string; TemplateFault if it has none.

        A string that is one expression and nothing else keeps the type of its value; everything else becomes text.
        """
        pieces = parse(text).pieces
        if len(pieces) == 1 and isinstance(pieces[0], Expression):
            value = self._compute(pieces[0], matrix)
            if isinstance(value, (bool, int)):
                return value
            if isinstance(value, float):
                as_text(value)  # refuses what JSON cannot hold
                return value
            return self._checked(as_text(value))
        texts = [piece if isinstance(piece, str) else as_text(self._compute(piece, matrix)) for piece in pieces]
        return self._checked("".join(texts))

    def _compute(self, expression: Expression, matrix: Mapping[str, object]) -> object:
        if expression in self._known:
            return self._known[expression]
        self._check_build(expression)
        self._context["matrix"] = Facts(matrix) if self._asking else matrix
        value = expression.compute(self._context, self._steps)
        if not expression.varies:
            self._known[expression] = value
        return value

    def _check_build(self, expression: Expression) -> None:
        """Branch names and build URLs come from outside, too: they can neither forge a placeholder nor be a key."""
        for reference in expression.references:
            if reference.root not in {"git", "ci"}:
                continue
            text = self._context[reference.root].get(reference.path[0])
            name = f"{reference.root}.{reference.path[0]}"
            if isinstance(text, (Unknown, Refused)):
                raise TemplateFault(Code.NOT_KNOWN, f"{name} could not be found out: {text.why}", text.hint)
            if isinstance(text, str) and ("⟦" in text or "⟧" in text):
                raise TemplateFault(Code.RESERVED, f"the value of {name} holds ⟦ or ⟧, which are reserved")
            if isinstance(text, str) and shaped_like_secret(text):
                raise TemplateFault(Code.LOOKS_SECRET, f"the value of {name} holds what looks like a secret")

    def _checked(self, text: str) -> str:
        if len(text) > LONGEST_TEXT:
            raise TemplateFault(Code.TOO_MUCH, f"a template makes a text of more than {LONGEST_TEXT} characters")
        if ("⟦" in text or "⟧" in text) and not (secret.intact(text) and secret.names_in(text) <= self.secrets.keys()):
            raise TemplateFault(Code.SECRET_CHANGED, f"template: {_WHOLE}")
        return text


# ---------------------------------------------------------------------------------------------------------------------

# Templates in the strings of a manifest: checked without any value, then rendered once, from the outside in.
#
# Rendering never changes the structure, and no result is read as a template again.


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
    steps = Steps()
    for section, data, roots in (("vars", manifest.vars, IN_VARS), ("vendors", manifest.vendors, IN_VENDORS)):
        scope = Scope(manifest, roots, steps=steps)
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
    for row in one_of_each(rows):
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
    steps = Steps(len(rows))
    for row in one_of_each(rows):
        axes = tuple(name for name, _ in row.axes)
        answers = scopes.get(axes)
        if answers is None:
            answers = scopes[axes] = _Answers(Scope(manifest, IN_ROWS, axes, steps))
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

    Only what these rows use has to be set and allowed: other variables are not looked at.
    """
    early = [*check_templates(manifest, rows), *check_key_names(manifest, values.vendor_keys, values.allow_secrets)]
    job = _Rendering(manifest, rows, values)
    resolved = resolve(manifest, {} if early else job.used_variables(), values)
    if early or resolved.problems:
        _stop_at([*early, *resolved.problems, *resolved.not_permitted.values()])
    return job.run(Computing(resolved, values), resolved.not_permitted)


def answers(manifest: Manifest, rows: Sequence[Row], values: Values, key: str) -> dict[str, object]:
    """By id, the value of a condition, in rows that hold no other key: nothing else has to be set.

    What a build does not have, such as a tag, can be asked for here: it equals nothing.
    """
    if not rows:
        return {}
    job = _Rendering(manifest, rows, values, whole=False)
    resolved = resolve(manifest, job.used_variables(), values)
    _stop_at(resolved.problems)
    return {row.id: row.data[key] for row in job.run(Computing(resolved, values, asking=True), {}).rows}


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
        self._given = {name: text for name in manifest.vars if (text := values.given(name)) is not None}
        self._vars = {name: [] if name in self._given else look(value) for name, value in manifest.vars.items()}
        self._allowed = values.allow_secrets
        self._problems: list[Diagnostic] = []
        self._few = Few()
        self._noted: set[str] = set()

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
            if text in self._noted:
                continue  # most texts of a matrix repeat
            self._noted.add(text)
            for reference in _references(text):
                if reference.root == "env":
                    used.setdefault(reference.path[0], Use(locator, (*above, *path)))
                elif reference.root == "vars":
                    # A part of `vars` that is chosen by a computed name can be any.
                    names |= dict.fromkeys(reference.path[:1] or self._manifest.vars)

    def run(self, computing: Computing, not_permitted: Mapping[str, Diagnostic]) -> Rendered:
        """`not_permitted` are secrets that may be sent nowhere: what the rows do with them says what is needed."""
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
        if self._problems:
            _stop_at([*self._problems, *not_permitted.values()])
        rows = [self._row(row, found, computing) if found else row for row, found in self._rows]
        sent = set(self._check_destinations(rows, vendors)) if computing.secrets else set()
        _stop_at([*self._problems, *(found for name, found in not_permitted.items() if name not in sent)])
        return Rendered(
            rows=tuple(rows),
            vendors=cast("dict[str, Mapping[str, object]]", vendors),
            secrets=computing.secrets,
            env=computing.env,
        )

    def _check_destinations(self, rows: Sequence[Row], vendors: Mapping[str, object]) -> Iterator[str]:
        """Adds a problem for each secret on its way to where the pipeline does not let it; gives these secrets.

        Many rows send the same secret to the same place: the first of them is enough.
        """
        told: set[object] = set()
        document = self._manifest.document
        places: list[tuple[Locator, Path, object, str]] = [
            *((Placed(self._manifest, row), (), row.data, str(row.data.get("vendor"))) for row in rows),
            *((document, ("vendors", name), data, name) for name, data in vendors.items()),
        ]
        for locator, above, data, vendor in places:
            for found in misdirected(data, self._allowed, vendor=vendor):
                path = (*above, *found.path)
                same = (found.name, found.needed or locator.locate(path))
                if same not in told:
                    told.add(same)
                    code, message, hint = refusal(found, self._allowed)
                    self._problems.append(problem(locator, path, message, code=code, hint=hint))
                yield found.name

    def _row(self, row: Row, found: _Found, computing: Computing) -> Row:
        before = len(self._problems)
        data = self._fill(row.data, found, computing, Placed(self._manifest, row), (), row.matrix)
        rendered = Row(row.id, cast("dict[str, object]", data), row.layers, row.path, row.variant, row.axes)
        if self._whole and len(self._problems) == before and not _fits(rendered, computing):
            self._problems += _faults(self._manifest, rendered, computing) if self._few.room_for(row) else []
        elif len(self._problems) > before and not self._few.room_for(row):
            del self._problems[before:]
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
                if isinstance(fault, OutOfSteps):
                    _stop_at(self._problems)
        return _replaced(data, results)


_TEXTS = frozenset(name for name, key in ENTRY_KEYS.items() if key.text)
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


def _fits(row: Row, computing: Computing) -> bool:
    """True if the schema has nothing against a row, with the values in place: to say what it has takes much longer."""
    return schema.is_valid(_without_secrets(row, computing), part="row", templates=False)


def _faults(manifest: Manifest, row: Row, computing: Computing) -> Iterator[Diagnostic]:
    """What the schema has against it. Secrets are masked, as messages quote what they refuse."""
    return row_problems(manifest, row, _without_secrets(row, computing), templates=False)


def _without_secrets(row: Row, computing: Computing) -> Mapping[str, object]:
    return {key: _masked(value, key) for key, value in row.data.items()} if computing.secrets else row.data


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


class Partly:
    """Renders rows and settings of one manifest. Secrets stay templates, whatever is allowed."""

    def __init__(self, manifest: Manifest, values: Values) -> None:
        used = {name: Use(manifest.document, ("env", name)) for name in manifest.env}
        resolved = resolve(manifest, used, values)
        env = {name: value for name, value in resolved.env.items() if name not in resolved.secrets}
        self._computing = Computing(Resolved(env, {}, ()), values)
        self._set = resolved.env.keys() - resolved.not_permitted.keys()
        self._manifest = manifest
        literal = {name: text for name in manifest.vars if (text := values.given(name)) is not None}
        given = {**manifest.vars, **literal}
        for name, value in given.items():
            known = value if name in literal else self._value(value, {})
            if name in literal or not _texts(known):
                self._computing.vars[name] = known

    def row(self, row: Row) -> Row:
        return replace(row, data=self.mapping(row.data, row.matrix))

    def mapping(self, data: Mapping[str, object], matrix: Mapping[str, object]) -> dict[str, object]:
        return cast("dict[str, object]", self._value(data, matrix))

    def missing(self, data: object) -> list[str]:
        """The declared variables without a value here that the texts which are still templates need."""
        found: set[str] = set()
        looked_at: set[str] = set()
        queue = _texts(data)
        for text in queue:
            for reference in (each for expression in parse(text).expressions for each in expression.references):
                name = reference.path[0] if reference.path else ""
                if reference.root == "env" and name in self._manifest.env and name not in self._set:
                    found.add(name)
                elif reference.root == "vars" and name not in self._computing.vars and name not in looked_at:
                    looked_at.add(name)
                    queue += _texts(self._manifest.vars.get(name))
        return sorted(found)

    def _value(self, value: object, matrix: Mapping[str, object]) -> object:
        if isinstance(value, dict):
            return {key: self._value(child, matrix) for key, child in value.items()}
        if isinstance(value, list):
            return [self._value(child, matrix) for child in value]
        if not isinstance(value, str) or not holds_template(value):
            return value
        try:
            return self._computing.value(value, matrix)
        except TemplateFault:
            return value


def _texts(data: object) -> list[str]:
    """The texts in data that are still templates."""
    if isinstance(data, str):
        return [data] if holds_template(data) else []
    children = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [text for child in children for text in _texts(child)]

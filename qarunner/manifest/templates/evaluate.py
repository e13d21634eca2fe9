"""What would be sent: every template of a row is known, or not known yet, and then there is a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner import secret
from qarunner.decode import children
from qarunner.diagnostics import Diagnostic, Locator, Path, Place, in_order, problem
from qarunner.entry import BY_NAME, ENTRY_KEYS
from qarunner.errors import ManifestError
from qarunner.known import Refused, Unknown, holds_template
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import Few, RowLocator, SectionLocator, one_of_each, row_problems
from qarunner.manifest.model import Manifest, Row
from qarunner.manifest.names import WithIds, may_have_names, with_ids
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.templates.env import (
    NoList,
    Use,
    check_key_names,
    listed,
    replacement,
    resolve,
    shaped_like_secret,
)
from qarunner.manifest.templates.expression import (
    LONGEST_TEXT,
    Expression,
    Later,
    StepLimitError,
    Steps,
    TemplateError,
    TemplateFacts,
    TemplateProblem,
    UnknownValueError,
    as_text,
)
from qarunner.manifest.templates.parse import parse
from qarunner.manifest.templates.scope import (
    ASKING,
    IN_ROWS,
    IN_VARS,
    IN_VENDORS,
    Scope,
    Takes,
    misplaced_list,
    no_list,
    takes,
    takes_elsewhere,
    templates_in,
    templates_of,
)
from qarunner.manifest.templates.secret_access import misdirected, refusal

if TYPE_CHECKING:
    from qarunner.manifest.lock import KnownNames
    from qarunner.manifest.templates.env import Resolved, Values
    from qarunner.manifest.yaml.reader import Document


# ---------------------------------------------------------------------------------------------------------------------

# Values put into strings: each distinct expression is computed once, unless it depends on the row.


_WHOLE = "a secret can be inserted whole, or through urlencode or b64encode"


_STEPS_AN_ITEM = 100
"""What it costs to put an item of a list into a row, where the schema and the vendor look at it."""


class Partial(NamedTuple):
    """A text with expressions that are not known yet: they stand in it as they were written."""

    text: str
    why: tuple[str, ...]


class Computing:
    """Strings with templates → their values. `vars` gets its own once they are rendered.

    Each string is computed for a row, or as the condition of one, which may ask for facts that this build does not
    have. `later`: what cannot be computed yet is unknown, and no error.
    """

    def __init__(self, resolved: Resolved, values: Values, *, later: bool = False) -> None:
        self._steps = values.steps
        self._later = later
        self._secrets = resolved.placeholders
        self.vars: dict[str, object] = {}
        build: dict[str, Mapping[str, object]] = {"git": values.git, "ci": values.ci}
        if later:
            build = {root: {name: _if_known(value) for name, value in facts.items()} for root, facts in build.items()}
        plain: dict[str, Mapping[str, object]] = {"env": resolved.env, "vars": self.vars, **build}
        self._contexts = plain, {**plain, **{root: TemplateFacts(facts) for root, facts in build.items()}}
        self._results: tuple[dict[Expression, object], dict[Expression, object]] = {}, {}

    def value(self, text: str, row: Row | None, there: Takes = Takes.TEXT) -> object:
        """The value of a string, or Partial; TemplateError if it has no value.

        A string that is one expression and nothing else keeps the type of its value, as far as its place takes that;
        everything else becomes text.
        """
        asking = there in ASKING
        pieces = parse(text).pieces
        if len(pieces) == 1 and isinstance(pieces[0], Expression):
            value = self._compute(pieces[0], row, asking=asking)
            if isinstance(value, (bool, int, Later)):
                return Partial(value.text or pieces[0].written, value.why) if isinstance(value, Later) else value
            if isinstance(value, float):
                as_text(value)  # refuses what JSON cannot hold
                return value
            if isinstance(value, (list, tuple)):
                return self._list(value, there)
            if isinstance(value, Mapping) and there is Takes.MAPPING:
                return self._mapping(value)
            text = self._checked(as_text(value))
            if there in {Takes.LIST, Takes.MAPPING}:
                raise no_list(there)
            return text
        why: dict[str, None] = {}
        texts = [piece if isinstance(piece, str) else self._text(piece, row, why, asking) for piece in pieces]
        return Partial("".join(texts), tuple(why)) if why else self._checked("".join(texts))

    def _text(
        self,
        expression: Expression,
        row: Row | None,
        why: dict[str, None],
        asking: bool,  # noqa: FBT001  passed on
    ) -> str:
        """The text of an expression inside of a longer one; as it is written, where it is not known."""
        value = self._compute(expression, row, asking=asking)
        if isinstance(value, Later):
            why |= dict.fromkeys(value.why)
            return value.text or expression.written
        return as_text(value)

    def _compute(self, expression: Expression, row: Row | None, *, asking: bool) -> object:
        context, computed = self._contexts[asking], self._results[asking]
        if expression in computed:
            return computed[expression]
        self._check_build(expression)
        matrix = {} if row is None else row.matrix
        try:
            value = expression.compute({**context, "matrix": TemplateFacts(matrix) if asking else matrix}, self._steps)
        except UnknownValueError as unknown:
            value = Later(unknown.why, unknown.text)
        if not expression.varies:
            computed[expression] = value
        return value

    def _check_build(self, expression: Expression) -> None:
        """Branch names and build URLs come from outside, too: they can neither forge a placeholder nor be a key."""
        for reference in expression.references:
            if reference.root not in {"git", "ci"}:
                continue
            text = self._contexts[0][reference.root].get(reference.path[0])
            name = f"{reference.root}.{reference.path[0]}"
            if isinstance(text, (Unknown, Refused)):
                raise TemplateError(Code.NOT_KNOWN, f"{name} could not be found out: {text.why}", text.hint)
            if isinstance(text, str) and secret.has_brackets(text):
                raise TemplateError(Code.RESERVED, f"the value of {name} holds ⟦ or ⟧, which are reserved")
            if isinstance(text, str) and shaped_like_secret(text):
                raise TemplateError(Code.LOOKS_SECRET, f"the value of {name} holds what looks like a secret")

    def _list(self, value: Sequence[object], there: Takes) -> list[object]:
        """A list where one can stand. Its items are literal, so a template in one was most likely meant otherwise."""
        if there not in {Takes.LIST, Takes.ANY, Takes.CONDITION}:
            raise misplaced_list(there)
        self._steps.take(_STEPS_AN_ITEM * len(value))
        for item in value:
            if isinstance(item, (list, tuple, Mapping)):
                raise TemplateError(Code.NOT_TEXT, "an item of a list cannot be a list or a mapping", _FLAT)
            if holds_template(self._checked(as_text(item))):
                raise TemplateError(Code.NO_TEMPLATE_HERE, _LITERAL.message, _LITERAL.hint)
        if sum(len(as_text(item)) for item in value) > LONGEST_TEXT:
            raise TemplateError(Code.TOO_MUCH, f"a template makes a list of more than {LONGEST_TEXT} characters")
        return list(value)

    def _mapping(self, value: Mapping[str, object]) -> Mapping[str, object]:
        """A mapping of `vars`, whole: one that an expression puts together could hold any value in any field."""
        if not any(value is known for known in self.vars.values()):
            raise TemplateError(Code.NOT_TEXT, "only a whole mapping of vars can stand here", "write {{ vars.NAME }}")
        return value

    def _checked(self, text: str) -> str:
        if len(text) > LONGEST_TEXT:
            raise TemplateError(Code.TOO_MUCH, f"a template makes a text of more than {LONGEST_TEXT} characters")
        if secret.has_brackets(text) and not (
            secret.placeholders_whole(text) and secret.secret_names(text) <= self._secrets
        ):
            raise TemplateError(Code.SECRET_CHANGED, f"template: {_WHOLE}")
        return text


def _if_known(value: object) -> object:
    return Later((value.why,)) if isinstance(value, (Unknown, Refused)) else value


# ---------------------------------------------------------------------------------------------------------------------

# Templates in the strings of a manifest: checked without any value, then rendered once, from the outside in.
#
# Rendering never changes the structure, and no result is read as a template again.


_Templates: TypeAlias = "list[tuple[Path, str]]"
"""Strings with templates, and their paths in what was searched."""


_Container: TypeAlias = "dict[str | int, object]"
"""A mapping, or a list, which a path's step indexes alike."""


# --- without values ---------------------------------------------------------------------------------------------------


def check_templates(manifest: Manifest, rows: Sequence[Row]) -> tuple[Diagnostic, ...]:
    """What is wrong with the templates of these rows and of the sections at the top; no variable needs to be set."""
    if not manifest.templated:
        return ()
    lists = _Lists(manifest)
    problems = [*_check_sections(manifest, lists), *_check_rows(manifest, rows, lists), *_check_keys(manifest, rows)]
    return in_order([*problems, *lists.problems()])


class _Lists:
    """Lists under `vars` with templates in their items, and where they are taken as a whole."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        templates = {name: templates_in(value) for name, value in manifest.vars.items() if isinstance(value, list)}
        self._templates = {name: paths for name, paths in templates.items() if paths}
        self._taken: dict[str, Place] = {}

    def look_at(self, scope: Scope, text: str, locator: Locator, path: Path) -> None:
        for name in scope.whole_lists(parse(text)) if self._templates else ():
            self._taken.setdefault(name, locator.locate(path))

    def problems(self) -> Iterator[Diagnostic]:
        for name, place in self._taken.items():
            for path, _ in self._templates.get(name, ()):
                taken = (place, f"vars.{name} is taken as a whole list here")
                yield _placed(SectionLocator(self._manifest, "vars"), (name, *path), _LITERAL, taken)


def _check_sections(manifest: Manifest, lists: _Lists) -> Iterator[Diagnostic]:
    steps = Steps()
    for section, data, roots in (("vars", manifest.vars, IN_VARS), ("vendors", manifest.vendors, IN_VENDORS)):
        scope = Scope(manifest, roots, steps=steps)
        for path, text in templates_in(data):
            # A part of vars may be called like this, too.
            literal = section == "vendors" and path[-1] == "api_key_env"
            for flaw in (_NO_NAME,) if literal else scope.all_flaws(parse(text), takes_elsewhere(path)):
                yield _placed(SectionLocator(manifest, section), path, flaw)
            lists.look_at(scope, text, SectionLocator(manifest, section), path)
    for path, _ in templates_in(manifest.document.data.get("env")):
        if path and path[-1] not in {"pattern", "description"}:
            yield _placed(manifest.document, ("env", *path), _NO_TEMPLATE)


def _check_keys(manifest: Manifest, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """Keys are never rendered. Only `vars` and `options` have keys that the schema does not know anyway."""
    for path in _keys_in(manifest.vars):
        yield problem(SectionLocator(manifest, "vars"), path, _NO_KEY.message, code=_NO_KEY.code, key=True)
    for row in one_of_each(rows):
        for path in _keys_in(row.data.get("options")):
            yield problem(RowLocator(manifest, row), ("options", *path), _NO_KEY.message, code=_NO_KEY.code, key=True)


def _keys_in(data: object) -> Iterator[Path]:
    for step, child in children(data):
        if isinstance(step, str) and holds_template(step):
            yield (step,)
        for path in _keys_in(child):
            yield (step, *path)


_NO_KEY = TemplateProblem(Code.NO_TEMPLATE_HERE, "a key is literal: only values are rendered")


_LITERAL = TemplateProblem(
    Code.NO_TEMPLATE_HERE,
    "the items of a list are literal where it stands for a whole value: no template is rendered in them",
    'write the list where it is used: ["{{ env.NAME }}"]; or declare a variable with format: list',
)


_FLAT = "write a list of texts, numbers, true or false"


_NO_NAME = TemplateProblem(Code.NO_TEMPLATE_HERE, "the name of a credential is literal: a template cannot choose it")


_NO_TEMPLATE = TemplateProblem(Code.NO_TEMPLATE_HERE, "declarations are literal: no template is rendered here")


def _check_rows(manifest: Manifest, rows: Sequence[Row], lists: _Lists) -> Iterator[Diagnostic]:
    scopes: dict[tuple[tuple[str, tuple[str, ...]], ...], _Answers] = {}
    steps = Steps(len(rows))
    for row in one_of_each(rows):
        templates = templates_of(row)
        if not templates:
            continue
        axes = row.axis_fields
        answers = scopes.get(axes)
        if answers is None:
            answers = scopes[axes] = _Answers(Scope(manifest, IN_ROWS, axes, steps))
        for path, text in templates:
            for flaw in answers.of(text, takes(path)):
                yield _placed(RowLocator(manifest, row), path, flaw)
            lists.look_at(answers.scope, text, RowLocator(manifest, row), path)


class _Answers:
    """What is wrong with the expressions of a text; most of a matrix repeat."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._known: dict[tuple[tuple[Expression, ...], bool, Takes], tuple[TemplateProblem, ...]] = {}

    def of(self, text: str, there: Takes) -> tuple[TemplateProblem, ...]:
        scalar = parse(text)
        same = scalar.expressions, len(scalar.pieces) == 1, there
        if same not in self._known:
            self._known[same] = tuple(self.scope.all_flaws(scalar, there))
        return self._known[same]


def _placed(locator: Locator, path: Path, flaw: TemplateProblem, *related: tuple[Place, str]) -> Diagnostic:
    return problem(locator, path, flaw.message, code=flaw.code, hint=flaw.hint, related=related)


# --- with values ------------------------------------------------------------------------------------------------------


Why: TypeAlias = "Mapping[Path, tuple[str, ...]]"
"""Paths of texts that are still templates, and what is missing."""


class Evaluated(Struct, frozen=True, kw_only=True):
    """Rows and vendor settings with every value that is known; secrets stand in them as placeholders.

    `unknown` has the texts of rows, by id, that are still templates, `problems` what speaks against values.
    `secrets` has the text of those that are used, `env` the values of all used variables, with placeholders for
    secrets. Settings of vendors that no row uses are left out. `names` are those behind ids of the lock, by vendor.
    `written` are the rows as they were given, in the same order.
    """

    written: Sequence[Row]
    rows: tuple[Row, ...]
    vendors: Mapping[str, Mapping[str, object]]
    secrets: Mapping[str, str]
    env: Mapping[str, object]
    unknown: Mapping[str, Why]
    problems: tuple[Diagnostic, ...]
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def evaluate(manifest: Manifest, rows: Sequence[Row], values: Values, *, later: bool = True) -> Evaluated:
    """What would be sent, as far as these values tell.

    `later`: what is not set may be set when it is sent, so it is no problem. Otherwise everything that the rows use
    has to be there and allowed; a variable that no row reads is not looked at.
    """
    early = list(check_templates(manifest, rows))
    if not later:
        early += check_key_names(manifest, values.vendor_keys, values.allow_secrets)
    return _Evaluation(manifest, rows, values, later=later).run(early)


def render(manifest: Manifest, rows: Sequence[Row], values: Values, before: Evaluated | None = None) -> Evaluated:
    """The same for what is to be sent: ManifestError has every problem.

    `before` is an evaluation that knew less, and in which nothing was wrong. What it knew is not computed again.
    """
    if before is None:
        evaluated = evaluate(manifest, rows, values, later=False)
    else:
        early = list(check_key_names(manifest, values.vendor_keys, values.allow_secrets))
        evaluated = _Evaluation(manifest, rows, values, later=False).run(early, before)
    _stop_at(evaluated.problems)
    return evaluated


def answers(manifest: Manifest, rows: Sequence[Row], values: Values, key: str) -> dict[str, object]:
    """By id, the value of a condition, in rows that hold no other key: nothing else has to be set."""
    if not rows:
        return {}
    evaluated = _Evaluation(manifest, rows, values, later=False, whole=False).run([])
    _stop_at(evaluated.problems)
    return {row.id: row.data[key] for row in evaluated.rows}


def with_known(manifest: Manifest, rows: Sequence[Row], values: Values, *keys: str) -> Sequence[Row]:
    """The rows with these keys computed, as far as these values tell. What is wrong with them is said elsewhere."""
    asked = [row for row in rows if manifest.templated and any(templates_in(row.data.get(key)) for key in keys)]
    if not asked:
        return rows
    parts = [replace(row, data={key: row.data[key] for key in keys if key in row.data}) for row in asked]
    evaluated = _Evaluation(manifest, parts, values, later=True, whole=False).run([])
    known = {row.id: row.data for row in evaluated.rows}
    others = {row.id: {key: value for key, value in row.data.items() if key not in keys} for row in asked}
    return [replace(row, data={**others[row.id], **known[row.id]}) if row.id in known else row for row in rows]


def _stop_at(problems: Iterable[Diagnostic]) -> None:
    ordered = in_order(problems)
    if ordered:
        raise ManifestError(ordered)


_QUARANTINE = "quarantine"


_CONDITION = "if"
"""May ask for what a build does not have, such as a tag: it equals nothing."""


class _Evaluation:
    """One pass over everything that the rows use, collecting problems."""

    def __init__(
        self, manifest: Manifest, rows: Sequence[Row], values: Values, *, later: bool, whole: bool = True
    ) -> None:
        look = templates_in if manifest.templated else _nothing_in
        self._whole = whole
        self._later = later
        self._manifest = manifest
        self._values = values
        self._rows = [(row, templates_of(row) if manifest.templated else []) for row in rows]
        self._vendors = {name: look(manifest.vendors[name]) for name in _vendors_of(manifest, rows)}
        # What --var gives is a value, and never a template.
        overrides = {name: text for name in manifest.vars if (text := replacement(manifest, values, name)) is not None}
        self._overrides = {name: _override_value(text, manifest.vars[name]) for name, text in overrides.items()}
        self._vars = {name: [] if name in self._overrides else look(value) for name, value in manifest.vars.items()}
        self._problems: list[Diagnostic] = []
        self._unknown: dict[str, Why] = {}
        self._few = Few()
        self._noted: set[Expression] = set()
        self._names: dict[str, dict[str, str]] = {}

    def _used_variables(self) -> dict[str, Use]:
        """The environment variables that are read, each with the first place that does."""
        document = self._manifest.document
        used: dict[str, Use] = {}
        names: dict[str, None] = {}
        for row, templates in ((row, templates) for row, templates in self._rows if templates):
            self._note(templates, RowLocator(self._manifest, row), (), used, names)
        for vendor, templates in self._vendors.items():
            self._note(templates, document, ("vendors", vendor), used, names)
        self._vars = {name: self._vars[name] for name in names if name in self._vars}
        for name, templates in self._vars.items():
            self._note(templates, SectionLocator(self._manifest, "vars"), (name,), used, {})
        return {name: use for name, use in used.items() if name in self._manifest.env}

    def _note(
        self, templates: _Templates, locator: Locator, above: Path, used: dict[str, Use], names: dict[str, None]
    ) -> None:
        for path, text in templates:
            for expression in parse(text).expressions:
                if expression in self._noted:
                    continue  # most expressions of a matrix repeat
                self._noted.add(expression)
                for reference in expression.references:
                    if reference.root == "env":
                        used.setdefault(reference.path[0], Use(locator, (*above, *path)))
                    elif reference.root == "vars":
                        # A part of `vars` that is chosen by a computed name can be any.
                        names |= dict.fromkeys(reference.path[:1] or self._manifest.vars)

    def run(self, early: list[Diagnostic], before: Evaluated | None = None) -> Evaluated:
        """`early` is what is wrong with templates whatever the values are: at its places nothing else is reported."""
        resolved = resolve(self._manifest, self._used_variables(), self._values)
        computing = Computing(resolved, self._values, later=self._later)
        known = dict(self._known(before, resolved)) if before is not None else {}
        rows, vendors = self._computed(computing, resolved, known)
        reported = {problem.place for problem in early}
        problems = [*early, *(problem for problem in self._problems if problem.place not in reported)]
        if not self._later:
            sent = set(self._misdirected(rows, vendors, problems)) if resolved.placeholders else set()
            problems += resolved.problems
            if self._whole:
                problems += [missing for name, missing in resolved.not_permitted.items() if name not in sent]
        return Evaluated(
            written=[row for row, _ in self._rows],
            rows=rows,
            vendors=vendors,
            secrets=resolved.secrets,
            env=resolved.env,
            unknown=self._unknown,
            problems=in_order(problems),
            names=self._names,
        )

    def _known(self, before: Evaluated, resolved: Resolved) -> Iterator[tuple[int, Row]]:
        """The rows of an earlier evaluation that these values do not change, by the identity of what was written."""
        env = {
            name
            for name, value in resolved.env.items()
            if name not in resolved.placeholders and _is_same(before.env.get(name), value)
        }
        same = {"env": env, "vars": {name for name in self._manifest.vars if name not in self._overrides}}

        def stays(expression: Expression) -> bool:
            return all(
                read.root == "matrix" or (read.root in same and same[read.root].issuperset(read.path[:1] or _ANY))
                for read in expression.references
            )

        def stay(templates: _Templates) -> bool:
            return all(expression in staying for _, text in templates for expression in parse(text).expressions)

        staying = {expression for expression in self._noted if stays(expression)}
        same["vars"] -= {name for name, templates in self._vars.items() if not stay(templates)}
        staying = {expression for expression in staying if stays(expression)}
        evaluated = {id(row): known for row, known in zip(before.written, before.rows, strict=True)}
        for row, templates in self._rows if staying else ():
            known = evaluated.get(id(row)) if templates else None
            # Names have their ids from the lock, for which the environment names the project.
            if known is not None and row.id not in before.unknown and not may_have_names(row) and stay(templates):
                yield id(row), known

    def _computed(
        self, computing: Computing, resolved: Resolved, known: Mapping[int, Row]
    ) -> tuple[tuple[Row, ...], Mapping[str, Mapping[str, object]]]:
        """The rows and the settings; as they were written, where the templates take too long."""
        document = self._manifest.document
        masked = bool(resolved.placeholders)
        try:
            for name, templates in self._vars.items():
                written = self._overrides.get(name, self._manifest.vars[name])
                data, unknown = self._fill(
                    written, templates, computing, SectionLocator(self._manifest, "vars"), (name,)
                )
                later: dict[Path, object] = {path: Later(why, _text_at(data, path)) for path, why in unknown.items()}
                computing.vars[name] = _replaced(data, later)
            vendors: dict[str, Mapping[str, object]] = {}
            invalid: dict[str, object] = {}
            for name, templates in self._vendors.items():
                filled, _ = self._fill(self._manifest.vendors[name], templates, computing, document, ("vendors", name))
                vendors[name] = cast("Mapping[str, object]", filled)
                invalid |= {name: filled} if templates else {}
            if invalid:
                self._problems += _settings_faults(document, invalid, templates=self._later)
            rows = [
                known.get(id(row)) or self._row(row, templates, computing, masked=masked) if templates else row
                for row, templates in self._rows
            ]
            if self._whole and self._manifest.names is not None:
                rows = self._with_ids(self._manifest.names, rows, vendors, masked=masked)
        except _Exhausted:
            return tuple(row for row, _ in self._rows), {name: self._manifest.vendors[name] for name in self._vendors}
        return tuple(rows), vendors

    def _with_ids(
        self, names: KnownNames, rows: Sequence[Row], vendors: Mapping[str, Mapping[str, object]], *, masked: bool
    ) -> list[Row]:
        """The rows with the ids of their names. The schema looks at them once more: ids have a form, names have not."""
        rows_with_ids: list[Row] = []
        lost = False
        for row in rows:
            if lost or not may_have_names(row):
                rows_with_ids.append(row)
                continue
            vendor = str(row.data.get("vendor"))
            settings, unknown = vendors.get(vendor, {}), self._unknown.get(row.id, {})
            try:
                resolved = with_ids(self._manifest, names, row, settings, unknown, final=not self._later)
            except ManifestError as error:  # of the lock: said once, not for each name
                self._problems += error.diagnostics
                lost = True
                resolved = WithIds(row=row)
            problems = list(resolved.problems)
            if resolved.row is not row:
                self._names.setdefault(vendor, {}).update(resolved.items)
                problems += (
                    _of_lock(fault, names.file) for fault in self._faults(resolved.row, resolved.row, masked=masked)
                )
            if problems and self._few.room_for(row):
                self._problems += problems
            rows_with_ids.append(resolved.row)
        return rows_with_ids

    def _misdirected(
        self, rows: Sequence[Row], vendors: Mapping[str, object], problems: list[Diagnostic]
    ) -> Iterator[str]:
        """Adds a problem for each secret on its way to where the pipeline does not let it; gives these secrets.

        Many rows send the same secret to the same place: the first of them is enough. Where the URL itself is refused,
        its host is not the meant one.
        """
        reported: set[object] = set()
        refused = {problem.place for problem in problems}
        document, allowed = self._manifest.document, self._values.allow_secrets
        places: list[tuple[Locator, Path, object, str]] = [
            *((RowLocator(self._manifest, row), (), row.data, str(row.data.get("vendor"))) for row in rows),
            *((document, ("vendors", name), data, name) for name, data in vendors.items()),
        ]
        for locator, above, data, vendor in places:
            for misplaced in misdirected(data, allowed, vendor=vendor):
                path = (*above, *misplaced.path)
                same = (misplaced.name, misplaced.needed or locator.locate(path))
                if same not in reported and locator.locate(path) not in refused:
                    reported.add(same)
                    code, message, hint = refusal(misplaced, allowed)
                    problems.append(problem(locator, path, message, code=code, hint=hint))
                yield misplaced.name

    def _row(self, row: Row, templates: _Templates, computing: Computing, *, masked: bool) -> Row:
        before = len(self._problems)
        data, unknown = self._fill(row.data, templates, computing, RowLocator(self._manifest, row), (), row)
        if unknown:
            self._unknown[row.id] = unknown
        evaluated = row if data is row.data else _with(row, cast("dict[str, object]", data))
        if self._whole and evaluated is not row:  # as it was written, it was looked at before
            self._problems += self._faults(row, evaluated, masked=masked)
        if len(self._problems) > before and not self._few.room_for(row):
            del self._problems[before:]
        return evaluated

    def _faults(self, written: Row, row: Row, *, masked: bool) -> Iterator[Diagnostic]:
        """What the schema has against an evaluated row, where it is `written`. A condition is not sent."""
        shown = row.data
        if _CONDITION in shown:
            shown = {key: value for key, value in shown.items() if key != _CONDITION}
        shown = _without_secrets(shown) if masked else shown
        templates = row.id in self._unknown
        before = None if row is written else written.data  # all that is wrong with that has been said
        if not schema.is_valid_row(shown, before, templates=templates):
            yield from row_problems(self._manifest, written, shown, templates=templates)

    def _fill(
        self,
        data: object,
        templates: _Templates,
        computing: Computing,
        locator: Locator,
        above: Path,
        row: Row | None = None,
    ) -> tuple[object, dict[Path, tuple[str, ...]]]:
        """Data with its templates replaced by their values, and what is not known; all else is the original's."""
        results: dict[Path, object] = {}
        unknown: dict[Path, tuple[str, ...]] = {}
        for path, text in templates:
            try:
                there = takes_elsewhere((*above, *path)) if above else takes(path)
                value = computing.value(text, row, there)
            except TemplateError as fault:
                self._problems.append(_placed(locator, (*above, *path), fault.flaw))
                if isinstance(fault, StepLimitError):
                    raise _Exhausted from None
                value = Partial(text, (fault.flaw.message,))
            if isinstance(value, Partial):
                unknown[path], value = value.why, value.text
                if value == text:
                    continue  # nothing of it is known
            only_text = not above and path[0] in _TEXTS and not isinstance(value, list)
            results[path] = as_text(value) if only_text else value
        return _replaced(data, results), unknown


def _of_lock(fault: Diagnostic, file: str) -> Diagnostic:
    """A fault of an id that no person wrote: the lock gave it."""
    is_id = fault.message.startswith(tuple(BY_NAME.values()))
    return replace(fault, message=f"{fault.message}, from {file}") if is_id else fault


class _Exhausted(Exception):  # noqa: N818  no fault by itself: the problem that it ends with is reported
    """No more templates are computed."""


_TEXTS = frozenset(name for name, key in ENTRY_KEYS.items() if key.text)
"""Keys of rows under which only text can stand: there the number 3 of an axis is the text 3."""


_ANY = ("*",)
"""Stands for the name of a value of `vars` that is computed: it can be any, so its value is never known before."""


def _is_same(before: object, now: object) -> bool:
    """True if a variable has the same value, of the same type. The values are texts, numbers, flags, or lists of them.

    What is not known is never the same.
    """
    return not isinstance(now, Later) and repr(before) == repr(now)


def _override_value(text: str, instead_of: object) -> object:
    """What --var gives for an entry of `vars`: a list where it takes the place of one."""
    if not isinstance(instead_of, list):
        return text
    try:
        return listed(text)
    except NoList as error:
        return Later((str(error),))


def _nothing_in(_: object) -> _Templates:
    return []


def _vendors_of(manifest: Manifest, rows: Sequence[Row]) -> list[str]:
    """Vendors with settings that one of the rows goes to; all of them where a template chooses the vendor."""
    named = {str(row.data.get("vendor")) for row in rows}
    return [name for name in manifest.vendors if name in named or any(map(holds_template, named))]


def _with(row: Row, data: dict[str, object]) -> Row:
    """The row with the values of its templates."""
    if data.get(_QUARANTINE) is False:  # an expression says: no quarantine
        data = {key: value for key, value in data.items() if key != _QUARANTINE}
    return Row(row.id, data, row.layers, row.path, row.variant, row.axes)


def _text_at(data: object, path: Path) -> str | None:
    for step in path:
        data = cast("_Container", data)[step]
    return data if isinstance(data, str) else None


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
        copies[path] = cast(
            "_Container", [*original] if isinstance(original, list) else {**cast("_Container", original)}
        )
        if path:
            copies[path[:-1]][path[-1]] = copies[path]
    return copies[path]


def _without_secrets(data: Mapping[str, object]) -> dict[str, object]:
    """What the schema looks at: its messages quote what they refuse."""
    return {key: _masked(value, key) for key, value in data.items()}


def _settings_faults(document: Document, vendors: Mapping[str, object], *, templates: bool) -> Iterator[Diagnostic]:
    """The schema knows settings as a part of a manifest alone: here, of one with nothing else in it."""
    masked = {name: _masked(settings, "vendors") for name, settings in vendors.items()}
    data = {"version": 1, "name": "-", "matrix": [{"id": "x"}], "vendors": masked}
    return schema.placed(document, schema.faults(data, templates=templates))


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

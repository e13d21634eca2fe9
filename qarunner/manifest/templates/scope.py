"""What a template can refer to in each part of a manifest, and which of that is secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum, auto
from typing import TYPE_CHECKING

from msgspec.structs import force_setattr

from qarunner.diagnostics import Path, choose, closest
from qarunner.entry import ENTRY_KEYS
from qarunner.known import holds_template
from qarunner.manifest.codes import Code
from qarunner.manifest.templates.expression import FIELDS, ROOTS, Steps, TemplateError, TemplateProblem, as_text
from qarunner.manifest.templates.parse import parse

if TYPE_CHECKING:
    from qarunner.manifest.model import Manifest, Row
    from qarunner.manifest.templates.expression import Expression, Reference, Scalar


IN_ROWS = ("env", "vars", "matrix", "git", "ci")


IN_VENDORS = ("env", "vars", "git", "ci")


IN_VARS = ("env", "git", "ci")


_PARTS = {IN_VENDORS: "settings of vendors", IN_VARS: "values of vars"}


class Takes(IntEnum):
    """What can stand in a place besides a text, where the text is one expression and nothing else."""

    TEXT = auto()
    """Numbers, and true or false."""
    ITEM = auto()
    """The same: it is an item of a list."""
    LIST = auto()
    """A list, and nothing else."""
    FLAG = auto()
    """True or false. Like the two below, it can ask for facts that the build does not have."""
    MAPPING = auto()
    """A mapping of `vars`, or false."""
    CONDITION = auto()
    """Any value; only true and false have a meaning."""
    ANY = auto()
    """A list as well: what a vendor takes there, its own schema says."""


ASKING = frozenset({Takes.FLAG, Takes.MAPPING, Takes.CONDITION})
"""Where a fact that the build does not have, such as the branch of a tag's build, equals nothing."""


_ASKING_KEYS: Mapping[object, Takes] = {
    "if": Takes.CONDITION,
    "quarantine": Takes.MAPPING,
    "allow_failure": Takes.FLAG,
}


_WHOLE_LISTS = frozenset(name for name, key in ENTRY_KEYS.items() if key.whole)


def takes(path: Path) -> Takes:
    """What a place of a row takes."""
    if len(path) > 1 and isinstance(path[-1], int):
        return Takes.ITEM
    if path[0] == "options":
        return Takes.ANY
    key = path[0] if len(path) == 1 else None
    if key in _WHOLE_LISTS:
        return Takes.LIST
    return _ASKING_KEYS.get(key, Takes.TEXT)


def takes_elsewhere(path: Path) -> Takes:
    """The same for settings of vendors and values of `vars`."""
    return Takes.ITEM if isinstance(path[-1], int) else Takes.ANY


def misplaced_list(there: Takes) -> TemplateError:
    """A list where no list can stand."""
    if there is Takes.ITEM:
        message = "a list cannot be an item of a list"
        return TemplateError(Code.NOT_TEXT, message, "write the expression without the brackets around it")
    message = f"a list cannot stand {'here' if there is Takes.MAPPING else 'in a text'}"
    return TemplateError(Code.NOT_TEXT, message, "use `| join(', ')` or `| tojson`")


def no_list(there: Takes, name: str | None = None) -> TemplateError:
    """A text where a list or a mapping belongs. `name`: the variable that it is the value of."""
    if there is Takes.MAPPING:
        return TemplateError(
            Code.NO_LIST, "expected a mapping of vars, and this template gives a text", "write {{ vars.NAME }}"
        )
    declared = f"declare {name}: {{ format: list }}, or " if name else ""
    hint = f'{declared}write a list around it: ["{{{{ … }}}}"]'
    return TemplateError(Code.NO_LIST, "expected a list, and this template gives a text", hint)


class Scope:
    """The names of one part of the manifest. Answers are remembered, as most strings of a matrix repeat.

    `axes` are those of the rows that it is about, with the fields of their values; `steps` is what constants may cost.
    """

    def __init__(
        self,
        manifest: Manifest,
        roots: tuple[str, ...],
        axes: tuple[tuple[str, tuple[str, ...]], ...] = (),
        steps: Steps | None = None,
    ) -> None:
        self._manifest = manifest
        self._roots = roots
        self._parts = dict(axes)
        self._fields = {**FIELDS, "matrix": (*self._parts, *FIELDS["matrix"])}
        self._secrets = {name for name, declaration in manifest.env.items() if declaration.secret}
        self._secret_vars = self._find_secret_vars() if self._secrets and "vars" in roots else ()
        self._answers: dict[Reference, TemplateProblem | None] = {}
        self._steps = steps or Steps()

    def flaws(self, scalar: Scalar) -> Iterator[TemplateProblem]:
        """Everything wrong with a string, whatever the values are."""
        for expression in scalar.expressions:
            yield from expression.flaws
            if not expression.flaws and not expression.references and (flaw := self._constant(expression)):
                yield flaw
            for reference in expression.references:
                if flaw := self._flaw(reference):
                    yield flaw

    def all_flaws(self, scalar: Scalar, there: Takes) -> Iterator[TemplateProblem]:
        """Everything wrong with a string in its place, whatever the values are."""
        flaws = tuple(self.flaws(scalar))
        yield from flaws or self.misplaced(scalar, there)

    def misplaced(self, scalar: Scalar, there: Takes) -> Iterator[TemplateProblem]:
        """Lists where no list can stand, and texts where a list belongs, as far as names alone tell."""
        alone = len(scalar.pieces) == 1
        for expression in scalar.expressions:
            shape = self._shape(expression)
            if shape is list and not (alone and there in {Takes.LIST, Takes.ANY}):
                yield _NO_ANSWER if alone and there is Takes.CONDITION else misplaced_list(there).flaw
            elif alone and shape in _UNFIT.get(there, ()):
                variables = [reference.path[0] for reference in expression.references if reference.root == "env"]
                yield no_list(there, *variables).flaw
        if there is Takes.MAPPING:
            yield from (_NO_DAY for path in self._whole_vars(scalar) if _has_template(self._value(path), "until"))

    def whole_lists(self, scalar: Scalar) -> Iterator[str]:
        """The lists of `vars` that are taken as a whole."""
        if len(scalar.pieces) == 1:
            yield from (path[0] for path in self._whole_vars(scalar) if isinstance(self._value(path), list))

    def _whole_vars(self, scalar: Scalar) -> Iterator[tuple[str, ...]]:
        for reference in scalar.references:
            if reference.root == "vars" and reference.whole and reference.path:
                yield reference.path

    def _value(self, path: tuple[str, ...]) -> object:
        value: object = self._manifest.vars
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    def _shape(self, expression: Expression) -> type | None:
        """The type of what an expression makes that is a name or a literal, `object` for any scalar; else None."""
        if not expression.references:
            return None if self._constant(expression) else _type_of(self._literal(expression))
        reference = expression.references[0]
        name = f"{{{{ {'.'.join((reference.root, *reference.path))} }}}}"
        if expression.written != name or self._flaw(reference):
            return None
        if reference.root == "env":
            return _SHAPES.get(self._manifest.env[reference.path[0]].format, str)
        if reference.root == "vars":
            return self._shape_of_value(self._value(reference.path))
        return object if reference.root == "matrix" else str

    def _shape_of_value(self, value: object) -> type | None:
        if isinstance(value, str) and holds_template(value):
            pieces = parse(value).pieces
            only = pieces[0] if len(pieces) == 1 else ""
            if isinstance(only, str):
                return str
            # A value of `vars` that reads `vars` is an error of its own, and may lead in a circle.
            return self._shape(only) if all(read.root in IN_VARS for read in only.references) else None
        return _type_of(value)

    def _constant(self, expression: Expression) -> TemplateProblem | None:
        """Why an expression that reads nothing can never be rendered."""
        try:
            value = self._literal(expression)
            if not isinstance(value, (list, tuple)):
                as_text(value)
        except TemplateError as fault:
            return fault.flaw
        return None

    def _literal(self, expression: Expression) -> object:
        return expression.compute({root: {} for root in ROOTS}, self._steps)

    def _flaw(self, reference: Reference) -> TemplateProblem | None:
        if reference not in self._answers:
            self._answers[reference] = self._unknown(reference) or self._changed(reference)
        return self._answers[reference]

    def _unknown(self, reference: Reference) -> TemplateProblem | None:
        if reference.root not in self._roots:
            message = f"template: {reference.root} cannot be used in {_PARTS[self._roots]}"
            return TemplateProblem(Code.UNKNOWN_NAME, message, f"usable here: {', '.join(self._roots)}")
        if reference.root == "vars":
            return self._undefined(reference.path)
        name, *rest = reference.path
        names = tuple(self._manifest.env) if reference.root == "env" else self._fields[reference.root]
        if name not in names:
            return self._undeclared(name) if reference.root == "env" else self._no_field(reference.root, name)
        parts = self._parts.get(name, ()) if reference.root == "matrix" else ()
        if parts and rest and rest[0] not in parts:
            return TemplateProblem(
                Code.UNKNOWN_FIELD, f"template: matrix.{name} has no {rest[0]!r}", choose(rest[0], parts)
            )
        if rest and not (parts and len(rest) == 1):
            message = f"template: {reference.root}.{name} is a single value, it has no {rest[0]!r}"
            return TemplateProblem(Code.UNKNOWN_FIELD, message, "a method is called with parentheses: .lower()")
        return None

    def _no_field(self, root: str, name: str) -> TemplateProblem:
        hint = choose(name, self._fields[root])
        if root == "matrix" and len(self._fields[root]) == len(FIELDS[root]):
            hint += "; axes of the entry would be read like this, too"
        return TemplateProblem(Code.UNKNOWN_FIELD, f"template: {root} has no {name!r}", hint)

    def _undeclared(self, name: str) -> TemplateProblem:
        near = closest(name, self._manifest.env)
        meant = f"did you mean env.{near}? Otherwise declare it" if near else "declare it"
        return TemplateProblem(
            Code.UNDECLARED, f"template: env.{name} is not declared", f"{meant} at the top, as env: {{ {name}: {{}} }}"
        )

    def _undefined(self, path: tuple[str, ...]) -> TemplateProblem | None:
        value: object = self._manifest.vars
        for depth, step in enumerate(path):
            if not isinstance(value, Mapping):
                return TemplateProblem(
                    Code.UNDEFINED_VAR, f"template: vars.{'.'.join(path[:depth])} has no part {step!r}"
                )
            if step not in value:
                hint = choose(step, tuple(value)) if value else "the manifest defines nothing there"
                return TemplateProblem(
                    Code.UNDEFINED_VAR, f"template: vars.{'.'.join(path[: depth + 1])} is not defined", hint
                )
            value = value[step]
        return None

    def secrets(self, scalar: Scalar) -> Iterator[str]:
        """The secrets that a string reads, whatever it does with them."""
        for reference in scalar.references:
            if self._unknown(reference) is None and self._is_secret(reference):
                yield ".".join((reference.root, *reference.path))

    # --- secrets ------------------------------------------------------------------------------------------------------

    def _changed(self, reference: Reference) -> TemplateProblem | None:
        if reference.whole or not self._is_secret(reference):
            return None
        name = ".".join((reference.root, *reference.path)) if reference.path else "vars[…]"
        message = f"template: {name} is secret and can only be inserted as it is, or through urlencode or b64encode"
        return TemplateProblem(
            Code.SECRET_CHANGED, message, f"write {{{{ {name} }}}}; a secret cannot be cut, compared or changed"
        )

    def _is_secret(self, reference: Reference) -> bool:
        if reference.root == "env":
            return reference.path[0] in self._secrets
        path = reference.path
        return reference.root == "vars" and any(_related(path, other) for other in self._secret_vars)

    def _find_secret_vars(self) -> tuple[Path, ...]:
        """Paths of the strings in `vars` that a secret is inserted into."""
        return tuple(
            path
            for path, text in templates_in(self._manifest.vars)
            if any(read.root == "env" and read.path[0] in self._secrets for read in parse(text).references)
        )


_SHAPES: Mapping[str | None, type] = {"list": list, "boolean": bool}
"""Formats of variables whose values are no text, nor a number that could stand for one."""


_UNFIT: Mapping[Takes, frozenset[type | None]] = {
    Takes.LIST: frozenset({str, bool, object}),
    Takes.MAPPING: frozenset({str}),
}
"""Types that certainly cannot stand in a place."""


_NO_ANSWER = TemplateProblem(
    Code.NO_CONDITION, "if: expected true or false, and this is a list", "ask for an item: {{ 'smoke' in env.NAME }}"
)


_NO_DAY = TemplateProblem(
    Code.NO_TEMPLATE_HERE,
    "until: the day is literal, also where a mapping of vars is the quarantine",
    "write the day itself: whoever reviews the manifest sees it",
)


def _type_of(value: object) -> type:
    """The type as places tell it apart: a number can stand for a text."""
    if isinstance(value, (list, tuple)):
        return list
    return str if isinstance(value, (str, int, float)) and not isinstance(value, bool) else type(value)


def _has_template(value: object, key: str) -> bool:
    text = value.get(key) if isinstance(value, Mapping) else None
    return isinstance(text, str) and holds_template(text)


def _related(path: tuple[str, ...], other: Path) -> bool:
    """Whether one path leads through the other."""
    shared = min(len(path), len(other))
    return path[:shared] == other[:shared]


def templates_in(data: object) -> list[tuple[Path, str]]:
    """Strings with templates in plain data, with their paths."""
    templates: list[tuple[Path, str]] = []
    _collect(data, (), templates)
    return templates


def templates_of(row: Row) -> list[tuple[Path, str]]:
    """Those of a row, looked for once. A row that `replace` made of another has other data."""
    if row.templates is None or row.templates[0] is not row.data:
        force_setattr(row, "templates", (row.data, templates_in(row.data)))
    return row.templates[1] if row.templates is not None else []


def _collect(value: object, path: Path, templates: list[tuple[Path, str]]) -> None:
    if type(value) is str:
        # The first test alone decides for almost every string, and is much the fastest.
        if "{" in value and holds_template(value):
            templates.append((path, value))
        return
    children = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for step, child in children:
        kind = type(child)
        if kind is dict or kind is list or (kind is str and "{" in child):
            _collect(child, (*path, step), templates)

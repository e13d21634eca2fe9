"""What a template can refer to in each part of a manifest, and which of that is secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qarunner.diagnostics import choose, closest
from qarunner.known import holds_template
from qarunner.manifest.codes import Code
from qarunner.manifest.templates.expression import FIELDS, ROOTS, Steps, TemplateError, TemplateProblem, as_text
from qarunner.manifest.templates.parse import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.diagnostics import Path
    from qarunner.manifest.model import Manifest
    from qarunner.manifest.templates.expression import Expression, Reference, Scalar


IN_ROWS = ("env", "vars", "matrix", "git", "ci")


IN_VENDORS = ("env", "vars", "git", "ci")


IN_VARS = ("env", "git", "ci")


_PARTS = {IN_VENDORS: "settings of vendors", IN_VARS: "values of vars"}


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

    def _constant(self, expression: Expression) -> TemplateProblem | None:
        """Why an expression that reads nothing can never be rendered."""
        try:
            as_text(expression.compute({root: {} for root in ROOTS}, self._steps))
        except TemplateError as fault:
            return fault.flaw
        return None

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
        for expression in scalar.expressions:
            for reference in expression.references:
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
        return tuple(path for path, text in templates_in(self._manifest.vars) if self._reads_secret(parse(text)))

    def _reads_secret(self, scalar: Scalar) -> bool:
        references = (reference for expression in scalar.expressions for reference in expression.references)
        return any(reference.root == "env" and reference.path[0] in self._secrets for reference in references)


def _related(path: tuple[str, ...], other: Path) -> bool:
    """Whether one path leads through the other."""
    shared = min(len(path), len(other))
    return path[:shared] == other[:shared]


def templates_in(data: object) -> list[tuple[Path, str]]:
    """Strings with templates in plain data, with their paths."""
    found: list[tuple[Path, str]] = []
    _collect(data, (), found)
    return found


def _collect(value: object, path: Path, found: list[tuple[Path, str]]) -> None:
    if type(value) is str:
        # The first test alone decides for almost every string, and is much the fastest.
        if "{" in value and holds_template(value):
            found.append((path, value))
        return
    children = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for step, child in children:
        kind = type(child)
        if kind is dict or kind is list or (kind is str and "{" in child):
            _collect(child, (*path, step), found)

"""What a template is made of: literal text, expressions, what each expression reads, and what it may cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

from qarunner.manifest.codes import Code

ROOTS = ("env", "vars", "matrix", "git", "ci")


FIELDS: Mapping[str, tuple[str, ...]] = {
    "matrix": ("id", "entry", "variant"),
    "git": ("sha", "short_sha", "branch", "tag", "repository"),
    "ci": ("name", "url", "event", "pr_number"),
}
"""What templates can read besides `env` and `vars`. `matrix.id` is the row's id, `matrix.entry` that of its entry."""


Context: TypeAlias = "Mapping[str, Mapping[str, object]]"
"""The five roots. What has no value in this build is absent or None."""


class TemplateFacts(dict[str, object]):
    """A root whose fields a condition may read where they have no value, such as the branch of a tag's build."""


LONGEST_SOURCE = 8 * 1024


LONGEST_TEXT = 64 * 1024
"""Characters of a template and of any text that it makes on the way."""


class Reference(Struct, frozen=True):
    """A name that an expression reads. `whole`: in a place where a secret may stand, unchanged."""

    root: str
    path: tuple[str, ...]
    whole: bool


class TemplateProblem(Struct, frozen=True):
    """Something wrong with an expression whatever the values are."""

    code: Code
    message: str
    hint: str | None = None


class TemplateError(Exception):
    """An expression that has no result with these values."""

    def __init__(self, code: Code, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.flaw = TemplateProblem(code, message, hint)


class Later(Struct, frozen=True, eq=False):
    """A value that is not known yet, and why. Whatever looks at it is not known either: UnknownValueError.

    `text` is what is known of a text: some of its expressions stand in it as they were written.
    """

    why: tuple[str, ...]
    text: str | None = None

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, _: object) -> bool:
        raise UnknownValueError(self.why)

    def __bool__(self) -> bool:
        raise UnknownValueError(self.why)


class UnknownValueError(TemplateError):
    """An expression reads a value that is not known yet."""

    def __init__(self, why: tuple[str, ...], text: str | None = None) -> None:
        super().__init__(Code.NOT_KNOWN, why[0])
        self.why = why
        self.text = text


def known(value: object) -> object:
    """A value whose parts are all known; UnknownValueError otherwise."""
    if type(value) is Later:
        raise UnknownValueError(value.why)
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    for child in children:
        known(child)
    return value


class StepLimitError(TemplateError):
    """All templates of a plan together cost more than they may: no other one is computed."""


class Steps:
    """What the templates of one plan may cost together, whatever each of them does.

    A step is about 10 ns of a usual machine: a character that a filter looks at, or a few that a pattern tries. They
    are counted and not measured, so that a plan which one machine makes is made by every other.
    """

    BASE = 300_000_000
    FOR_EACH_ROW = 10_000

    def __init__(self, rows: int = 0) -> None:
        self._rows = rows
        self.left = self.BASE + rows * self.FOR_EACH_ROW

    def take(self, number: int) -> None:
        """Counts steps before they are made. StepLimitError if too few are left."""
        self.left -= number
        if self.left < 0:
            for_rows = f" and {self.FOR_EACH_ROW:,} for each of {self._rows:,} rows" if self._rows else ""
            raise StepLimitError(
                Code.TOO_MUCH,
                f"the templates take too long: they need more than {self.BASE:,} steps{for_rows}",
                "use shorter texts, fewer filters and simpler patterns; what is the same in all rows belongs into vars",
            )


class Expression(Struct, frozen=True, eq=False):
    """One `{{ … }}`, or a whole text with `{% … %}`. `compute` raises TemplateError.

    The same text gives the same object (see `parse`), so that identity is enough to compare, and fast.
    """

    references: tuple[Reference, ...]
    flaws: tuple[TemplateProblem, ...]
    compute: Callable[[Context, Steps], object]
    written: str
    """As it can stand in a text, in one spelling: spaces around an expression mean nothing."""

    @classmethod
    def broken(cls, written: str, *flaws: TemplateProblem, references: tuple[Reference, ...] = ()) -> Expression:
        """An expression that cannot be computed."""

        def compute(_: Context, __: Steps) -> object:
            raise TemplateError(flaws[0].code, flaws[0].message, flaws[0].hint)

        return cls(references, flaws, compute, written)

    @property
    def varies(self) -> bool:
        """Whether its value depends on the row."""
        return any(reference.root == "matrix" for reference in self.references)


class Scalar(Struct, frozen=True):
    """A string of the manifest as literal pieces and expressions, in order."""

    pieces: tuple[str | Expression, ...]
    expressions: tuple[Expression, ...] = ()
    references: tuple[Reference, ...] = ()
    """What all of its expressions read."""

    def __post_init__(self) -> None:
        expressions = tuple([piece for piece in self.pieces if type(piece) is Expression])
        force_setattr(self, "expressions", expressions)
        references = tuple(reference for expression in expressions for reference in expression.references)
        force_setattr(self, "references", references)


def no_value(name: str) -> TemplateError:
    hint = f"give one for this case: {{{{ {name} | default('…') }}}}" if "." in name else None
    return TemplateError(Code.NO_VALUE, f"{name} has no value here", hint)


def as_text(value: object) -> str:
    """A value inside of a longer text, booleans as YAML writes them. TemplateError for lists and objects."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float() if math.isfinite(value):
            return str(value)
        case None:
            raise TemplateError(Code.NO_VALUE, "template: there is no value here")
        case list() | tuple():
            raise TemplateError(Code.NOT_TEXT, "a list cannot stand in a text", "use `| join(', ')` or `| tojson`")
        case _:
            what = f"{_kind(value)} cannot stand in a text"
            raise TemplateError(Code.NOT_TEXT, what, "use `| tojson`, or a part of it")


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if callable(value):
        return "a method without its parentheses"
    return "what is no finite number" if isinstance(value, (float, complex)) else "this"

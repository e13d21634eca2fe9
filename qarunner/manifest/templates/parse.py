"""A scalar with templates, taken apart.

`{{ env.STAGING_URL }}` and other dotted names are understood here, in microseconds; only what is more than that needs
Jinja2, which is not imported otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from qarunner.known import holds_template
from qarunner.manifest.codes import Code
from qarunner.manifest.templates.expression import (
    LONGEST_SOURCE,
    ROOTS,
    Expression,
    Later,
    Reference,
    Scalar,
    TemplateProblem,
    UnknownValueError,
    known,
    no_value,
)
from qarunner.regex import regex

if TYPE_CHECKING:
    from qarunner.manifest.templates.expression import Context, Steps


_LOOKUP_STEPS = 60


_TOO_LONG = f"a template has at most {LONGEST_SOURCE} characters"


# No braces but those around the expression, except in string literals: there Jinja2's own lexer has to decide.
_EXPRESSION = regex(r"""\{\{(?![-+])([^{}'"\\]*(?:(?:'[^'\\]*'|"[^"\\]*")[^{}'"\\]*)*)(?<![-+])\}\}""")


_DOTTED = regex(r"\s*([a-z]+)((?:\.[A-Za-z_][A-Za-z0-9_]*)+)\s*", re.ASCII)


@lru_cache(maxsize=16384)
def parse(text: str) -> Scalar:
    """A string with a template, taken apart. Never fails: what is wrong is in the flaws of its expressions."""
    if len(text) > LONGEST_SOURCE:
        return Scalar((Expression.broken(text, TemplateProblem(Code.TOO_MUCH, _TOO_LONG)),))
    parts = _EXPRESSION.split(text)
    if holds_template("\0".join(parts[::2])):
        return Scalar((_with_jinja(text, whole_text=True),))
    parts[1::2] = map(_expression, parts[1::2])
    return Scalar(tuple(filter(None, parts)))


@lru_cache(maxsize=4096)
def _expression(text: str) -> Expression:
    match = _DOTTED.fullmatch(text)
    if match is None or match[1] not in ROOTS:
        return _with_jinja(text, whole_text=False)
    path = tuple(match[2][1:].split("."))
    written = f"{{{{ {match[0].strip()} }}}}"
    return Expression((Reference(match[1], path, whole=True),), (), _lookup(match[1], path), written)


def _with_jinja(text: str, *, whole_text: bool) -> Expression:
    from qarunner.manifest.templates import jinja as sandbox  # noqa: PLC0415  Jinja2 takes 80 ms to import; most manifests never need it

    return sandbox.expression(text, whole_text=whole_text)


def _lookup(root: str, path: tuple[str, ...]) -> Callable[[Context, Steps], object]:
    def compute(context: Context, steps: Steps) -> object:
        steps.take(_LOOKUP_STEPS)
        value: object = context[root]
        for step in path:
            if type(value) is Later:
                raise UnknownValueError(value.why)
            value = value.get(step) if isinstance(value, Mapping) else None
        if type(value) is Later:
            raise UnknownValueError(value.why, value.text)
        if value is None:
            raise no_value(".".join((root, *path)))
        return known(value)

    return compute

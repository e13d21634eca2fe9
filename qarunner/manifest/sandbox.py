"""Jinja2, confined: names lead to plain data alone, never to Python's attributes, and nothing grows without bound."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import jinja2
from jinja2 import filters as jinja_filters
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS

from qarunner.manifest import filters, grammar
from qarunner.manifest.codes import Code
from qarunner.manifest.expression import Expression, Facts, Flaw, TemplateFault, as_text, no_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2.runtime import Context as JinjaContext

    from qarunner.manifest.expression import Context

_FILTERS: Mapping[str, Callable[..., object]] = {
    "b64encode": filters.b64encode,
    "first": filters.first,
    "float": filters.number,
    "int": filters.integer,
    "join": filters.join,
    "last": filters.last,
    "lower": filters.lower,
    "regex_replace": filters.regex_replace,
    "replace": filters.replace,
    "reverse": filters.reverse,
    "round": filters.rounded,
    "slug": filters.slug,
    "string": as_text,
    "tojson": filters.tojson,
    "trim": filters.trim,
    "unique": filters.unique,
    "upper": filters.upper,
    "urlencode": filters.urlencode,
}
_READABLE = (Mapping, list, tuple, str)
_BITS = 256
"""Whole numbers stay below 2^256."""


class Group(dict[str, object]):
    """One of the roots, with its name for messages. `facts`: one can ask for what it does not have."""

    __slots__ = ("facts", "name")

    def __init__(self, name: str, values: Mapping[str, object]) -> None:
        super().__init__(values)
        self.name = name
        self.facts = isinstance(values, Facts)


class _Absent(jinja2.StrictUndefined):
    """A fact that this build does not have: equal to nothing, and false. Whatever else is done with it is an error."""

    __slots__ = ()
    __hash__ = jinja2.Undefined.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        return isinstance(other, _Absent)

    def __ne__(self, other: object) -> bool:  # type: ignore[override]
        return not isinstance(other, _Absent)

    def __bool__(self) -> bool:  # type: ignore[override]
        return False


class _Environment(ImmutableSandboxedEnvironment):
    """Data by key and by index, methods of texts by name; nothing else can be reached."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def getattr(self, obj: object, attribute: str) -> object:
        if isinstance(obj, str) and attribute in grammar.METHODS:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: object, argument: object) -> object:
        try:
            value = cast("Mapping[object, object]", obj)[argument] if isinstance(obj, _READABLE) else None
        except (LookupError, TypeError):
            value = None
        if value is not None:
            return value
        if isinstance(obj, Group):
            kind = _Absent if obj.facts else self.undefined
            return kind(hint=f"{obj.name}.{argument} has no value here")
        return self.undefined(hint=f"{argument} has no value here")

    def is_safe_callable(self, obj: object) -> bool:
        if not isinstance(obj, types.BuiltinMethodType):
            return False
        return isinstance(obj.__self__, str) and obj.__name__ in grammar.METHODS

    def call_binop(self, context: JinjaContext, operator: str, left: object, right: object) -> object:
        _bound(operator, left, right)
        return super().call_binop(context, operator, left, right)


def _bound(operator: str, left: object, right: object) -> None:
    """Texts can be added and nothing else; numbers stay small. TemplateFault otherwise."""
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return filters.bounded(len(left) + len(right))
    for operand in (left, right):
        if isinstance(operand, jinja2.Undefined):
            raise _undefined(operand)
    if not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
        what = f"template: {operator!r} takes two numbers, or for '+' two texts"
        raise TemplateFault(Code.FAILED, what, "texts are joined with ~")
    size = max(_bits(left), 1) * min(abs(int(right)), _BITS) if operator == "**" else _bits(left) + _bits(right)
    if size > _BITS:
        raise TemplateFault(Code.TOO_MUCH, f"template: {operator!r} makes a number that is too large")
    return None


def _bits(value: float) -> int:
    return value.bit_length() if isinstance(value, int) else 1


def _strict(function: Callable[..., object]) -> Callable[..., object]:
    """A filter that refuses what is undefined, as Jinja2's own do by reading it."""

    @functools.wraps(function)
    def filtered(*values: object, **named: object) -> object:
        for value in (*values, *named.values()):
            if isinstance(value, jinja2.Undefined):
                raise _undefined(value)
        return function(*values, **named)

    return filtered


def _environment() -> _Environment:
    environment = _Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, cache_size=0)
    environment.finalize = _strict(as_text)
    environment.globals.clear()
    environment.filters = {name: jinja_filters.FILTERS[name] for name in grammar.FILTERS if name not in _FILTERS}
    environment.filters.update((name, _strict(function)) for name, function in _FILTERS.items())
    environment.tests = {name: TESTS[name] for name in grammar.TESTS}
    return environment


_ENVIRONMENT = _environment()


def expression(text: str, *, whole_text: bool) -> Expression:
    """An expression (the inside of `{{ … }}`), or a whole text with statements; its flaws if it is not allowed."""
    source = text if whole_text else f"{{{{{text}}}}}"
    try:
        tree = _ENVIRONMENT.parse(source)
    except jinja2.TemplateSyntaxError as error:
        return Expression.broken(Flaw(Code.SYNTAX, f"template: {error.message}", _syntax_hint(source)))
    except (RecursionError, ValueError, OverflowError):
        return Expression.broken(Flaw(Code.TOO_MUCH, "template: nested too deeply, or a number that is too large"))
    survey = grammar.Survey(tree)
    references, flaws = tuple(survey.references), tuple(survey.flaws)
    if flaws:
        return Expression.broken(*flaws, references=references)
    return Expression(references, (), _Program(tree))


def _syntax_hint(source: str) -> str:
    if source.count("{{") != source.count("}}"):
        return "every `{{` needs its `}}`; to write braces as such: {% raw %}{{{% endraw %}"
    return "expressions look like {{ env.NAME }} or {{ vars.name | default('x') }}"


class _Program:
    """A tree that is compiled when it is first computed."""

    __slots__ = ("_compiled", "_native", "_tree")

    def __init__(self, tree: nodes.Template) -> None:
        only = grammar.single(tree)
        self._native = only is not None
        for concatenation in list(tree.find_all(nodes.Concat)):
            concatenation.nodes = [_as_text(node) for node in concatenation.nodes]
        self._tree = tree if only is None else _assigned(only)
        self._compiled: jinja2.Template | None = None

    def __call__(self, context: Context) -> object:
        try:
            return self._run({name: Group(name, values) for name, values in context.items()})
        except TemplateFault:
            raise
        except jinja2.UndefinedError as error:
            raise _no_value(str(error.message)) from None
        except Exception as error:  # noqa: BLE001  whatever a template does wrong is an error of the template
            raise TemplateFault(Code.FAILED, f"template: {error}") from None

    def _run(self, groups: dict[str, object]) -> object:
        if self._compiled is None:
            self._compiled = _ENVIRONMENT.from_string(self._tree)
        context = self._compiled.new_context(groups)
        text = "".join(self._compiled.root_render_func(context))
        if not self._native:
            return text
        value = context.vars["result"]
        if isinstance(value, jinja2.Undefined):
            raise _undefined(value)
        return value


def _as_text(node: nodes.Expr) -> nodes.Expr:
    """`~` would write lists and booleans as Python does."""
    return nodes.Filter(node, "string", [], [], None, None, lineno=node.lineno, environment=_ENVIRONMENT)


def _assigned(value: nodes.Expr) -> nodes.Template:
    """Jinja2 makes text of everything; only by assigning does a value keep its type."""
    return nodes.Template([nodes.Assign(nodes.Name("result", "store"), value, lineno=1)], lineno=1)


def _undefined(value: jinja2.Undefined) -> TemplateFault:
    return _no_value(str(value._undefined_message))  # noqa: SLF001  what Jinja2's own errors say


def _no_value(message: str) -> TemplateFault:
    name = message.removesuffix(" has no value here")
    return no_value(name) if name != message else TemplateFault(Code.NO_VALUE, f"template: {message}")

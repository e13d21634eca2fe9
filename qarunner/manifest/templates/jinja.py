"""Jinja2, confined: names lead to plain data alone, never to Python's attributes, and nothing grows without bound."""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import jinja2
from jinja2 import filters as jinja_filters
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS

from qarunner.diagnostics import choose
from qarunner.manifest.codes import Code
from qarunner.manifest.templates import filters
from qarunner.manifest.templates.expression import (
    ROOTS,
    Expression,
    Later,
    Reference,
    Steps,
    TemplateError,
    TemplateFacts,
    TemplateProblem,
    UnknownValueError,
    as_text,
    known,
    no_value,
)
from qarunner.regex import regex
from qarunner.secret import has_brackets

if TYPE_CHECKING:
    from jinja2.runtime import Context as JinjaContext

    from qarunner.manifest.templates.expression import Context


# ---------------------------------------------------------------------------------------------------------------------

# What a template may be made of, and what it refers to: read off Jinja2's syntax tree before anything is computed.
#
# This is a list of allowed parts, not one of forbidden parts. There are no loops, assignments, macros, imports or
# functions: what a template costs is bounded by the length of its source.


ALLOWED_FILTERS = (
    *("abs", "b64encode", "capitalize", "count", "d", "default", "first", "float", "int", "join", "last", "length"),
    *("lower", "regex_replace", "replace", "reverse", "round", "slug", "sort", "string", "title", "tojson", "trim"),
    *("unique", "upper", "urlencode"),
)


ALLOWED_TESTS = (
    *("boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "float", "ge", "gt", "in", "integer"),
    *("le", "lower", "lt", "ne", "number", "odd", "string", "true", "undefined", "upper"),
)


METHODS = (
    *("endswith", "lower", "lstrip", "removeprefix", "removesuffix", "rsplit", "rstrip", "split", "startswith"),
    *("strip", "upper"),
)
"""Methods of texts that can be called; no method makes a text longer than what it gets."""


_KEEP_SECRETS = frozenset({"urlencode", "b64encode", "default", "d"})


_MOST_PARTS = 400


_PLAIN = (nodes.BinExpr, nodes.UnaryExpr, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Slice)


_WORDS: dict[type[nodes.Node], str] = {
    nodes.For: "{% for %}",
    nodes.Assign: "{% set %}",
    nodes.AssignBlock: "{% set %}",
    nodes.Macro: "{% macro %}",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.With: "{% with %}",
    nodes.Block: "{% block %}",
    nodes.Extends: "{% extends %}",
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from %}",
    nodes.Scope: "{% autoescape %}",
}


class Survey:
    """Walks a tree; afterwards `references` and `flaws` hold what was found, in order and once each."""

    def __init__(self, tree: nodes.Template) -> None:
        self.references: dict[Reference, None] = {}
        self.flaws: dict[TemplateProblem, None] = {}
        self._parts = 0
        self._statements(tree.body)

    def _statements(self, body: Iterable[nodes.Node]) -> None:
        for node in body:
            match node:
                case nodes.Output():
                    self._walk_all(node.nodes, whole=True)
                case nodes.If():
                    self._visit(node.test, whole=False)
                    self._statements([*node.body, *node.elif_, *node.else_])
                case _:
                    self._forbid(node)

    def _visit(self, node: nodes.Node, *, whole: bool) -> None:
        """`whole`: a secret may stand here, as it reaches the text unchanged."""
        self._parts += 1
        if self._parts > _MOST_PARTS:
            self._flaw(Code.TOO_MUCH, f"a template has at most {_MOST_PARTS} parts")
            return
        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                self._named(node, whole=whole)
            case nodes.Filter():
                self._filter(node, whole=whole)
            case nodes.Concat() | nodes.Add():
                self._walk_all(node.iter_child_nodes(), whole=whole)
            case nodes.CondExpr():
                self._visit(node.test, whole=False)
                self._walk_all([node.expr1, *([node.expr2] if node.expr2 else [])], whole=whole)
            case _:
                self._plain(node)

    def _plain(self, node: nodes.Node) -> None:
        match node:
            case nodes.TemplateData():
                pass
            case nodes.Const():
                self._const(node.value)
            case nodes.Call():
                self._call(node)
            case nodes.Test():
                self._known(node.name, ALLOWED_TESTS, "test")
                self._walk_all([node.node, *self._arguments(node)], whole=False)
            case nodes.Compare():
                self._walk_all([node.expr, *(operand.expr for operand in node.ops)], whole=False)
            case _ if isinstance(node, _PLAIN):
                self._walk_all(node.iter_child_nodes(), whole=False)
            case _:
                self._forbid(node)

    def _walk_all(self, children: Iterable[nodes.Node], *, whole: bool) -> None:
        for child in children:
            self._visit(child, whole=whole)

    def _const(self, value: object) -> None:
        if isinstance(value, str) and has_brackets(value):
            self._flaw(Code.RESERVED, "the characters ⟦ and ⟧ are reserved for the placeholders of secrets")

    # --- names --------------------------------------------------------------------------------------------------------

    def _named(self, node: nodes.Name | nodes.Getattr | nodes.Getitem, *, whole: bool) -> None:
        base, path = _chain(node)
        if isinstance(base, nodes.Name):
            return self._name(base.name, path, whole=whole)
        if any(step.startswith("_") for step in path):
            self._flaw(Code.FORBIDDEN, "template: names that begin with an underscore cannot be reached")
        if not isinstance(base, nodes.Getitem):
            return self._visit(base, whole=False)
        self._visit(base.arg, whole=False)
        if not isinstance(base.node, nodes.Name):
            return self._visit(base.node, whole=False)
        if base.node.name == "vars":
            self.references[Reference("vars", (), whole=False)] = None
            return None
        return self._name(base.node.name, (), whole=False)

    def _name(self, root: str, path: tuple[str, ...], *, whole: bool) -> None:
        if root not in ROOTS:
            hint = f"an environment variable is read as env.{root}" if root.isupper() else choose(root, ROOTS)
            if root in _OF_CI and path:
                hint = f"write {{{{ env.{path[-1]} }}}}, and declare {path[-1]} under env"
            self._flaw(Code.UNKNOWN_NAME, f"template: unknown name {root!r}", hint)
        elif path:
            self.references[Reference(root, path, whole=whole)] = None
        else:
            self._flaw(Code.UNKNOWN_NAME, f"template: {root} is no value by itself", f"name one of its: {root}.NAME")

    # --- filters, tests and methods -----------------------------------------------------------------------------------

    def _filter(self, node: nodes.Filter, *, whole: bool) -> None:
        self._known(node.name, ALLOWED_FILTERS, "filter")
        whole = whole and node.name in _KEEP_SECRETS
        if node.node is not None:
            self._visit(node.node, whole=whole)
        self._walk_all(self._arguments(node), whole=whole)

    def _call(self, node: nodes.Call) -> None:
        if isinstance(node.node, nodes.Getattr):
            self._known(node.node.attr, METHODS, "method")
            self._walk_all([node.node.node, *self._arguments(node)], whole=False)
        else:
            name = node.node.name if isinstance(node.node, nodes.Name) else "…"
            self._flaw(Code.FORBIDDEN, f"template: {name}() cannot be called: templates have filters, no functions")

    def _arguments(self, node: nodes.Filter | nodes.Test | nodes.Call) -> list[nodes.Node]:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._flaw(Code.FORBIDDEN, "template: arguments cannot be unpacked with * or **")
        return [*node.args, *(keyword.value for keyword in node.kwargs)]

    def _known(self, name: str, names: Sequence[str], what: str) -> None:
        if name not in names:
            self._flaw(Code.UNKNOWN_FILTER, f"template: unknown {what} {name!r}", choose(name, names))

    def _forbid(self, node: nodes.Node) -> None:
        word = _WORDS.get(type(node), type(node).__name__)
        hint = "use {{ … }} with filters such as default and join, and {% if %}"
        self._flaw(Code.FORBIDDEN, f"template: {word} cannot be used here", hint)

    def _flaw(self, code: Code, message: str, hint: str | None = None) -> None:
        self.flaws[TemplateProblem(code, message, hint)] = None


def _chain(node: nodes.Node) -> tuple[nodes.Node, tuple[str, ...]]:
    """`a.b['c']` as `a` and its steps; a step that is not literal ends the chain."""
    steps: list[str] = []
    while True:
        match node:
            case nodes.Getattr():
                steps.append(node.attr)
            case nodes.Getitem(arg=nodes.Const(value=str(step))):
                steps.append(step)
            case _:
                return node, tuple(reversed(steps))
        node = node.node


def single(tree: nodes.Template) -> nodes.Expr | None:
    """The expression that is the whole template, if it is nothing else: its value keeps its type."""
    match tree.body:
        case [nodes.Output(nodes=[nodes.Expr() as only])] if not isinstance(only, nodes.TemplateData):
            return only
        case _:
            return None


_FILTERS: Mapping[str, Callable[..., object]] = {
    **{
        name: getattr(filters, name)
        for name in (
            *("b64encode", "first", "join", "last", "lower", "regex_replace", "replace", "reverse", "slug", "tojson"),
            *("trim", "unique", "upper", "urlencode"),
        )
    },
    "float": filters.number,
    "int": filters.integer,
    "round": filters.rounded,
    "string": as_text,
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
        self.facts = isinstance(values, TemplateFacts)


_OF_CI = frozenset({"secrets", "inputs", "variables", "parameters", "steps"})
"""Where CI systems keep what their own templates read."""


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


_EVALUATION_STEPS = 1000
"""What an expression costs besides what it works on."""


_WEIGHTS = {"sort": 150, "title": 50, "unique": 50, "slug": 20}
"""Steps for each character that a filter looks at, where it is not the usual number."""


_WEIGHT = 10


_COMPARED_AT_ONCE = 8
"""Characters of a text that are compared or copied in one step."""


def _size(value: object) -> int:
    """How much there is to look at: the characters of texts, and something for each element."""
    match value:
        case str():
            return len(value)
        case list() | tuple():
            return sum(8 + _size(element) for element in value)
        case dict():
            return sum(8 + len(str(key)) + _size(element) for key, element in value.items())
        case _:
            return 1


class _Environment(ImmutableSandboxedEnvironment):
    """Data by key and by index, methods of texts by name; nothing else can be reached.

    `steps` are those of the plan whose template is computed: whatever a template can do is counted here.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    steps = Steps()

    def call(self, context: JinjaContext, obj: object, /, *args: object, **kwargs: object) -> object:
        """A method of a text."""
        owner = getattr(obj, "__self__", None)
        self.steps.take(_WEIGHT * (_size(owner) + sum(map(_size, args))))
        return super().call(context, obj, *args, **kwargs)

    def getattr(self, obj: object, attribute: str) -> object:
        if isinstance(obj, str) and attribute in METHODS:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: object, argument: object) -> object:
        try:
            value = cast("Mapping[object, object]", obj)[argument] if isinstance(obj, _READABLE) else None
        except (LookupError, TypeError):
            value = None
        if type(value) is Later:
            raise UnknownValueError(value.why)
        if value is not None:
            # Whatever is done with it next may look at all of it: a comparison, an `in`, a text around it.
            self.steps.take(20 + (len(value) // _COMPARED_AT_ONCE if isinstance(value, str) else 3 * _size(value)))
            return value
        if isinstance(obj, Group):
            kind = _Absent if obj.facts else self.undefined
            return kind(hint=f"{obj.name}.{argument} has no value here")
        return self.undefined(hint=f"{argument} has no value here")

    def is_safe_callable(self, obj: object) -> bool:
        if not isinstance(obj, types.BuiltinMethodType):
            return False
        return isinstance(obj.__self__, str) and obj.__name__ in METHODS

    def call_binop(self, context: JinjaContext, operator: str, left: object, right: object) -> object:
        self.steps.take(_size(left) + _size(right))
        _bound(operator, left, right)
        return super().call_binop(context, operator, left, right)


def _bound(operator: str, left: object, right: object) -> None:
    """Texts can be added and nothing else; numbers stay small. TemplateError otherwise."""
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return filters.bounded(len(left) + len(right))
    for operand in (left, right):
        if isinstance(operand, jinja2.Undefined):
            raise _undefined(operand)
    if not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
        what = f"template: {operator!r} takes two numbers, or for '+' two texts"
        raise TemplateError(Code.FAILED, what, "texts are joined with ~")
    size = max(_bits(left), 1) * min(abs(int(right)), _BITS) if operator == "**" else _bits(left) + _bits(right)
    if size > _BITS:
        raise TemplateError(Code.TOO_MUCH, f"template: {operator!r} makes a number that is too large")
    return None


def _bits(value: float) -> int:
    return value.bit_length() if isinstance(value, int) else 1


def _counted(
    function: Callable[..., object], environment: _Environment, weight: int, *, strict: bool
) -> Callable[..., object]:
    """A filter that costs steps. One that is `strict` refuses what is undefined, as Jinja2's own do by reading it."""

    @functools.wraps(function)
    def filtered(*values: object, **named: object) -> object:
        for value in (*values, *named.values()):
            if strict and isinstance(value, jinja2.Undefined):
                raise _undefined(value)
            known(value)
        environment.steps.take(100 + weight * sum(map(_size, values)))
        if function is filters.regex_replace:
            named["steps"] = environment.steps
        return function(*values, **named)

    return filtered


def _environment() -> _Environment:
    environment = _Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, cache_size=0)
    environment.finalize = _counted(as_text, environment, 1, strict=True)
    environment.globals.clear()
    for name in ALLOWED_FILTERS:
        function, weight = _FILTERS.get(name) or jinja_filters.FILTERS[name], _WEIGHTS.get(name, _WEIGHT)
        environment.filters[name] = _counted(function, environment, weight, strict=name in _FILTERS)
    for name in environment.filters.keys() - set(ALLOWED_FILTERS):
        del environment.filters[name]
    environment.tests = {name: TESTS[name] for name in ALLOWED_TESTS}
    return environment


_ENVIRONMENT = _environment()


_TOO_DEEP = "template: nested too deeply, or a number that is too large"


def expression(text: str, *, whole_text: bool) -> Expression:
    """An expression (the inside of `{{ … }}`), or a whole text with statements; its flaws if it is not allowed."""
    source = text if whole_text else f"{{{{{text}}}}}"
    written = text if whole_text else f"{{{{ {_one_spelling(text)} }}}}"
    try:
        tree = _ENVIRONMENT.parse(source)
    except jinja2.TemplateSyntaxError as error:
        return Expression.broken(
            written, TemplateProblem(Code.SYNTAX, f"template: {error.message}", _syntax_hint(source))
        )
    except (RecursionError, ValueError, OverflowError):
        return Expression.broken(written, TemplateProblem(Code.TOO_MUCH, _TOO_DEEP))
    survey = Survey(tree)
    references, flaws = tuple(survey.references), tuple(survey.flaws)
    if flaws:
        return Expression.broken(written, *flaws, references=references)
    return Expression(references, (), _Program(tree), written)


def _one_spelling(text: str) -> str:
    """An expression with one space wherever there are some outside of its texts."""
    parts = _QUOTED.split(text.strip())
    return "".join(part if index % 2 else _SPACES.sub(" ", part) for index, part in enumerate(parts))


_QUOTED = regex(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)


_SPACES = regex(r"\s+")


def _syntax_hint(source: str) -> str:
    if source.count("{{") != source.count("}}"):
        return "every `{{` needs its `}}`; to write braces as such: {% raw %}{{{% endraw %}"
    return "expressions look like {{ env.NAME }} or {{ vars.name | default('x') }}"


class _Program:
    """A tree that is compiled when it is first computed."""

    __slots__ = ("_compiled", "_native", "_tree")

    def __init__(self, tree: nodes.Template) -> None:
        only = single(tree)
        self._native = only is not None
        for concatenation in list(tree.find_all(nodes.Concat)):
            concatenation.nodes = [_as_text(node) for node in concatenation.nodes]
        self._tree = tree if only is None else _assigned(only)
        self._compiled: jinja2.Template | None = None

    def __call__(self, context: Context, steps: Steps) -> object:
        _ENVIRONMENT.steps = steps
        try:
            steps.take(_EVALUATION_STEPS)
            return self._run({name: Group(name, values) for name, values in context.items()})
        except TemplateError:
            raise
        except jinja2.UndefinedError as error:
            raise _no_value(str(error.message)) from None
        except (SyntaxError, RecursionError):  # Python's own bounds of a program
            raise TemplateError(Code.TOO_MUCH, _TOO_DEEP) from None
        except Exception as error:  # noqa: BLE001  whatever a template does wrong is an error of the template
            raise TemplateError(Code.FAILED, f"template: {error}") from None

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
        return known(value)


def _as_text(node: nodes.Expr) -> nodes.Expr:
    """`~` would write lists and booleans as Python does."""
    return nodes.Filter(node, "string", [], [], None, None, lineno=node.lineno, environment=_ENVIRONMENT)


def _assigned(value: nodes.Expr) -> nodes.Template:
    """Jinja2 makes text of everything; only by assigning does a value keep its type."""
    return nodes.Template([nodes.Assign(nodes.Name("result", "store"), value, lineno=1)], lineno=1)


def _undefined(value: jinja2.Undefined) -> TemplateError:
    return _no_value(str(value._undefined_message))  # noqa: SLF001  what Jinja2's own errors say


def _no_value(message: str) -> TemplateError:
    name = message.removesuffix(" has no value here")
    return no_value(name) if name != message else TemplateError(Code.NO_VALUE, f"template: {message}")

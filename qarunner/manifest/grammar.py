"""What a template may be made of, and what it refers to: read off Jinja2's syntax tree before anything is computed.

This is a list of allowed parts, not one of forbidden parts. There are no loops, assignments, macros, imports or
functions: what a template costs is bounded by the length of its source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import nodes

from qarunner.diagnostics import choose
from qarunner.manifest.codes import Code
from qarunner.manifest.expression import ROOTS, Flaw, Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FILTERS = (
    *("abs", "b64encode", "capitalize", "count", "d", "default", "first", "float", "int", "join", "last", "length"),
    *("lower", "regex_replace", "replace", "reverse", "round", "slug", "sort", "string", "title", "tojson", "trim"),
    *("unique", "upper", "urlencode"),
)
TESTS = (
    *("boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "float", "ge", "gt", "in", "integer"),
    *("le", "lower", "lt", "ne", "number", "odd", "string", "true", "undefined", "upper"),
)
METHODS = (
    *("endswith", "lower", "lstrip", "removeprefix", "removesuffix", "rsplit", "rstrip", "split", "startswith"),
    *("strip", "upper"),
)
"""Methods of texts that can be called; none makes a text longer than what it was given."""

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
        self.flaws: dict[Flaw, None] = {}
        self._parts = 0
        self._statements(tree.body)

    def _statements(self, body: Iterable[nodes.Node]) -> None:
        for node in body:
            match node:
                case nodes.Output():
                    self._each(node.nodes, whole=True)
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
                self._each(node.iter_child_nodes(), whole=whole)
            case nodes.CondExpr():
                self._visit(node.test, whole=False)
                self._each([node.expr1, *([node.expr2] if node.expr2 else [])], whole=whole)
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
                self._known(node.name, TESTS, "test")
                self._each([node.node, *self._arguments(node)], whole=False)
            case nodes.Compare():
                self._each([node.expr, *(operand.expr for operand in node.ops)], whole=False)
            case _ if isinstance(node, _PLAIN):
                self._each(node.iter_child_nodes(), whole=False)
            case _:
                self._forbid(node)

    def _each(self, children: Iterable[nodes.Node], *, whole: bool) -> None:
        for child in children:
            self._visit(child, whole=whole)

    def _const(self, value: object) -> None:
        if isinstance(value, str) and ("⟦" in value or "⟧" in value):
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
            self._flaw(Code.UNKNOWN_NAME, f"template: unknown name {root!r}", hint)
        elif path:
            self.references[Reference(root, path, whole=whole)] = None
        else:
            self._flaw(Code.UNKNOWN_NAME, f"template: {root} is no value by itself", f"name one of its: {root}.NAME")

    # --- filters, tests and methods -----------------------------------------------------------------------------------

    def _filter(self, node: nodes.Filter, *, whole: bool) -> None:
        self._known(node.name, FILTERS, "filter")
        whole = whole and node.name in _KEEP_SECRETS
        if node.node is not None:
            self._visit(node.node, whole=whole)
        self._each(self._arguments(node), whole=whole)

    def _call(self, node: nodes.Call) -> None:
        if isinstance(node.node, nodes.Getattr):
            self._known(node.node.attr, METHODS, "method")
            self._each([node.node.node, *self._arguments(node)], whole=False)
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
        self.flaws[Flaw(code, message, hint)] = None


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

"""Writes the manifest's JSON Schema as Python that says yes or no (`make schema`).

Only keywords and patterns that the schema uses are known; any other is a ValueError.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias, cast, get_args

from qarunner.manifest.schema.validate import Part, definition, in_python

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Schema: TypeAlias = "dict[str, object]"

_HEAD = '''"""Generated from qa-matrix.schema.json by `make schema`, and not edited by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.manifest.schema.keywords import always, is_number, is_unique, is_whole, members
from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Callable


def validators(*, templates: bool) -> dict[str, Callable[[object], object]]:
    """For each part what is true of valid data alone; without `templates`, braces are text like any other."""

'''

_KINDS = {"string": "str", "boolean": "bool", "array": "list", "object": "dict"}

_IDLE = frozenset(
    {
        *("$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples", "errorMessage"),
        *("markdownEnumDescriptions", "defaultSnippets", "then", "else", "minContains", "maxContains"),
    }
)
"""Keywords that say nothing of validity, or nothing that their neighbours do not say."""

_NUMBERS = frozenset({"integer", "number"})

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern"),
    "number": ("minimum", "maximum"),
    "array": ("minItems", "maxItems", "uniqueItems", "items", "contains"),
    "object": (
        *("minProperties", "maxProperties", "required", "propertyNames", "patternProperties", "properties"),
        "additionalProperties",
    ),
}

_LENGTHS = {
    **dict.fromkeys(("minLength", "minItems", "minProperties"), ">="),
    **dict.fromkeys(("maxLength", "maxItems", "maxProperties"), "<="),
}

_SHORT = 100
"""Characters of a definition that is repeated where it is used: to call it would take longer."""

_MOST_USES = 3
"""How often a value of a mapping may be looked up in an expression; else a function gets it."""


def source() -> str:
    """The module's text."""
    writer = _Writer()
    return writer.module({part: writer.function(definition(part)) for part in get_args(Part)})


def _both(terms: Iterable[str]) -> str:
    distinct = [term for term in dict.fromkeys(terms) if term != "True"]
    if "False" in distinct:
        return "False"
    return distinct[0] if len(distinct) == 1 else f"({' and '.join(distinct)})" if distinct else "True"


def _either(terms: Iterable[str]) -> str:
    distinct = [term for term in dict.fromkeys(terms) if term != "False"]
    if "True" in distinct:
        return "True"
    return distinct[0] if len(distinct) == 1 else f"({' or '.join(distinct)})" if distinct else "False"


def _not(term: str) -> str:
    return {"True": "False", "False": "True"}.get(term, f"(not {term})")


class _Writer:
    """`functions` are the expressions of one value `v`, by name; `tables` are the keys of mappings."""

    def __init__(self) -> None:
        self._whole = definition("manifest")
        self._definitions, self._rendered = (
            cast("dict[str, Schema]", definition("manifest", templates=templates)["$defs"])
            for templates in (True, False)
        )
        self._expressions: dict[tuple[int, str, frozenset[str] | None], tuple[Schema, str]] = {}
        """By the schema's id, which is its own as long as the schema is kept: most are asked for a hundred times."""
        self._functions: dict[str, str] = {}
        self._tables: dict[str, str] = {}
        self._patterns: dict[str, str] = {}
        for name, schema in self._definitions.items():
            text = self._body(schema)
            if schema != self._rendered[name]:
                text = f"{text} if templates else {self._body(self._rendered[name])}"
            self._functions[f"_{name}"] = text

    def module(self, roots: Mapping[str, str]) -> str:
        """Only what `roots` lead to."""
        everything = {**self._functions, **self._tables}
        used, queue = set(), list(roots.values())
        while queue:
            name = queue.pop()
            if name not in used:
                used.add(name)
                queue += [word for word in re.findall(r"\b[_a-z]\w*", everything.get(name, "")) if word in everything]
        lines = [f"    {name} = regex({text!a})" for text, name in self._patterns.items()]
        lines += [f"    def {name}(v): return {text}" for name, text in self._functions.items() if name in used]
        lines += [f"    {name} = {text}" for name, text in self._tables.items() if name in used]
        listed = ", ".join(f"{part!r}: {name}" for part, name in roots.items())
        return _HEAD + "\n".join(lines) + f"\n    return {{{listed}}}\n"

    def function(self, schema: object) -> str:
        """The name of a function that checks a value."""
        text = self._body(schema)
        call = re.fullmatch(r"(\w+)\(v\)", text)
        if text == "True" or call:
            return call[1] if call else "always"
        return self._named(self._functions, "f", text)

    def _body(self, schema: object) -> str:
        """The expression of a function: where it asks more than once whether it has a mapping, it asks once."""
        text = self._expression(schema, "v")
        if text.count("(not isinstance(v, dict))") <= 1:
            return text
        kinds = {*_KINDS, "null", "number", "integer"}
        mapping, other = (self._expression(schema, "v", frozenset(some)) for some in ({"object"}, kinds - {"object"}))
        return f"({mapping} if isinstance(v, dict) else {other})"

    def _named(self, names: dict[str, str], letter: str, text: str) -> str:
        same = (name for name, other in names.items() if other == text)
        name = next(same, f"{letter}{len(names)}")
        names[name] = text
        return name

    def _value(self, schema: object, name: str) -> str:
        """Checks the value `name`, which is a look-up."""
        text = self._expression(schema, name)
        return text if text.count(name) <= _MOST_USES else f"{self.function(schema)}({name})"

    def _expression(self, schema: object, v: str, kinds: frozenset[str] | None = None) -> str:
        """An expression that is true if the value `v` is valid; `kinds` are the types that it can have."""
        if isinstance(schema, bool) or not schema:
            return str(schema is not False)
        rules = cast("Schema", schema)
        key = (id(schema), v, kinds)
        if key not in self._expressions:
            self._expressions[key] = (rules, self._composed(rules, v, kinds))
        return self._expressions[key][1]

    def _composed(self, rules: Schema, v: str, kinds: frozenset[str] | None) -> str:
        tests = {
            kind: _both(self._grouped(keyword, rules, v) for keyword in keywords if keyword in rules)
            for kind, keywords in _GROUPS.items()
        }
        wanted = rules.get("type", [])
        types = frozenset([wanted] if isinstance(wanted, str) else cast("list[str]", wanted))
        if types and not (kinds and kinds <= types):
            kinds = types & (kinds or types)
            tested = {kind: test for kind in sorted(kinds) if (test := tests.get(_group(kind), "True")) != "True"}
            by_type = [_both([_of_types(frozenset({kind}), v), test]) for kind, test in tested.items()]
            terms = [_either([*by_type, _of_types(kinds - tested.keys(), v)])]
        else:
            terms = []
            for kind, test in tests.items():
                possible = kinds is None or kinds & (_NUMBERS if kind == "number" else {kind})
                if possible and test != "True":
                    guard = f"is_number({v})" if kind == "number" else f"isinstance({v}, {_KINDS[kind]})"
                    terms.append(test if kinds == possible else _either([_not(guard), test]))
        grouped = {keyword for group in _GROUPS.values() for keyword in group}
        terms += [
            self._general(keyword, rules, v, kinds)
            for keyword in rules
            if keyword not in grouped | _IDLE | {"type"} and not keyword.startswith("x-")
        ]
        return _both(terms)

    def _general(  # noqa: PLR0911  a keyword, a return
        self, keyword: str, rules: Schema, v: str, kinds: frozenset[str] | None
    ) -> str:
        wanted = rules[keyword]
        children = wanted if isinstance(wanted, list) else []
        match keyword:
            case "$ref":
                return self._referred(str(wanted), v, kinds)
            case "const":
                return _equals(wanted, v)
            case "enum" if all(isinstance(option, str) for option in children):
                return f"{v} in {tuple(children)!r}"
            case "allOf":
                return _both(self._expression(child, v, kinds) for child in children)
            case "anyOf":
                return _either(self._expression(child, v, kinds) for child in children)
            case "oneOf":
                return f"({' + '.join(f'bool({self._expression(child, v, kinds)})' for child in children)} == 1)"
            case "not":
                return _not(self._expression(wanted, v, kinds))
            case "if":
                premise = self._expression(wanted, v, kinds)
                then, other = (self._expression(rules.get(branch, True), v, kinds) for branch in ("then", "else"))
                if other == "True":
                    return _either([_not(premise), then])
                return _either([premise, other]) if then == "True" else f"({then} if {premise} else {other})"
            case _:
                raise ValueError(f"no rule for {keyword}: {wanted!r}")

    def _referred(self, place: str, v: str, kinds: frozenset[str] | None) -> str:
        name = place.removeprefix("#/$defs/")
        if name not in self._definitions:
            there: object = self._whole
            for step in place.removeprefix("#/").split("/"):
                there = cast("Schema", there)[step]
            return f"{self.function(there)}({v})"
        schema = self._definitions[name]
        text = f"_{name}({v})" if schema != self._rendered[name] else self._expression(schema, v, kinds)
        return text if len(text) <= _SHORT else f"_{name}({v})"

    def _grouped(self, keyword: str, rules: Schema, v: str) -> str:  # noqa: PLR0911  a keyword, a return
        """A keyword about values of one type, of a value of that type."""
        wanted = rules[keyword]
        if keyword in _LENGTHS:
            is_filled = keyword.startswith("min") and wanted == 1
            return v if is_filled else f"len({v}) {_LENGTHS[keyword]} {wanted}"
        match keyword:
            case "pattern":
                return self._pattern(str(wanted), v)
            case "minimum" | "maximum":
                return f"{v} {'>=' if keyword == 'minimum' else '<='} {wanted}"
            case "uniqueItems":
                return f"is_unique({v})"
            case "items":
                return f"all(map({self.function(wanted)}, {v}))"
            case "contains":
                least, most = rules.get("minContains", 1), rules.get("maxContains", f"len({v})")
                return f"{least} <= sum(map(bool, map({self.function(wanted)}, {v}))) <= {most}"
            case "required":
                return _both(f"{name!r} in {v}" for name in cast("list[str]", wanted))
            case "propertyNames":
                return f"all(map({self.function(wanted)}, {v}))"
            case "properties" | "additionalProperties":
                return self._members(rules, v)
            case _:  # patternProperties, which additionalProperties looks at
                return "True"

    def _members(self, rules: Schema, v: str) -> str:
        """The values of a mapping: key by key where all keys are known, else those that have rules."""
        properties = cast("Schema", rules.get("properties", {}))
        if "additionalProperties" not in rules:
            required = cast("list[str]", rules.get("required", ()))
            return _both(self._member(name, child, v, is_there=name in required) for name, child in properties.items())
        patterns = cast("Schema", rules.get("patternProperties", {}))
        if len(patterns) > 1 or any(self.function(child) != "always" for child in patterns.values()):
            raise ValueError("there may be one pattern of keys that may hold anything")
        rest = rules["additionalProperties"]
        if not properties and not patterns and rest is not False:
            return f"all(map({self.function(rest)}, {v}.values()))"
        keys = ", ".join(f"{name!r}: {self.function(child)}" for name, child in properties.items())
        words = [v, self._named(self._tables, "t", f"{{{keys}}}")]
        words += [] if rest is False else [f"rest={self.function(rest)}"]
        words += [f"free={self._pattern_name(name)}" for name in patterns]
        return f"members({', '.join(words)})"

    def _member(self, name: str, schema: object, v: str, *, is_there: bool) -> str:
        test = self._value(schema, f"{v}[{name!r}]")
        return test if is_there else _either([f"{name!r} not in {v}", test])

    def _pattern(self, text: str, v: str) -> str:
        # An anchored pattern that is searched for would be tried at each place.
        is_anchored = text.startswith("^") and ("|" not in text or bool(re.fullmatch(r"\^\(\?:[^()|].*\)\$", text)))
        return f"{self._pattern_name(text)}.{'match' if is_anchored else 'search'}({v})"

    def _pattern_name(self, text: str) -> str:
        if re.search(r"\\[dDwWsSbB]", text):
            raise ValueError(f"{text!r} has another meaning in Python")
        return self._patterns.setdefault(in_python(text), f"p{len(self._patterns)}")


def _group(kind: str) -> str:
    return "number" if kind in _NUMBERS else kind


def _of_types(kinds: frozenset[str], v: str) -> str:
    if {"boolean", "number"} <= kinds:  # for Python, the one is a number, too
        classes, rest = ["int", "float"], kinds - {"boolean", "number", "integer"}
    else:
        classes, rest = [], kinds
    classes += sorted(_KINDS[kind] for kind in rest & _KINDS.keys())
    terms = (
        [f"isinstance({v}, {classes[0] if len(classes) == 1 else '(' + ', '.join(classes) + ')'})"] if classes else []
    )
    terms += [f"{v} is None"] if "null" in rest else []
    terms += [f"is_number({v})"] if "number" in rest else [f"is_whole({v})"] if "integer" in rest else []
    return _either(terms)


def _equals(wanted: object, v: str) -> str:
    if isinstance(wanted, bool):
        return f"{v} is {wanted}"
    if isinstance(wanted, int):
        return f"(is_number({v}) and {v} == {wanted})"
    if isinstance(wanted, str):
        return f"{v} == {wanted!r}"
    raise ValueError(f"no rule for const: {wanted!r}")

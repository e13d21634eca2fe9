"""How data breaks the schema, said as one would say it to whoever wrote the manifest: no word of JSON Schema.

The nouns stand in the schema next to its rules (its `$comment` lists the keywords); here they become sentences.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

from qarunner.diagnostics import choose, closest
from qarunner.manifest import fault_codes as codes
from qarunner.manifest.broken import Broken, fault_of_value, got, label, listed, short, written
from qarunner.manifest.faults import KEY, VALUE, Fault, Found
from qarunner.manifest.meant import meant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from jsonschema import ValidationError

    from qarunner.manifest.broken import Schema

    _Handler: TypeAlias = Callable[[Broken], Iterator[Found]]

_TEMPLATES = ({"$ref": "#/$defs/template"}, {"$ref": "#/$defs/unknown"})
_BRACES = re.compile(r"\{[{%#]")
_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_ANYTHING: tuple[object, ...] = ({}, {"type": "array", "minItems": 1})
"""What `not` refuses as a whole: the key, whatever it holds, or unless its list is empty."""
_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def found(error: ValidationError) -> Iterator[Found]:
    """The faults that an error of jsonschema stands for."""
    broken = Broken(
        keyword=str(error.validator),
        wanted=error.validator_value,
        value=error.instance,
        path=tuple(error.absolute_path),
        schema=cast("Schema", error.schema),
        steps=frozenset(error.absolute_schema_path),
        alternatives=tuple((cast("int", child.relative_schema_path[0]), child) for child in error.context or ()),
    )
    return _HANDLERS.get(broken.keyword, _other(str(error.message)))(broken)


# --- keywords about a value -------------------------------------------------------------------------------------------


def _type(broken: Broken) -> Iterator[Found]:
    wanted = broken.wanted
    types = [wanted] if isinstance(wanted, str) else [str(each) for each in broken.options]
    expected = broken.words("x-expected") or listed([_TYPES[each] for each in types if each in _TYPES], "or")
    text = f"{label(broken.path)}expected {expected}, got {got(broken.value)}"
    yield fault_of_value(broken, text, codes.WRONG_TYPE, _type_hint(broken, types))


def _type_hint(broken: Broken, types: Sequence[str]) -> str | None:
    """How to write what was probably meant."""
    path, value = broken.path, broken.value
    if value is None:
        return broken.words("x-hint") or "give it a value, or remove the key"
    if "array" in types and isinstance(value, str) and path and isinstance(path[-1], str):
        items = ", ".join(written(short(each.strip())) for each in value.split(",") if each.strip())
        return f"write `{path[-1]}: [{items or written(value)}]`"
    if "boolean" in types and isinstance(value, str) and value.lower() in _SWITCHES:
        return f"write {_SWITCHES[value.lower()]}"
    if "integer" in types and isinstance(value, str) and value.isdecimal():
        return "remove the quotes"
    duration = meant(broken.words("x-expected") or "", value)
    if duration:
        return duration
    # The number itself is not repeated: 012 and 0x1F were written otherwise than their value is.
    quotable = "string" in types and isinstance(value, (bool, int, float)) and not broken.words("x-hint")
    return "put it in quotes" if quotable else None


def _enum(broken: Broken) -> Iterator[Found]:
    values = [str(value) for value in broken.options]
    one_of = f"one of {', '.join(values)}" if len(values) > 1 else values[0]
    near = closest(broken.value.lower(), values) if isinstance(broken.value, str) else None
    text = f"{label(broken.path)}expected {one_of}, got {got(broken.value)}"
    yield fault_of_value(broken, text, codes.WRONG_VALUE, f"did you mean {near!r}?" if near else None)


def _const(broken: Broken) -> Iterator[Found]:
    expected = broken.words("x-expected") or written(broken.wanted)
    text = f"{label(broken.path)}expected {expected}, got {got(broken.value)}"
    quoted = isinstance(broken.value, str) and broken.value == str(broken.wanted)
    yield fault_of_value(broken, text, codes.WRONG_VALUE, "remove the quotes" if quoted else None)


def _form(broken: Broken) -> Iterator[Found]:
    """A text that is not written as it has to be; it may be the name of a key."""
    expected = broken.words("x-expected") or "another form"
    if "propertyNames" not in broken.steps:
        text = f"{label(broken.path)}expected {expected}, got {got(broken.value)}"
        yield fault_of_value(broken, text, codes.WRONG_FORM, _literal(broken) or meant(expected, broken.value))
        return
    name = str(broken.value)
    path = (*broken.path, name)
    text = f"{short(name)!r} cannot be a name here: expected {expected}"
    hint = broken.words("x-hint") or _literal(broken) or meant(expected, name)
    yield Found(Fault(path, text, hint, codes.BAD_NAME, key=True), (*path, ""), VALUE)


def _literal(broken: Broken) -> str | None:
    """A hint where a template stands in a text that is never rendered."""
    templated = isinstance(broken.value, str) and _BRACES.search(broken.value)
    return "templates are not rendered here: write the text itself" if templated else None


def _too_short(broken: Broken) -> Iterator[Found]:
    expected = broken.words("x-expected")
    nothing = "an empty list" if isinstance(broken.value, list) else "an empty text"
    empty = "an empty mapping" if isinstance(broken.value, dict) else nothing
    text = f"{label(broken.path)}expected {expected}, got {empty}" if expected else f"{label(broken.path)}is empty"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _too_many(broken: Broken) -> Iterator[Found]:
    text = broken.words("errorMessage") or f"{label(broken.path)}at most {broken.wanted}"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _too_long(broken: Broken) -> Iterator[Found]:
    text = f"{label(broken.path)}expected at most {broken.wanted} characters, got {len(str(broken.value))}"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _too_small(broken: Broken) -> Iterator[Found]:
    text = f"{label(broken.path)}expected at least {broken.wanted}, got {got(broken.value)}"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _too_large(broken: Broken) -> Iterator[Found]:
    text = f"{label(broken.path)}expected at most {broken.wanted}, got {got(broken.value)}"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _repeated(broken: Broken) -> Iterator[Found]:
    for index, item in enumerate(broken.items):
        if item in broken.items[:index]:
            path = (*broken.path, index)
            text = f"{label(broken.path)}{got(item)} stands here twice"
            yield Found(Fault(path, text, "remove one of the two", codes.REPEATED), path, VALUE)


def _contains(broken: Broken) -> Iterator[Found]:
    if not broken.items:
        return  # said already: it is empty
    path = (*broken.path, len(broken.items) - 1)
    text = broken.words("errorMessage") or "too many of a kind"
    yield Found(Fault(path, text, None, codes.EXCLUSIVE), (*path, ""), VALUE)


# --- keywords about keys ----------------------------------------------------------------------------------------------


def _unknown_keys(broken: Broken) -> Iterator[Found]:
    known = broken.names("properties")
    patterns = broken.names("patternProperties")
    for key in broken.mapping:
        if key not in known and not any(re.search(pattern, key) for pattern in patterns):
            yield _unknown_key(broken, key, known)


def _unknown_key(broken: Broken, key: str, known: Sequence[str]) -> Found:
    path = (*broken.path, key)
    reasons = broken.texts("x-instead")
    if key in reasons:
        text = f"{key!r} cannot stand here: {reasons[key]}"
        return Found(Fault(path, text, None, codes.REFUSED_KEY, key=True), path, KEY)
    near = closest(key.lower().replace("-", "_"), [*known, *reasons])
    hint = (
        f"did you mean {near!r}? But {reasons[near]}"
        if near and near in reasons
        else _valid_keys(broken, near or key, known)
    )
    fault = Fault(path, f"unknown key {short(key)!r}", hint, codes.UNKNOWN_KEY, key=True)
    return Found(fault, path, KEY, None if near is None or near in reasons else (*broken.path, near))


def _valid_keys(broken: Broken, key: str, known: Sequence[str]) -> str:
    return choose(key, known) if known else broken.words("x-hint") or "nothing can stand here"


def _missing_keys(broken: Broken) -> Iterator[Found]:
    hints = broken.texts("x-missing")
    for key in map(str, broken.options):
        if key not in broken.mapping:
            text = broken.words("errorMessage") or f"missing key {key!r}"
            fault = Fault(broken.path, text, hints.get(key), codes.MISSING_KEY)
            yield Found(fault, (*broken.path, key), VALUE)


def _number_of_keys(broken: Broken) -> Iterator[Found]:
    if broken.names("x-exclusive"):
        yield from _exclusive(broken)
    else:
        yield from _too_short(broken)


def _exclusive(broken: Broken) -> Iterator[Found]:
    """None of the keys of which there has to be one, or more than one."""
    names = broken.names("x-exclusive")
    path, given = broken.path, [key for key in broken.mapping if key in names]
    if not given:
        text = f"{label(path)}needs exactly one of {', '.join(names)}"
        yield Found(Fault(path, text, broken.words("x-hint"), codes.EXCLUSIVE), (*path, "", names[0]), VALUE)
    elif len(given) > 1:
        text = f"{listed(given, 'and')} exclude each other: give one of them"
        fault = Fault((*path, given[1]), text, None, codes.EXCLUSIVE, key=True)
        yield Found(fault, (*fault.path, ""), VALUE)


def _refused(broken: Broken) -> Iterator[Found]:
    """`not`: a key or a value that cannot stand here, for the reason that the schema gives."""
    if broken.names("x-exclusive"):
        yield from _exclusive(broken)
        return
    text = broken.words("errorMessage") or "this cannot stand here"
    refused = fault_of_value(broken, text, codes.REFUSED_KEY)
    if broken.wanted not in _ANYTHING:
        yield refused
        return
    whole_key = replace(refused.fault, key=True)
    yield Found(whole_key, refused.subject, KEY)


# --- alternatives -----------------------------------------------------------------------------------------------------


def _any_of(broken: Broken) -> Iterator[Found]:
    """Nobody who did not write a template wants to hear of one: told is why it is not the other thing."""
    others = [index for index, each in enumerate(broken.options) if each not in _TEMPLATES]
    if len(others) > 1:
        yield _none_of(broken)
        return
    for index, error in broken.alternatives:
        if index in others:
            yield from found(error)


def _none_of(broken: Broken) -> Found:
    expected = broken.words("x-expected") or "something else"
    enums = (cast("Schema", each).get("enum", ()) for each in broken.options)
    values = [value for enum in enums for value in cast("Sequence[str]", enum)]
    choice = choose(broken.value.lower() if isinstance(broken.value, str) else "", values)
    text = f"{label(broken.path)}expected {expected}, got {got(broken.value)}"
    return fault_of_value(broken, text, codes.WRONG_VALUE, _literal(broken) or choice)


def _other(message: str) -> _Handler:
    """For a keyword without words of its own."""

    def handle(broken: Broken) -> Iterator[Found]:
        yield fault_of_value(broken, f"{label(broken.path)}{short(message)}", codes.OTHER)

    return handle


_HANDLERS: Mapping[str, _Handler] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _form,
    "maxLength": _too_long,
    "minLength": _too_short,
    "minItems": _too_short,
    "maxItems": _too_many,
    "minimum": _too_small,
    "maximum": _too_large,
    "uniqueItems": _repeated,
    "maxContains": _contains,
    "contains": _contains,
    "additionalProperties": _unknown_keys,
    "required": _missing_keys,
    "minProperties": _number_of_keys,
    "maxProperties": _number_of_keys,
    "not": _refused,
    "oneOf": _exclusive,
    "anyOf": _any_of,
}

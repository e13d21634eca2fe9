"""How data breaks the schema, in words for the author of the manifest: no word of JSON Schema.

The nouns stand in the schema next to its rules (its `$comment` lists the keywords); here they become sentences.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from msgspec import Struct
from msgspec.structs import replace

from qarunner.diagnostics import Path, choose, closest, with_valid
from qarunner.manifest import codes
from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from jsonschema import ValidationError


# ---------------------------------------------------------------------------------------------------------------------

# Problems of plain data, before anybody knows in which line they stand.


class SchemaError(Struct, frozen=True):
    """One problem: at the value under `path`, or with `key` at the key of that value."""

    path: Path
    message: str
    hint: str | None = None
    code: str = codes.OTHER
    key: bool = False


# How much a fault explains. A key that does not belong makes all that is said of its value idle; so does a wrong type.
KEY, TYPE, VALUE, CONDITION = range(4)


class SchemaMessage(NamedTuple):
    """A fault and the path that it concerns. `meant`: the key that an unknown one probably stands for."""

    fault: SchemaError
    subject: Path
    rank: int
    meant: Path | None = None


def once(messages: Iterable[SchemaMessage]) -> tuple[SchemaError, ...]:
    """One fault for each subject, without those that only follow from another, in the order in which they came."""
    best: dict[Path, SchemaMessage] = {}
    for message in messages:
        if message.subject not in best or message.rank < best[message.subject].rank:
            best[message.subject] = message
    meant = {message.meant for message in best.values()}
    idle = {subject for subject, message in best.items() if message.rank <= TYPE}
    return tuple(
        message.fault
        for subject, message in best.items()
        if not (message.fault.code == codes.MISSING_KEY and subject in meant)
        and not any(subject[:length] in idle for length in range(len(subject)))
    )


# ---------------------------------------------------------------------------------------------------------------------

# What was probably meant by a text that is not written as it has to be.


_VARIABLE = regex(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")


_HOST = regex(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?::\d+)?(?:[/?]\S*)?|localhost(?::\d+)?(?:/\S*)?")


_AMOUNT = regex(r"\s*(\d{1,6}(?:\.\d{1,3})?)\s*([a-z]+)\.?\s*", re.IGNORECASE)


_ISO = regex(r"PT(?=\d)((?:\d+H)?(?:\d+M)?(?:\d+S)?)", re.IGNORECASE)


_DAY = regex(r"(\d{4})[./](\d{2})[./](\d{2})")


_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


_UNITS = {
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
}


def meant(expected: str, value: object) -> str | None:
    """A hint with the text as it should be written; None where the text is unknown."""
    if isinstance(value, int) and not isinstance(value, bool) and expected.startswith("a duration"):
        return f"write {value}s, {value}m or {value}h" if 0 < value < 10**6 else None
    if not isinstance(value, str):
        return None
    variable = _VARIABLE.search(value)
    if variable and "{{" not in value:
        return f"a variable is declared under env, and read as {{{{ env.{variable[1] or variable[2]} }}}}"
    if expected.startswith("a URL") and "{{" not in value and re.search(r"\s", value.strip()):
        return "a space in a URL is written as %20; in a template, {{ … | urlencode }} does it"
    rewritten = _rewritten(expected, value)
    return f"write {rewritten}" if rewritten and rewritten != value else None


def _rewritten(expected: str, value: str) -> str | None:
    if expected.startswith("a URL"):
        plain = value.strip("\"'“”„«»\u2018\u2019 ")  # quotes of a text processor are no quotes in YAML
        return f"https://{plain}" if _HOST.fullmatch(plain) else plain if re.match("https?://", plain) else None
    if expected.startswith("a duration"):
        return _duration(value)
    if expected.startswith("a day"):
        return _DAY.sub(r"\1-\2-\3", value) if _DAY.fullmatch(value) else None
    if "lower-case letters" in expected:
        return re.sub(r"[^a-z0-9._-]+", "-", value.lower()).strip("-._") if value.isascii() else None
    return None


def _duration(text: str) -> str | None:
    iso = _ISO.fullmatch(text)
    if iso:
        return iso[1].lower()
    amount = _AMOUNT.fullmatch(text)
    unit = _UNITS.get(amount[2].lower()) if amount else None
    if amount is None or unit is None:
        return None
    rest = round(float(amount[1]) * _MS[unit])
    parts = []
    for name in ("h", "m", "s", "ms"):
        number, rest = divmod(rest, _MS[name])
        parts += [f"{number}{name}"] if number else []
    return "".join(parts)


# ---------------------------------------------------------------------------------------------------------------------

# A rule of the schema that data breaks, and the phrases for sentences about it.


if TYPE_CHECKING:
    Schema: TypeAlias = Mapping[str, object]


_SHOWN = 60


_PLAIN = regex(r"[A-Za-z_][A-Za-z0-9_./-]*")


class Broken(NamedTuple):
    """A rule that data breaks: what the keyword of the schema wants, and the value that is otherwise."""

    keyword: str
    wanted: object
    value: object
    path: Path
    schema: Schema
    steps: frozenset[str | int]
    """The steps through the schema that lead here."""
    alternatives: tuple[tuple[int, ValidationError], ...]
    """Under anyOf: what each of its branches says, with the branch's index."""

    def words(self, keyword: str) -> str | None:
        """A text that stands next to the rule."""
        text = self.schema.get(keyword)
        return text if isinstance(text, str) else None

    def names(self, keyword: str) -> list[str]:
        """A list of names next to the rule, or the keys of a mapping there."""
        return list(cast("Sequence[str]", self.schema.get(keyword, ())))

    def texts(self, keyword: str) -> Mapping[str, str]:
        return cast("Mapping[str, str]", self.schema.get(keyword, {}))

    @property
    def mapping(self) -> Mapping[str, object]:
        """The value, where it is a mapping; else an empty one."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> Sequence[object]:
        """The value, where the keyword is one of lists."""
        return cast("Sequence[object]", self.value)

    @property
    def options(self) -> Sequence[object]:
        """What is wanted, where that is a list."""
        return cast("Sequence[object]", self.wanted)


def label(path: Path) -> str:
    """What a sentence about a value begins with: the key, and the index in its list."""
    index = len(path)
    while index and not isinstance(path[index - 1], str):
        index -= 1
    steps = "".join(f"[{step}]" for step in path[index:])
    return f"{path[index - 1]}{steps}: " if index else ""


def fault_of_value(broken: Broken, text: str, code: str, hint: str | None = None) -> SchemaMessage:
    """A fault of the value that is checked. The schema's own code wins."""
    rank = TYPE if code == codes.WRONG_TYPE else CONDITION if broken.steps & {"then", "else"} else VALUE
    fault = SchemaError(broken.path, text, hint or broken.words("x-hint"), broken.words("x-code") or code)
    return SchemaMessage(fault, broken.path, rank)


def got(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return repr(short(value))
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"the number {short(str(value))}"


def short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def written(value: object) -> str:
    """A scalar as one would write it in YAML."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return got(value).removeprefix("the number ")


def listed(names: Sequence[str], last: str) -> str:
    return f"{', '.join(names[:-1])} {last} {names[-1]}" if len(names) > 1 else "".join(names)


if TYPE_CHECKING:
    _Handler: TypeAlias = Callable[[Broken], Iterator[SchemaMessage]]


_UNSAID = (*({"$ref": f"#/$defs/{name}"} for name in ("template", "unknown", "expression")), {"type": "null"})
"""Alternatives that no message mentions: templates, and the `null` that takes an inherited value away."""


_BRACES = regex(r"\{[{%#]")


_EXPRESSION = regex(r"\{\{[^{}]*\}\}")


_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


_ANYTHING: tuple[object, ...] = (
    {},
    {"type": "array", "minItems": 1},
    {"type": ["array", "object", "string"]},
    {"type": ["integer", "string"]},
)
"""What `not` refuses as a whole: the key, whatever it holds, or unless its list is empty."""


_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def messages_of(error: ValidationError) -> Iterator[SchemaMessage]:
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
    messages = _HANDLERS.get(broken.keyword, _other(str(error.message)))(broken)
    emptied = broken.value == [] and _is_nullable(broken.schema)
    return map(_or_null, messages) if emptied else messages


def _is_nullable(schema: Schema) -> bool:
    kinds, options = schema.get("type"), schema.get("anyOf")
    return (isinstance(options, list) and {"type": "null"} in options) or (isinstance(kinds, list) and "null" in kinds)


def _or_null(message: SchemaMessage) -> SchemaMessage:
    """Who empties a list probably means that the inherited one does not hold here."""
    fault = message.fault
    if fault.code != codes.WRONG_SIZE:
        return message
    way = f"`{message.subject[-1]}: null` takes an inherited value away"
    return message._replace(fault=replace(fault, hint=f"{fault.hint}; {way}" if fault.hint else way))


# --- keywords about a value -------------------------------------------------------------------------------------------


def _type(broken: Broken) -> Iterator[SchemaMessage]:
    wanted = broken.wanted
    types = [wanted] if isinstance(wanted, str) else [str(kind) for kind in broken.options]
    expected = broken.words("x-expected") or listed([_TYPES[kind] for kind in types if kind in _TYPES], "or")
    text = f"{label(broken.path)}expected {expected}, got {got(broken.value)}"
    yield fault_of_value(broken, text, codes.WRONG_TYPE, _type_hint(broken, types))


def _type_hint(broken: Broken, types: Sequence[str]) -> str | None:
    """How to write what was probably meant."""
    path, value = broken.path, broken.value
    if value is None:
        return broken.words("x-hint") or "give it a value, or remove the key"
    if "array" in types and isinstance(value, str) and path and isinstance(path[-1], str):
        items = ", ".join(written(short(item.strip())) for item in value.split(",") if item.strip())
        listing = f"write `{path[-1]}: [{items or written(value)}]`"
        return "no expression gives this list: write it out" if _EXPRESSION.fullmatch(value) else listing
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


def _enum(broken: Broken) -> Iterator[SchemaMessage]:
    values = [str(value) for value in broken.options]
    one_of = f"one of {', '.join(values)}" if len(values) > 1 else values[0]
    near = closest(broken.value.lower(), values) if isinstance(broken.value, str) else None
    text = f"{label(broken.path)}expected {one_of}, got {got(broken.value)}"
    yield fault_of_value(broken, text, codes.WRONG_VALUE, f"did you mean {near!r}?" if near else None)


def _const(broken: Broken) -> Iterator[SchemaMessage]:
    expected = broken.words("x-expected") or written(broken.wanted)
    text = f"{label(broken.path)}expected {expected}, got {got(broken.value)}"
    quoted = isinstance(broken.value, str) and broken.value == str(broken.wanted)
    yield fault_of_value(broken, text, codes.WRONG_VALUE, "remove the quotes" if quoted else None)


def _form(broken: Broken) -> Iterator[SchemaMessage]:
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
    yield SchemaMessage(SchemaError(path, text, hint, codes.BAD_NAME, key=True), (*path, ""), VALUE)


def _literal(broken: Broken) -> str | None:
    """A hint where a template stands in a text that is never rendered."""
    templated = isinstance(broken.value, str) and _BRACES.search(broken.value)
    return "templates are not rendered here: write the text itself" if templated else None


def _too_short(broken: Broken) -> Iterator[SchemaMessage]:
    value = broken.value
    if isinstance(value, (str, list, dict)) and value:  # a plugin's schema may ask for more than one
        unit = "characters" if isinstance(value, str) else "items" if isinstance(value, list) else "keys"
        text = f"{label(broken.path)}expected at least {broken.wanted} {unit}, got {len(value)}"
        yield fault_of_value(broken, text, codes.WRONG_SIZE)
        return
    expected = broken.words("x-expected")
    nothing = "an empty list" if isinstance(broken.value, list) else "an empty text"
    empty = "an empty mapping" if isinstance(broken.value, dict) else nothing
    text = f"{label(broken.path)}expected {expected}, got {empty}" if expected else f"{label(broken.path)}is empty"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _too_many(broken: Broken) -> Iterator[SchemaMessage]:
    number = len(broken.value) if isinstance(broken.value, list) else 0
    text = broken.words("errorMessage") or f"{label(broken.path)}expected at most {broken.wanted}, got {number}"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _too_long(broken: Broken) -> Iterator[SchemaMessage]:
    text = f"{label(broken.path)}expected at most {broken.wanted} characters, got {len(str(broken.value))}"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _too_small(broken: Broken) -> Iterator[SchemaMessage]:
    text = f"{label(broken.path)}expected at least {broken.wanted}, got {got(broken.value)}"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _too_large(broken: Broken) -> Iterator[SchemaMessage]:
    text = f"{label(broken.path)}expected at most {broken.wanted}, got {got(broken.value)}"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _repeated(broken: Broken) -> Iterator[SchemaMessage]:
    for index, item in enumerate(broken.items):
        if item in broken.items[:index]:
            path = (*broken.path, index)
            text = f"{label(broken.path)}{got(item)} stands here twice"
            yield SchemaMessage(SchemaError(path, text, "remove one of the two", codes.REPEATED), path, VALUE)


def _contains(broken: Broken) -> Iterator[SchemaMessage]:
    if not broken.items:
        return  # said already: it is empty
    path = (*broken.path, len(broken.items) - 1)
    text = broken.words("errorMessage") or "too many of a kind"
    yield SchemaMessage(SchemaError(path, text, None, codes.EXCLUSIVE), (*path, ""), VALUE)


# --- keywords about keys ----------------------------------------------------------------------------------------------


def _unknown_keys(broken: Broken) -> Iterator[SchemaMessage]:
    known = broken.names("properties")
    if known == ["append"] and not any(closest(key, known) for key in broken.mapping):
        text = f"{label(broken.path)}expected {broken.words('x-expected')}, got a mapping"
        yield fault_of_value(broken, text, codes.WRONG_TYPE)
        return
    patterns = broken.names("patternProperties")
    for key in broken.mapping:
        if key not in known and not any(re.search(pattern, key) for pattern in patterns):
            yield _unknown_key(broken, key, known)


def _unknown_key(broken: Broken, key: str, known: Sequence[str]) -> SchemaMessage:
    path = (*broken.path, key)
    reasons = broken.texts("x-instead")
    if key in reasons:
        text = f"{key!r} cannot stand here: {reasons[key]}"
        return SchemaMessage(SchemaError(path, text, None, codes.REFUSED_KEY, key=True), path, KEY)
    near = closest(key.strip().lower().replace("-", "_"), [*known, *reasons])
    if key != key.strip():
        hint = f"what stands before {key.strip()!r} is no space in YAML, such as a non-breaking one: write a space"
    elif near and near in reasons:
        hint = f"did you mean {near!r}? But {reasons[near]}"
    else:
        hint = _valid_keys(broken, near, known)
    fault = SchemaError(path, f"unknown key {short(key)!r}", hint, codes.UNKNOWN_KEY, key=True)
    return SchemaMessage(fault, path, KEY, None if near is None or near in reasons else (*broken.path, near))


def _valid_keys(broken: Broken, near: str | None, known: Sequence[str]) -> str:
    return with_valid(near, known) if known else broken.words("x-hint") or "nothing can stand here"


def _missing_keys(broken: Broken) -> Iterator[SchemaMessage]:
    hints = broken.texts("x-missing")
    for key in map(str, broken.options):
        if key not in broken.mapping:
            text = broken.words("errorMessage") or f"missing key {key!r}"
            fault = SchemaError(broken.path, text, hints.get(key), codes.MISSING_KEY)
            yield SchemaMessage(fault, (*broken.path, key), VALUE)


def _too_few_keys(broken: Broken) -> Iterator[SchemaMessage]:
    yield from _exclusive(broken) if broken.names("x-exclusive") else _too_short(broken)


def _too_many_keys(broken: Broken) -> Iterator[SchemaMessage]:
    if broken.names("x-exclusive"):
        yield from _exclusive(broken)
        return
    text = f"{label(broken.path)}expected at most {broken.wanted} keys, got {len(broken.mapping)}"
    yield fault_of_value(broken, text, codes.WRONG_SIZE)


def _exclusive(broken: Broken) -> Iterator[SchemaMessage]:
    """Exactly one of some keys has to be there, but there are zero or several."""
    names = broken.names("x-exclusive")
    path, present = broken.path, [key for key in broken.mapping if key in names]
    if not present:
        text = f"{label(path)}needs exactly one of {', '.join(names)}"
        yield SchemaMessage(
            SchemaError(path, text, broken.words("x-hint"), codes.EXCLUSIVE), (*path, "", names[0]), VALUE
        )
    elif len(present) > 1:
        text = f"{listed(present, 'and')} exclude each other: give one of them"
        fault = SchemaError((*path, present[1]), text, None, codes.EXCLUSIVE, key=True)
        yield SchemaMessage(fault, (*fault.path, ""), VALUE)


def _refused(broken: Broken) -> Iterator[SchemaMessage]:
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
    yield SchemaMessage(whole_key, refused.subject, KEY)


# --- alternatives -----------------------------------------------------------------------------------------------------


def _any_of(broken: Broken) -> Iterator[SchemaMessage]:
    """Report only the alternative that is no template: the user did not write one."""
    others = [index for index, option in enumerate(broken.options) if option not in _UNSAID]
    if len(others) > 1:
        yield _none_of(broken)
        return
    for index, error in broken.alternatives:
        if index in others:
            yield from messages_of(error)


def _none_of(broken: Broken) -> SchemaMessage:
    expected = broken.words("x-expected") or "something else"
    enums = (cast("Schema", option).get("enum", ()) for option in broken.options)
    values = [value for enum in enums for value in cast("Sequence[str]", enum)]
    choice = choose(broken.value.lower() if isinstance(broken.value, str) else "", values)
    text = f"{label(broken.path)}expected {expected}, got {got(broken.value)}"
    return fault_of_value(broken, text, codes.WRONG_VALUE, _literal(broken) or choice)


def _other(message: str) -> _Handler:
    """For a keyword without a handler."""

    def handle(broken: Broken) -> Iterator[SchemaMessage]:
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
    "minProperties": _too_few_keys,
    "maxProperties": _too_many_keys,
    "not": _refused,
    "oneOf": _exclusive,
    "anyOf": _any_of,
}

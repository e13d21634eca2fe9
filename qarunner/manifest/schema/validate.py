"""Data against the JSON Schema, and the schema itself as it is handed out."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import combinations, islice
from pathlib import Path as File
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import msgspec.json
from msgspec.structs import replace

from qarunner.decode import Json, children
from qarunner.diagnostics import Diagnostic, Locator, Path, problem
from qarunner.entry import ENTRY_KEYS, EXPANDING_KEYS, NameKind, TargetKind
from qarunner.manifest import codes
from qarunner.manifest.schema.explain import SchemaError, once
from qarunner.manifest.schema.urls import misfits
from qarunner.regex import regex
from qarunner.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from jsonschema import Draft202012Validator, ValidationError


# ---------------------------------------------------------------------------------------------------------------------

# Plain data against the JSON Schema of the manifest.
#
# Whether anything is wrong, `accepts.py` decides in microseconds; only then jsonschema is asked what.


Part: TypeAlias = Literal["manifest", "entry", "variant", "defaults", "row", "base", "matrix", "values", "rules"]
"""What data can be checked as. A row is an entry laid over the defaults, with one of its variants. "matrix" is a
manifest of which only the matrix counts. "values" is a row of which each value counts by itself, "rules" is all else
that holds for a row."""


_NAME = "qa-matrix.schema.json"


_HALF = regex("[\ud800-\udfff]")


_MASKED = re.escape(MASK)


def placed(locator: Locator, faults: Iterable[SchemaError]) -> Iterator[Diagnostic]:
    """Problems of data where it was written."""
    for fault in faults:
        yield problem(locator, fault.path, fault.message, code=fault.code, hint=fault.hint, key=fault.key)


def faults(data: object, *, part: Part = "manifest", templates: bool = True) -> tuple[SchemaError, ...]:
    """Every problem of plain data; () if it is valid.

    Without `templates`, text with braces is text like any other: that is how rendered data has to be checked. Its
    secrets have to be masked: a text with one in it may then be any id.
    """
    if is_valid(data, part=part, templates=templates):
        return ()
    garbled = tuple(_garbled(data))  # only of rendered data: what a variable brought in
    if garbled:
        return tuple(SchemaError(path, "this text is not valid Unicode", None, codes.WRONG_FORM) for path in garbled)
    urls = [SchemaError(path, message, hint, codes.WRONG_FORM) for path, message, hint in _urls(data, part)]
    whole = accepting(templates=templates)[part](data)
    return (*(() if whole else _explained(data, part, templates=templates)), *urls)


def _urls(data: object, part: Part) -> Iterator[tuple[Path, str, str]]:
    """What no pattern can say of the hosts of a row."""
    return misfits(data) if part == "row" and isinstance(data, dict) else iter(())


def is_valid(data: object, *, part: Part = "manifest", templates: bool = True) -> bool:
    """True if there is no problem: to ask for it alone takes microseconds, also where there are some."""
    return (
        bool(accepting(templates=templates)[part](data))
        and (part == "manifest" or _is_unicode(data))  # what was read is Unicode
        and not any(_urls(data, part))
    )


def is_valid_row(
    row: dict[str, object],
    before: Mapping[str, object] | None = None,
    *,
    layers: Iterable[Mapping[str, object]] = (),
    templates: bool = True,
) -> bool:
    """The same for a row, where it was valid `before` it was evaluated, or all `layers` are that it was merged from.

    A value that is still the very same object is not looked at again; rules about several keys are.
    """
    accepts = accepting(templates=templates)
    new = row if before is None else {key: value for key, value in row.items() if before.get(key, _ABSENT) is not value}
    for layer in layers:
        new = {key: value for key, value in new.items() if layer.get(key, _ABSENT) is not value or key in _WIDER}
    return bool(accepts["values"](new) and accepts["rules"](row)) and _is_unicode(new) and not any(misfits(new))


_ABSENT = object()


_WIDER = frozenset({"quarantine", "target", *EXPANDING_KEYS})
"""Keys of which a layer takes what a whole row does not."""


def _is_unicode(data: object) -> bool:
    try:
        msgspec.json.encode(data)
    except UnicodeEncodeError:
        return False
    return True


@cache
def text() -> str:
    """The JSON Schema, as it is shipped: inside the package, or at the top of a source checkout."""
    shipped = File(__file__).parents[1] / _NAME
    return (shipped if shipped.exists() else File(__file__).parents[3] / _NAME).read_text(encoding="utf-8")


def definition(part: Part, *, templates: bool = True) -> dict[str, object]:
    """The schema of a part, with all definitions."""
    whole = cast("dict[str, object]", json.loads(text()))
    definitions = cast("dict[str, object]", whole["$defs"])
    if not templates:
        definitions["template"] = definitions["expression"] = {"not": {}}
        definitions["unknown"] = {"type": "string", "pattern": _MASKED}
    if part == "manifest":
        return whole
    if part == "matrix":
        properties = cast("dict[str, object]", whole["properties"])
        return {"properties": {part: properties[part]}, "allOf": whole["allOf"], "$defs": definitions}
    head = {"$schema": whole["$schema"], "$id": whole["$id"], "$defs": definitions}
    if part in _OF_ROWS:
        row = cast("dict[str, object]", definitions["row"])
        return {**head, **{key: rule for key, rule in row.items() if (key in _VALUES) is _OF_ROWS[part]}}
    return {**head, "$ref": f"#/$defs/{part}"}


_OF_ROWS = {"values": True, "rules": False}


_VALUES = frozenset({"type", "properties", "additionalProperties"})


@cache
def accepting(*, templates: bool) -> Mapping[str, Callable[[object], object]]:
    """For each part what is true of valid data alone."""
    from qarunner.manifest.schema.accepts import validators  # noqa: PLC0415  this module is also there to print the schema

    return validators(templates=templates)


def _garbled(data: object, path: Path = ()) -> Iterator[Path]:
    """Where halves of characters stand, which no UTF-8 can hold; a key that has one counts as its mapping."""
    if isinstance(data, str) and _HALF.search(data):
        yield path
    for step, child in children(data):
        if isinstance(step, str) and _HALF.search(step):
            yield path
        else:
            yield from _garbled(child, (*path, step))


# --- only for faulty data ---------------------------------------------------------------------------------------------


def _explained(data: object, part: Part, *, templates: bool) -> tuple[SchemaError, ...]:
    from qarunner.manifest.schema.explain import messages_of  # noqa: PLC0415  like jsonschema: only faulty data needs it

    indexes = _faulty_entries(data, part, templates=templates)
    reduced = _with_entries(data, indexes) if indexes is not None else data
    errors = _explaining(part, templates=templates).iter_errors(cast("dict[str, object]", reduced))
    looked_at = list(islice((message for error in errors for message in messages_of(error)), MOST_PROBLEMS + 1))
    messages = once(looked_at[:MOST_PROBLEMS])
    if not messages:
        return (SchemaError((), "the manifest breaks its schema in a way that has no message", None, codes.OTHER),)
    if len(looked_at) > MOST_PROBLEMS:
        messages = (*messages, SchemaError((), f"more than {MOST_PROBLEMS:,} problems", _FIRST_ONES, codes.OTHER))
    return messages if indexes is None else tuple(_moved(fault, indexes) for fault in messages)


MOST_PROBLEMS = 1_000
"""Of one file: to explain one takes a millisecond."""


_FIRST_ONES = "mend those that are listed: they are the first that were found"


def _faulty_entries(data: object, part: Part, *, templates: bool) -> list[int] | None:
    """Which entries of a manifest have a problem; None if it has no matrix. To explain one takes 100 times as long."""
    if part != "manifest" or not isinstance(data, dict) or not isinstance(data.get("matrix"), list):
        return None
    accepts = accepting(templates=templates)["matrix"]
    return [index for index, entry in enumerate(data["matrix"]) if not accepts({**data, "matrix": [entry]})]


def _with_entries(data: object, indexes: Sequence[int]) -> dict[str, object]:
    """The manifest with these entries alone; with the first one without any, as an empty matrix is a problem."""
    manifest = cast("dict[str, object]", data)
    matrix = cast("list[object]", manifest["matrix"])
    return {**manifest, "matrix": [matrix[index] for index in indexes] or matrix[:1]}


def _moved(fault: SchemaError, indexes: Sequence[int]) -> SchemaError:
    """A fault of the reduced manifest, where it is in the whole one."""
    path = fault.path
    if path[:1] != ("matrix",) or len(path) == 1:
        return fault
    return replace(fault, path=("matrix", indexes[cast("int", path[1])], *path[2:]))


@cache
def _explaining(part: Part, *, templates: bool) -> Draft202012Validator:
    from jsonschema import Draft202012Validator, validators  # noqa: PLC0415  140 ms

    keywords = {"pattern": _pattern, "additionalProperties": _additional}
    strict = validators.extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]
    return cast("Draft202012Validator", strict(definition(part, templates=templates)))


def in_python(pattern: str) -> str:
    r"""In a JSON Schema `$` means the end of the text; Python's `$` is also the end of its last line."""
    return pattern.replace("$", r"\Z")


def _pattern(_validator: object, pattern: str, instance: object, _schema: object) -> Iterator[ValidationError]:
    from jsonschema import ValidationError  # noqa: PLC0415

    if isinstance(instance, str) and not re.search(in_python(pattern), instance):
        yield ValidationError("does not match")


def _additional(
    validator: Draft202012Validator, allowed: object, instance: object, schema: Mapping[str, object]
) -> Iterator[ValidationError]:
    """As in the library, in the order of the document: of many problems, the first are listed."""
    from jsonschema import Draft202012Validator as Usual  # noqa: PLC0415

    if not (isinstance(instance, dict) and isinstance(allowed, dict)):
        yield from Usual.VALIDATORS["additionalProperties"](validator, allowed, instance, schema)
        return
    known = cast("dict[str, object]", schema.get("properties", {}))
    patterns = cast("dict[str, object]", schema.get("patternProperties", {}))
    for key, value in instance.items():
        if key not in known and not any(re.search(pattern, key) for pattern in patterns):
            yield from validator.descend(value, allowed, path=key)


if TYPE_CHECKING:
    _Schema: TypeAlias = "dict[str, Json]"


_MAPPINGS = frozenset({"properties", "patternProperties", "$defs"})


_LISTS = frozenset({"allOf", "anyOf", "oneOf"})


_SINGLE = frozenset({"items", "contains", "not", "if", "then", "else", "additionalProperties", "propertyNames"})


_STANDARD = frozenset(
    {
        *_MAPPINGS,
        *_LISTS,
        *_SINGLE,
        *("$schema", "$id", "$ref", "$comment", "title", "description", "default", "examples", "type", "const", "enum"),
        *("required", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "uniqueItems"),
        *("minContains", "maxContains", "minProperties", "maxProperties"),
    }
)


_NO_NAMES: Mapping[NameKind, Mapping[str, str]] = {}


def for_editors(
    *, fragment: bool = False, base: bool = False, names: Mapping[NameKind, Mapping[str, str]] = _NO_NAMES
) -> str:
    """With hints for hovering and completing, and without the words that only qarunner's own messages are made of.

    `names` are offered where names can stand, each with what it is.
    """
    return _with(_for_editor, _whole(fragment=fragment, base=base), names)


def plain(
    *, fragment: bool = False, base: bool = False, names: Mapping[NameKind, Mapping[str, str]] = _NO_NAMES
) -> str:
    """With the keywords of JSON Schema alone: what a strict validator takes."""
    standard = lambda schema: {key: value for key, value in schema.items() if key in _STANDARD}  # noqa: E731
    return _with(standard, _whole(fragment=fragment, base=base), names)


def _whole(*, fragment: bool, base: bool) -> _Schema:
    """The schema of a manifest, or of one of the other files."""
    whole = cast("_Schema", json.loads(text()))
    if base:
        definitions = cast("_Schema", whole["$defs"])
        head = {"$schema": whole["$schema"], "$id": f"{whole['$id']}:base"}
        return {**head, **cast("_Schema", definitions["base"]), "$defs": definitions}
    if fragment:
        whole |= {
            "$id": f"{whole['$id']}:fragment",
            "title": "Fragment of a QA matrix",
            "description": "Entries that a manifest includes. Everything else stands in the manifest.",
            "required": ["matrix"],
            "properties": {"matrix": cast("_Schema", whole["properties"])["matrix"]},
        }
        del whole["allOf"], whole["x-missing"], whole["x-instead"]
    return whole


def _with(change: Callable[[_Schema], _Schema], whole: _Schema, names: Mapping[NameKind, Mapping[str, str]]) -> str:
    definitions = cast("_Schema", whole["$defs"])
    for kind, known in names.items():
        _offer(definitions, kind, known)
    return json.dumps(_changed(whole, change), indent=2, ensure_ascii=False) + "\n"


def _offer(definitions: _Schema, kind: NameKind, known: Mapping[str, str]) -> None:
    """Lets editors complete names, beside all that could stand there anyway."""
    words: dict[str, Json] = {
        "title": "Locked name",
        "enum": list(known),
        "markdownEnumDescriptions": list(known.values()),
    }
    if kind is NameKind.ENVIRONMENTS:
        target = cast("_Schema", cast("_Schema", definitions["target"])["properties"])
        environment = cast("_Schema", target[TargetKind.ENVIRONMENT])
        environment["anyOf"] = [words, {"$ref": environment.pop("$ref")}]
        return
    name = ENTRY_KEYS[kind].schema
    offered = f"{name}Locked"
    whole = json.dumps(definitions[name]).replace('"#/$defs/nameAtVendor"', f'"#/$defs/{offered}"')
    definitions[name] = json.loads(whole)
    definitions[offered] = {"anyOf": [words, {"$ref": "#/$defs/nameAtVendor"}]}


def _changed(schema: Json, change: Callable[[_Schema], _Schema]) -> Json:
    """A schema with a change made to each of its parts that is a schema, from the outside in."""
    if not isinstance(schema, dict):
        return schema
    changed = change(schema)
    for key, value in changed.items():
        if key in _MAPPINGS:
            changed[key] = {name: _changed(child, change) for name, child in cast("_Schema", value).items()}
        elif key in _LISTS:
            changed[key] = [_changed(child, change) for child in cast("list[Json]", value)]
        elif key in _SINGLE:
            changed[key] = _changed(value, change)
    return changed


_ALL_BUT_NULL: Json = {"type": ["array", "object", "string"]}
"""What a key cannot hold whose inherited value `null` takes away."""


def _for_editor(schema: _Schema) -> _Schema:
    changed = {
        key: value for key, value in schema.items() if not key.startswith("x-") and key not in {"$comment", "default"}
    }
    changed |= _hover(schema)
    if "pattern" in changed and "x-expected" in schema:
        # Without it, yaml-language-server shows the pattern itself.
        changed["patternErrorMessage"] = f"expected {schema['x-expected']}"
    names = schema.get("x-exclusive")
    if schema.get("not") == {} and "errorMessage" in schema:
        # Of `not`, yaml-language-server says only that it matches: this message is shown beside it.
        changed["deprecationMessage"] = schema["errorMessage"]
    if schema.get("not") == _ALL_BUT_NULL and "errorMessage" in schema:
        del changed["not"]
        changed["type"] = "null"  # of a wrong type, it shows the message
    if changed.get("maxProperties") == 1 and isinstance(names, list):
        # Beside `maxProperties: 1`, it completes nothing.
        del changed["maxProperties"]
        changed["not"] = {"anyOf": [{"required": list(pair)} for pair in combinations(names, 2)]}
    return changed


def _hover(schema: _Schema) -> _Schema:
    """Descriptions are Markdown. A default stands in words: editors would insert the keyword's value."""
    description = schema.get("description")
    if not isinstance(description, str):
        return {}
    default = f" Default: `{json.dumps(schema['default']).strip(chr(34))}`." if "default" in schema else ""
    return {"description": description + default, "markdownDescription": description + default}

"""The schema as it is handed out: for editors, with more than the standard has; and plain, for strict validators.

Both accept what the schema accepts, and refuse what it refuses.
"""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias, cast

from qarunner.manifest.schema import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.cursor import Json

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


def for_editors() -> str:
    """With hints for hovering and completing, and without the words that only qarunner's own messages are made of."""
    return _with(_for_editor)


def plain() -> str:
    """With the keywords of JSON Schema alone: what a strict validator takes."""
    return _with(lambda schema: {key: value for key, value in schema.items() if key in _STANDARD})


def _with(change: Callable[[_Schema], _Schema]) -> str:
    whole = _changed(cast("_Schema", json.loads(text())), change)
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _changed(schema: Json, change: Callable[[_Schema], _Schema]) -> Json:
    """A schema with a change made to each of its parts that is a schema, from the outside in."""
    if not isinstance(schema, dict):
        return schema
    found = change(schema)
    for key, value in found.items():
        if key in _MAPPINGS:
            found[key] = {name: _changed(child, change) for name, child in cast("_Schema", value).items()}
        elif key in _LISTS:
            found[key] = [_changed(child, change) for child in cast("list[Json]", value)]
        elif key in _SINGLE:
            found[key] = _changed(value, change)
    return found


def _for_editor(schema: _Schema) -> _Schema:
    found = {
        key: value for key, value in schema.items() if not key.startswith("x-") and key not in {"$comment", "default"}
    }
    found |= _hover(schema)
    names = schema.get("x-exclusive")
    if schema.get("not") == {} and "errorMessage" in schema:
        # Of `not`, yaml-language-server says only that it matches: this message is shown beside it.
        found["deprecationMessage"] = schema["errorMessage"]
    if found.get("maxProperties") == 1 and isinstance(names, list):
        # Beside `maxProperties: 1`, it completes nothing.
        del found["maxProperties"]
        found["not"] = {"anyOf": [{"required": list(pair)} for pair in combinations(names, 2)]}
    return found


def _hover(schema: _Schema) -> _Schema:
    """Descriptions are written in Markdown. A default is told in words: as a keyword, editors would write it out."""
    description = schema.get("description")
    if not isinstance(description, str):
        return {}
    default = f" Default: `{json.dumps(schema['default']).strip(chr(34))}`." if "default" in schema else ""
    return {"description": description + default, "markdownDescription": description + default}

"""A row as it will be, as far as that can be said without a variable: nothing is computed, nothing is executed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias, cast

from qarunner.entry import EXPANDING_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.decode import Json
    from qarunner.manifest.model import Manifest, Row


Fields: TypeAlias = "dict[str, Json]"
"""Values by their paths as people write them: `target.web_url`, `artifacts[0].account_id`."""


EXPANDED = frozenset({"id", *EXPANDING_KEYS})
"""What rows are made from; a row itself does not have it."""


_PLAIN = re.compile(r"\{\{\s*(vars|matrix)((?:\.[A-Za-z_][A-Za-z0-9_]*)+)\s*\}\}", re.ASCII)


def fields_of(manifest: Manifest, row: Row) -> Fields:
    """Every field of a row, with names from `vars` and `matrix` put in where they stand alone in their braces."""
    return dict(flat(filled(manifest, row, {key: value for key, value in row.data.items() if key not in EXPANDED})))


def filled(manifest: Manifest, row: Row, data: Mapping[str, object]) -> dict[str, object]:
    """Data of a row, with names from `vars` and `matrix` put in where they stand alone in their braces."""
    context = {"vars": manifest.vars, "matrix": row.matrix}
    return {key: _filled(value, context) for key, value in data.items()}


def written_fields(row: Row) -> Fields:
    """Every field of a row as it was written."""
    return dict(flat({key: value for key, value in row.data.items() if key not in EXPANDED}))


def flat(value: object, above: str = "") -> Iterator[tuple[str, Json]]:
    """Leaves with their paths. A list without mappings is one leaf: its order and length are one matter."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from flat(child, f"{above}.{key}" if above else str(key))
    elif isinstance(value, list) and any(isinstance(child, (dict, list)) for child in value):
        for index, child in enumerate(value):
            yield from flat(child, f"{above}[{index}]")
    else:
        yield above, cast("Json", value)


def _filled(value: object, context: Mapping[str, Mapping[str, object]]) -> object:
    if isinstance(value, dict):
        return {key: _filled(child, context) for key, child in value.items()}
    if isinstance(value, list):
        return [_filled(child, context) for child in value]
    if not isinstance(value, str) or "{{" not in value or "{%" in value or "{#" in value:
        return value
    whole = _PLAIN.fullmatch(value)
    if whole is not None:
        found = _looked_up(whole, context)
        return value if found is None else found
    return _PLAIN.sub(lambda match: _as_text(_looked_up(match, context), match[0]), value)


def _looked_up(match: re.Match[str], context: Mapping[str, Mapping[str, object]]) -> object:
    value: object = context[match[1]]
    for step in match[2][1:].split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, (str, int, float)) else None


def _as_text(value: object, otherwise: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return otherwise if value is None else str(value)

"""A row field by field: as it was written, as it will be, and what that means."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from qarunner.entry import EXPANDING_KEYS, Retries
from qarunner.known import holds_template
from qarunner.manifest.model import Row, seconds
from qarunner.manifest.rules import TIMEOUT_S
from qarunner.manifest.templates.parse import parse
from qarunner.secret import as_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.decode import Json


Fields: TypeAlias = "dict[str, Json]"
"""Values by their paths as people write them: `target.web_url`, `artifacts[0].account_id`."""


EXPANDED = frozenset({"id", *EXPANDING_KEYS})
"""What rows are made from; a row itself does not have it."""


def fields_of(row: Row) -> Fields:
    """Every field of an evaluated row; secrets are the templates that read them."""
    return {path: _shown(value) for path, value in flat(_unexpanded(row))}


def fields_of_settings(vendor: str, settings: Mapping[str, object]) -> Fields:
    """The same of what a vendor's requests are made with besides the row."""
    return {path: _shown(value) for path, value in flat(dict(settings), f"vendors.{vendor}")} if settings else {}


def meaning(fields: Fields) -> Fields:
    """What fields come to: two ways of writing the same are equal, and a default is one of them."""
    return {**_DEFAULTS, **meant(fields)}


def meant(fields: Fields) -> Fields:
    """The same without defaults, for settings at the manifest's top."""
    return {path: _meant(path.rpartition(".")[2], value) for path, value in fields.items()}


def _meant(key: str, value: Json) -> Json:
    if isinstance(value, list):
        items = [_meant("", item) for item in value]
        return sorted(items, key=str) if key in _UNORDERED else items
    if not isinstance(value, str):
        return value
    if holds_template(value):
        return "".join(piece if isinstance(piece, str) else piece.written for piece in parse(value).pieces)
    if key in _DURATIONS:
        try:
            return seconds(value)
        except ValueError:
            return value
    return value


_DURATIONS = frozenset({"timeout", "every", "max"})


_DEFAULTS: Fields = {
    "allow_failure": False,
    "timeout": TIMEOUT_S,
    "retries.failed": Retries().failed,
    "retries.infra": Retries().infra,
}


_UNORDERED = frozenset({"labels", "needs"})


def _unexpanded(row: Row) -> dict[str, object]:
    return {key: value for key, value in row.data.items() if key not in EXPANDED}


def _shown(value: Json) -> Json:
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return as_template(value) if isinstance(value, str) else value


def written_fields(row: Row) -> Fields:
    """Every field of a row as it was written."""
    return dict(flat(_unexpanded(row)))


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

"""What a plugin adds to the manifest, its `options` and its settings, against the JSON Schema that it brings along.

The built-in vendors' own words stand in qa-matrix.schema.json, for editors' sake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.manifest.expression import holds_template
from qarunner.manifest.faults import once
from qarunner.plan.blame import bug
from qarunner.secret import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema import ValidationError

    from qarunner.cursor import Json
    from qarunner.manifest.faults import Fault
    from qarunner.vendors.api import Vendor

_ABOUT_CONTAINERS = frozenset({"type", "additionalProperties", "required", "minProperties", "maxProperties"})


def faults_of_options(vendor: Vendor, options: object, *, templates: bool) -> tuple[Fault, ...]:
    """What is wrong with an entry's options; paths lead from the options."""
    name = vendor.info.name
    return _faults(vendor, "options", vendor.info.options, options, f"{name} has no options", templates=templates)


def faults_of_settings(
    vendor: Vendor, settings: Mapping[str, object], general: frozenset[str], *, templates: bool
) -> tuple[Fault, ...]:
    """What is wrong under `vendors.<name>`, where `general` keys are not the plugin's to check."""
    properties: dict[str, Json] = {**dict.fromkeys(sorted(general), True), **vendor.info.settings}
    return _faults(vendor, "settings", properties, settings, None, templates=templates)


def _faults(
    vendor: Vendor, what: str, properties: Mapping[str, Json], data: object, hint: str | None, *, templates: bool
) -> tuple[Fault, ...]:
    if not isinstance(data, dict) or not data:
        return ()
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415  140 ms, for plugins with options alone

    from qarunner.manifest.messages import found  # noqa: PLC0415

    schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise bug(vendor, f"has {what} that are no JSON Schema: {error.message}") from error
    validator = Draft202012Validator({**schema, "x-hint": hint} if hint else schema)
    errors = [error for error in validator.iter_errors(data) if not _undecided(error, templates=templates)]
    return once(fault for error in errors for fault in found(error))


def _undecided(error: ValidationError, *, templates: bool) -> bool:
    """Whether nobody knows the value yet: a template's until it is rendered, a secret's until it is sent."""
    if isinstance(error.instance, (dict, list)) and error.validator in _ABOUT_CONTAINERS:
        return False
    return any((templates and holds_template(text)) or OPEN in text for text in _texts(error.instance))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _texts(child)

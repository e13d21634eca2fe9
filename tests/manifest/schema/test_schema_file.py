"""The schema itself: sound, explained on every key, and of one mind with the program's types and tables."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import jsonschema_rs
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from qarunner import report
from qarunner.entry import BY_NAME, Platform, SelectionKind, Strategy, TargetKind
from qarunner.manifest.model import seconds
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.templates.env import FORMATS, LIST
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads(schema.text())
DEFINITIONS = SCHEMA["$defs"]
WORDS = {"errorMessage", "x-expected", "x-hint", "x-missing", "x-instead", "x-exclusive", "x-code"}
FOR_EDITORS = {"markdownEnumDescriptions", "defaultSnippets"}
VALUES = WORDS | FOR_EDITORS | {"examples", "default"}
"""Keywords whose values hold no schema."""
NO_KEYS = ("Rules", "Entry", "Rows", "chosenByOptions", "OfVendors", "vendorOfDefaults")
"""Names of definitions that say more of keys which are explained elsewhere."""


def subschemas(node: object) -> Iterator[dict[str, object]]:
    """Every mapping in the schema that is a schema or holds some."""
    if isinstance(node, dict):
        yield node
        for key, child in node.items():
            if key not in VALUES:
                yield from subschemas(child)
    elif isinstance(node, list):
        for child in node:
            yield from subschemas(child)


def described(node: dict[str, object]) -> bool:
    """Whether hovering over it teaches something."""
    reference = node.get("$ref")
    if "description" in node or not isinstance(reference, str):
        return "description" in node
    return described(DEFINITIONS[reference.removeprefix("#/$defs/")])


# --- the file ---------------------------------------------------------------------------------------------------------


def test_it_is_a_schema() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    assert schema.text() == (ROOT / "qa-matrix.schema.json").read_text(encoding="utf-8")


def test_an_installed_package_has_it_inside(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "qarunner", tmp_path / "qarunner", ignore=shutil.ignore_patterns("__pycache__"))
    inside = tmp_path / "qarunner" / "manifest" / "qa-matrix.schema.json"
    inside.write_text('{"shipped": true}', encoding="utf-8")
    code = "from qarunner.manifest.schema import validate as schema; print(schema.text())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == {"shipped": True}
    force_include = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"qa-matrix.schema.json" = "qarunner/manifest/qa-matrix.schema.json"' in force_include


def test_every_key_is_explained() -> None:
    parts = [SCHEMA, *(definition for name, definition in DEFINITIONS.items() if not name.endswith(NO_KEYS))]
    for part in parts:
        for key, value in part.get("properties", {}).items():
            assert described(value) or "not" in value or key == "variants", key
    assert all(described(DEFINITIONS[name]) for name in ("variants", "entry", "variant", "defaults"))


def resolved(node: dict[str, object]) -> dict[str, object]:
    """A key's schema with what its reference adds; its own words win."""
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node
    result: dict[str, object] = SCHEMA
    for step in reference.removeprefix("#/").split("/"):
        result = cast("dict[str, object]", result[step])
    return {**resolved(result), **node}


def test_every_key_has_an_example_that_is_valid() -> None:
    parts = {name: definition for name, definition in DEFINITIONS.items() if not name.endswith((*NO_KEYS, "row"))}
    for name, part in {"": SCHEMA, **parts}.items():
        for key, node in part.get("properties", {}).items():
            result = resolved(node)
            if "not" in result or not described(node) or key in {"version", "matrix"}:
                continue
            examples = cast("list[object]", result.get("examples", []))
            assert examples, f"{name}.{key} needs an example"
            validator = Draft202012Validator(SCHEMA).evolve(schema=result)
            for value in [*examples, *([result["default"]] if "default" in result else [])]:
                assert validator.is_valid(value), f"{name}.{key}: {value}"


def test_values_of_a_closed_set_are_explained() -> None:
    for node in subschemas(SCHEMA):
        descriptions = node.get("markdownEnumDescriptions")
        assert descriptions is None or len(cast("list[str]", descriptions)) == len(cast("list[str]", node["enum"]))
    for path in (("vendor", "anyOf", 0), ("platform", "anyOf", 0), ("variable", "properties", "format")):
        assert "markdownEnumDescriptions" in cast("dict[str, object]", at(*path)), path


def test_every_definition_is_used() -> None:
    used = {str(node["$ref"]).removeprefix("#/$defs/") for node in subschemas(SCHEMA) if "$ref" in node}
    used -= {"#/properties/vars"}  # a profile has them, too
    assert used | {"row", "base"} == set(DEFINITIONS)


def test_the_comment_lists_the_keywords_for_people() -> None:
    known = {"$schema", "$id", "$defs", "$comment", *Draft202012Validator.VALIDATORS, "then", "else", "title"}
    known |= {"description", "examples", "minContains", "maxContains"}
    used: set[str] = set()
    for node in subschemas({**SCHEMA, "$defs": list(DEFINITIONS.values())}):
        used |= {key for key in node if key in WORDS or key.startswith("x-")}
    assert used == WORDS
    assert all(word in SCHEMA["$comment"] for word in WORDS)


def test_no_pattern_means_different_things_in_different_languages() -> None:
    for node in subschemas(SCHEMA):
        pattern = node.get("pattern")
        if isinstance(pattern, str):
            assert not re.search(r"\\[dwsbDWSB]|\(\?[^:]|\\[pP]", pattern), pattern


def test_entries_variants_defaults_and_rows_have_the_same_keys() -> None:
    crossing = {"axes", "exclude", "include"}
    common = set(DEFINITIONS["variant"]["properties"]) - crossing
    assert set(DEFINITIONS["defaults"]["properties"]) == common
    assert set(DEFINITIONS["row"]["properties"]) == common | {"id"}
    assert set(DEFINITIONS["entry"]["properties"]) == common | crossing | {"id", "variants"}


# --- of one mind with the program -------------------------------------------------------------------------------------


def at(*path: str | int) -> object:
    node: object = DEFINITIONS
    for step in path:
        node = node[step]  # type: ignore[index]
    return node


def enum(*path: str | int) -> list[str]:
    return cast("list[str]", at(*path))


def test_words_are_those_of_the_types() -> None:
    assert enum("platform", "anyOf", 0, "enum") == list(Platform)
    assert list(TargetKind) == list(DEFINITIONS["target"]["properties"])
    assert enum("oneSelectionAtMost", "x-exclusive") == [*SelectionKind, *BY_NAME]
    assert enum("artifact", "properties", "strategy", "anyOf", 0, "enum") == list(Strategy)
    assert enum("variable", "properties", "format", "enum") == [*FORMATS, LIST]
    assert all(find_spec(f"qarunner.report.{name}") for name in report.FORMATS)
    assert set(registry.names_builtin()) <= set(enum("vendor", "anyOf", 0, "enum"))


@given(st.from_regex(r"(?:[0-9]{1,6}(?:h|m|s|ms|d)){0,4}|[0-9.hms ]{0,9}", fullmatch=True))
def test_durations_are_those_that_are_read(text: str) -> None:
    valid = not schema.faults({"timeout": text}, part="defaults")
    try:
        assert valid == (seconds(text) > 0)
    except ValueError:
        assert not valid

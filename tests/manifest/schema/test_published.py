"""What `qarunner schema` prints: it says the same of every manifest as the schema that the program checks with."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from qarunner.errors import ManifestError
from qarunner.manifest.schema import validate as published
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.yaml import reader as document
from tests.manifest.schema.test_schema import FULL, mangle

if TYPE_CHECKING:
    import random

GOLDEN = Path(__file__).parents[2] / "golden" / "schema"
VIEWS = {"editors": json.loads(published.for_editors()), "plain": json.loads(published.plain())}
VALIDATORS = {name: jsonschema_rs.Draft202012Validator(view) for name, view in VIEWS.items()}
OF_EDITORS = {
    "errorMessage",
    "deprecationMessage",
    "patternErrorMessage",
    "markdownDescription",
    "markdownEnumDescriptions",
    "defaultSnippets",
}


def keywords(node: object) -> set[str]:
    """Every keyword of a schema, and of none of the values in it."""
    if not isinstance(node, dict):
        return set()
    names = set(node)
    for key, value in node.items():
        if key in {"properties", "patternProperties", "$defs"}:
            names |= {keyword for child in value.values() for keyword in keywords(child)}
        elif isinstance(value, list) and key in {"allOf", "anyOf", "oneOf"}:
            names |= {keyword for child in value for keyword in keywords(child)}
        elif key not in {"examples", "default", "const", "defaultSnippets"}:
            names |= keywords(value)
    return names


@pytest.mark.parametrize("view", VIEWS)
def test_it_is_a_schema_without_words_of_the_program(view: str) -> None:
    jsonschema_rs.meta.validate(VIEWS[view])
    standard = {"$schema", "$id", "$ref", "$defs", "$comment", *Draft202012Validator.VALIDATORS, "then", "else"}
    standard |= {"title", "description", "default", "examples", "minContains", "maxContains"}
    assert keywords(VIEWS[view]) - standard == (OF_EDITORS if view == "editors" else set())


def test_they_agree_on_every_case() -> None:
    for case in sorted(GOLDEN.iterdir()):
        try:
            data = document.read("qa-matrix.yml", (case / "qa-matrix.yml").read_bytes()).data
        except ManifestError:
            continue
        valid = not schema.faults(data)
        assert {name: validator.is_valid(data) for name, validator in VALIDATORS.items()} == dict.fromkeys(
            VALIDATORS, valid
        ), case


@given(st.randoms(use_true_random=False))
def test_it_agrees_on_mangled_data(chance: random.Random) -> None:
    data = copy.deepcopy(document.read("qa-matrix.yml", FULL).data)
    for _ in range(chance.randint(1, 4)):
        mangle(data, chance)
    valid = not schema.faults(data)
    assert {name: validator.is_valid(data) for name, validator in VALIDATORS.items()} == dict.fromkeys(
        VALIDATORS, valid
    )

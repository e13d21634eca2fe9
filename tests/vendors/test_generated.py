"""What people and editors read of vendors is what `info.py` says; `make schema` writes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from generate import manifest_schema, manifest_validator
from qarunner.manifest.schema import validate
from qarunner.report import FORMATS
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


def between(text: str, name: str, table: str) -> str:
    """The text with a table between its marks."""
    marks = (f"<!-- {name} -->\n", f"\n<!-- /{name} -->")
    assert all(mark in text for mark in marks)
    return re.sub(f"{marks[0]}.*{marks[1]}", lambda _: f"{marks[0]}{table}{marks[1]}", text, flags=re.DOTALL)


@pytest.mark.parametrize("file", ["qa-matrix.schema.json", "README.md"])
def test_what_is_generated_is_not_stale(file: str, golden: Callable[[Path, str], None]) -> None:
    path = ROOT / file
    text = path.read_text(encoding="utf-8")
    infos = registry.infos_builtin()
    if path.suffix == ".json":
        text = manifest_schema.with_vendors(text, infos, FORMATS)
    else:
        text = between(text, "vendors", manifest_schema.capability_table(infos))
        text = between(text, "variables", manifest_schema.variable_table(infos))
    golden(path, text)


def test_the_validator_is_made_of_the_schema(golden: Callable[[Path, str], None]) -> None:
    validate.text.cache_clear()  # the test before may just have written it
    golden(ROOT / "qarunner" / "manifest" / "schema" / "accepts.py", manifest_validator.source())


def test_each_vendor_is_what_its_folder_says() -> None:
    for info in registry.infos_builtin():
        assert registry.get(info.name).info is info

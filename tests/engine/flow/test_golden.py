"""Golden journals: what the engine writes down, sends and decides, for plans and answers in virtual time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.engine.flow.scripted import Case, play

if TYPE_CHECKING:
    from tests.engine.flow.scripted import Expected

CASES = Path(__file__).parents[2] / "golden" / "engine"


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
def test_the_engine_does_what_the_golden_journal_says(name: str, request: pytest.FixtureRequest) -> None:
    folder = CASES / name
    case = msgspec.yaml.decode((folder / "case.yml").read_bytes(), type=Case)
    found = json.loads(json.dumps(play(case)))
    path = folder / "expected.json"
    if request.config.getoption("--update-golden"):
        path.write_text(written(found), encoding="utf-8")
    expected = json.loads(path.read_text(encoding="utf-8"))
    assert found["events"] == expected["events"], case.about
    assert found == expected, case.about


def written(found: Expected) -> str:
    """JSON with one event, and one of everything else, on a line."""
    parts = []
    for name, value in found.items():
        if isinstance(value, list) and value:
            inner = ",\n".join(f"    {json.dumps(each, ensure_ascii=False)}" for each in value)
            parts.append(f'  "{name}": [\n{inner}\n  ]')
        elif isinstance(value, dict) and value:
            inner = ",\n".join(f'    "{key}": {json.dumps(each, ensure_ascii=False)}' for key, each in value.items())
            parts.append(f'  "{name}": {{\n{inner}\n  }}')
        else:
            parts.append(f'  "{name}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"

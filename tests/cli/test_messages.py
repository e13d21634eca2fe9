"""Every folder of tests/golden/messages is a manifest that somebody could have written, and what `validate` says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qarunner.app.explain.codes import pages
from qarunner.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1] / "golden" / "messages"
CASES = sorted(path.name for path in ROOT.iterdir())
FIRST_LINE = re.compile(
    r"^(?P<file>\S+):(?P<line>\d+):(?P<column>\d+): (?:error|warning): (?P<text>.*) \[(?P<code>\w+)\]$"
)
NOT_FOR_USERS = re.compile(
    r"JSON Schema|jsonschema|does not match|is not of type|is not valid under|Traceback|Error:|None\b"
)


@pytest.mark.parametrize("case", CASES)
def test_golden(
    case: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    golden: Callable[[Path, str], None],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / case / "qa-matrix.yml", tmp_path)
    assert run(["validate"]) == 2
    out, err = capsys.readouterr()
    golden(ROOT / case / "errors.txt", err)
    assert out == ""
    problems = [match for match in map(FIRST_LINE.match, err.splitlines()) if match]
    assert problems
    assert [problem["code"] for problem in problems if problem["code"] not in pages()] == []
    assert [problem["text"] for problem in problems if NOT_FOR_USERS.search(problem["text"])] == []
    places = [(problem["file"], int(problem["line"]), int(problem["column"])) for problem in problems]
    assert places == sorted(places)
    assert len({(*place, problem["text"]) for place, problem in zip(places, problems, strict=True)}) == len(problems)


def test_there_are_many() -> None:
    assert len(CASES) >= 60

"""Public configurations of other tools as manifests: each is valid, and its rows send different requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.program.conftest import Stage

ROOT = Path(__file__).parents[2]
TRANSLATED = sorted((ROOT / "examples" / "translated").glob("*/qa-matrix.yml"))
BUILD = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "workflow_dispatch",
    "GITHUB_REPOSITORY": "WordPress/gutenberg",
    "GITHUB_SHA": "0123456789" * 4,
}


def test_there_are_enough_of_them_and_the_page_counts_their_lines() -> None:
    page = (ROOT / "examples" / "translated" / "README.md").read_text(encoding="utf-8")
    assert len(TRANSLATED) >= 8
    for path in TRANSLATED:
        lines = [
            line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")
        ]
        row = next(line for line in page.splitlines() if f"({path.parent.name}/qa-matrix.yml)" in line)
        assert int(row.split("|")[4]) == len(lines), path.parent.name


@pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: path.parent.name)
def test_the_rows_send_different_requests(stage: Stage, path: Path) -> None:
    (stage.folder / "qa-matrix.yml").write_bytes(path.read_bytes())
    checked = stage.run("validate")
    assert checked.code == 0
    assert "warning" not in checked.err
    values = ["--var", "BROWSERS=chrome,firefox,webkit"] if "BROWSERS" in path.read_text(encoding="utf-8") else []
    planned = stage.run("plan", "--branch", "main", "--out", "plan.json", *values, **BUILD)
    assert planned.code == 0, planned
    jobs = json.loads((stage.folder / "plan.json").read_text(encoding="utf-8"))["jobs"]
    assert len({json.dumps([job["request"]["path"], job["request"]["body"]]) for job in jobs}) == len(jobs)

"""Runs that earlier versions wrote are read by this one. `tests/golden/versions/VERSION` keeps one of each version.

A new version adds its own: `make golden` writes it where the folder of `qarunner.__version__` is missing.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qarunner import __version__

if TYPE_CHECKING:
    from tests.program.conftest import Begin, Stage

VERSIONS = Path(__file__).parents[1] / "golden" / "versions"
KEY = {"QARUNNER_SEAL_KEY": "a-key-that-everybody-knows-0123456789"}
KEPT = ("plan.json", "journal.jsonl", "report.json")


def matrix(stage: Stage) -> None:
    """Something of most events: a failure that was tried again, an entry that waits for another, an environment."""
    shop = {"certyn": {"project": "shop", "environment": "staging"}}
    again = {"failed": 1}
    stage.commit(
        stage.doksi("broken", retries=again, labels=["smoke"], owner="team-shop"),
        stage.doksi("flaky", retries=again),
        stage.certyn("smoke", target={"web_url": "https://preview.example"}),
        {**stage.certyn("after"), "needs": ["broken"]},
        vendors=shop,
        gate={"min_tests": 1},
    )


@pytest.fixture
def stage(begin: Begin) -> Stage:
    flaky = [{"outcome": "failed", "message": "the page is blank"}, {"outcome": "passed"}]
    return begin(doksi={"tests": {"broken": {"outcome": "failed"}, "flaky": flaky}})


def test_this_version_has_its_run(stage: Stage, request: pytest.FixtureRequest) -> None:
    folder = VERSIONS / __version__
    if request.config.getoption("--update-golden") and not folder.exists():
        matrix(stage)
        ended = stage.apply(**KEY)
        assert ended.code == 1, ended
        folder.mkdir(parents=True)
        for name in KEPT:
            shutil.copy(stage.run_folder() / name, folder)
    assert all((folder / name).is_file() for name in KEPT), "make golden writes the run of this version"


@pytest.mark.parametrize("version", sorted(path.name for path in VERSIONS.glob("*")))
def test_a_run_of_an_earlier_version_is_read_verified_and_gone_on_with(stage: Stage, version: str) -> None:
    shutil.copytree(VERSIONS / version, stage.run_folder())
    before = json.loads((VERSIONS / version / "report.json").read_text(encoding="utf-8"))
    shown = stage.run("report", "r1", "--format", "json", **KEY)
    assert shown.code == 0, shown
    assert "warning" not in shown.err
    now = json.loads(shown.out)
    assert {key: now[key] for key in before if key != "next"} == {key: before[key] for key in before if key != "next"}
    resumed = stage.resume("r1", **KEY)
    assert resumed.code == before["exit_code"], resumed
    assert stage.paid() == []

"""Several applies at a time with one credential: together they keep the vendor's limit."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.program.conftest import Begin, Stage

CREATES = 8


def applies(stage: Stage, *folders: str) -> None:
    """Three applies of four entries each, so that a limit of eight creates a minute stops some of them."""
    rate = {"reads": "1000/min", "creates": f"{CREATES}/min", "all": "1000/min"}
    entries = [stage.certyn(f"smoke-{number}") for number in range(4)]
    stage.commit(*entries, vendors={"certyn": {"project": "shop", "rate": rate}})
    running = [
        stage.start("apply", "--run-id", f"r{number}", "--poll-interval", "50ms", "--timeout", "3s", *folders)
        for number in range(3)
    ]
    for process in running:
        ended = process.end()
        assert ended.code in {0, 7, 75}, ended  # 75: the others left it nothing


@pytest.mark.parametrize("named", [False, True])
def test_three_applies_draw_on_one_budget(begin: Begin, named: bool) -> None:  # noqa: FBT001  a case
    stage = begin(certyn={"rates": {"reads": 1000, "creates": CREATES, "all": 1000}})
    if named:
        stage.environ["QARUNNER_LIMITS_DIR"] = str(stage.folder / "shared")
    applies(stage)
    assert [sent["status"] for sent in stage.sent("certyn") if sent["status"] == 429] == []
    assert len(stage.paid("certyn")) == CREATES
    folder = stage.folder / "shared" if named else stage.folder / ".qarunner" / "runs" / ".limits"
    files = sorted(path.name for path in folder.iterdir())
    assert len(files) == 2
    assert re.fullmatch(r"certyn-[0-9a-f]{16}\.json", files[0])
    assert files[1] == "salt"
    assert stage.environ["CERTYN_API_KEY"] not in (folder / files[0]).read_text(encoding="utf-8")
    assert set(json.loads((folder / files[0]).read_text(encoding="utf-8"))) <= {"sent", "held", "held_at"}
    assert not named or not (stage.folder / ".qarunner" / "runs" / ".limits").exists()


def test_a_limits_folder_that_cannot_be_made_is_one_warning(begin: Begin) -> None:
    stage = begin()
    (stage.folder / "shared").write_text("a file", encoding="utf-8")
    stage.commit(stage.certyn("smoke"), stage.certyn("other"))
    ended = stage.apply(QARUNNER_LIMITS_DIR=str(stage.folder / "shared"))
    assert ended.code == 0, ended
    assert ended.err.count("requests of other applies are not counted") == 1


def test_a_vendor_without_a_rate_needs_no_budget_and_what_runs_took_is_kept(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 0
    runs = stage.folder / ".qarunner" / "runs"
    assert not (runs / ".limits").exists()
    kept = json.loads((runs / "r1" / "durations.json").read_text(encoding="utf-8"))
    assert len(kept["took"]) == 2
    assert all(0 <= seconds < 30 for durations in kept["took"].values() for seconds in durations)

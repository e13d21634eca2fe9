"""Reports that the manifest asks for, and those of the command line."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.program.conftest import Begin, Stage


def test_every_format_is_written_by_every_apply(begin: Begin) -> None:
    stage = begin()
    formats = {"json": "a.json", "junit": "out/a.xml", "ctrf": "a.ctrf.json", "markdown": "a.md", "html": "a.html"}
    stage.commit(stage.doksi("login"), reports=[{"format": form, "path": path} for form, path in formats.items()])
    ended = stage.apply()
    assert ended.code == 0, ended
    for path in formats.values():
        assert "login" in (stage.folder / path).read_text(encoding="utf-8")
    assert json.loads((stage.folder / "a.json").read_text(encoding="utf-8"))["verdict"] == "passed"


KILLED = """
import os
import signal
from qarunner.app import saved_plan

saved_plan.plan_of = lambda *words, **options: os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_apply_that_is_killed_while_it_plans_leaves_no_report_of_an_earlier_one(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    (stage.folder / "qa.xml").write_text("<testsuites />", encoding="utf-8")
    stage.customise(KILLED)
    ended = stage.apply("--report", "junit=qa.xml")
    assert ended.code == -signal.SIGKILL, ended
    assert not (stage.folder / "qa.xml").exists()


def test_a_link_out_of_the_folder_is_refused_before_anything_is_sent(begin: Begin, tmp_path: Path) -> None:
    stage = begin()
    (tmp_path / "elsewhere").mkdir()
    (stage.folder / "out").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    stage.commit(stage.doksi("login"), reports=[{"format": "junit", "path": "out/qa.xml"}])
    ended = stage.apply()
    assert ended.code == 2, ended
    assert "leads out of the manifest's folder" in ended.err
    assert stage.paid() == []


def test_nothing_that_is_made_replaces_what_is_read(stage: Stage) -> None:
    """Also where git does not track it yet: an apply removed the manifest before it was read."""
    stage.commit(stage.doksi("login"))
    assert stage.run("plan", "--out", "plan.json").code == 0
    shutil.copy(stage.folder / "qa-matrix.yml", stage.folder / "old.yml")
    before = {path: path.read_bytes() for path in stage.folder.iterdir() if path.is_file()}
    for words in (
        ("apply", "--report", "junit=qa-matrix.yml"),
        ("apply", "plan.json", "--report", "json=./plan.json"),
        ("plan", "--out", "qa-matrix.yml"),
        ("diff", "old.yml", "--out", "qa-matrix.yml"),
    ):
        ended = stage.run(*words)
        assert ended.code == 2, ended
        assert "cannot be written: has the name of a manifest" in ended.err or "is read by this command" in ended.err
    assert {path: path.read_bytes() for path in before} == before
    assert stage.sent() == []


def test_all_reports_that_cannot_be_written_are_named_by_validate(stage: Stage) -> None:
    (stage.folder / "out").mkdir()
    (stage.folder / "taken").write_text("")
    paths = ["out", "taken/x.xml", ".git/config", ".qarunner/x.xml", "b.yml", "two.out", "good.xml", "two.out"]
    forms = ["junit"] * 7 + ["json"]
    reports = [{"format": form, "path": path} for form, path in zip(forms, paths, strict=True)]
    stage.commit(stage.doksi("login"), reports=reports)
    ended = stage.run("validate", "--output", "json")
    assert ended.code == 2, ended
    problems = json.loads(ended.out)["problems"]
    assert [problem["code"] for problem in problems] == ["E504"] * 6
    assert "good.xml" not in ended.out
    for command in ("plan", "apply"):
        assert stage.run(command).err.count("[E504]") == 6
    assert stage.sent() == []


def test_no_report_replaces_what_is_no_report(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 0
    subprocess.run(["git", "init", "-q", "."], cwd=stage.folder, check=True)
    subprocess.run(["git", "add", "qa-matrix.yml"], cwd=stage.folder, check=True)
    for path in (".git/config", ".qarunner/x.json", ".qarunner/runs/r1/plan.json", "qa-matrix.yml"):
        before = (stage.folder / path).read_bytes() if (stage.folder / path).exists() else None
        for command in (("report", "r1", "--out", path), ("report", "--merge", "r1", "--out", path)):
            ended = stage.run(*command)
            assert ended.code == 2, ended
        assert stage.run("apply", "--report", f"json={path}").code == 2
        assert ((stage.folder / path).read_bytes() if (stage.folder / path).exists() else None) == before

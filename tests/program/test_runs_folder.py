"""Runs belong to the manifest's folder: every command gives the same answer in every folder of the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.program.conftest import Stage


def test_every_folder_of_a_project_has_the_same_runs(stage: Stage) -> None:
    root = stage.folder
    stage.commit(stage.doksi("login"))
    stage.folder = root / "src" / "deep"
    stage.folder.mkdir(parents=True)
    applied = stage.run("apply", "--run-id", "r1", "--poll-interval", "200ms")
    assert applied.code == 0, applied
    assert (root / ".qarunner/runs/r1/journal.jsonl").is_file()
    assert not (stage.folder / ".qarunner").exists()
    for folder in (stage.folder, root / "src", root):
        stage.folder = folder
        assert "login" in stage.run("status").out
        assert stage.run("report", "r1", "--format", "json").code == 0
        assert "r1" in stage.run("runs").out
        assert stage.run("resume", "r1").code == 0


def test_a_manifest_that_is_named_keeps_its_runs_and_next_commands_lead_to_them(stage: Stage) -> None:
    (stage.folder / "apps").mkdir()
    stage.commit(stage.doksi("login"), name="apps/qa-matrix.yml")
    applied = stage.run("apply", "apps/qa-matrix.yml", "--run-id", "r1", "--detach")
    assert (stage.folder / "apps/.qarunner/runs/r1").is_dir()
    assert "qarunner resume r1 --runs-dir=apps/.qarunner/runs" in applied.err + applied.out


def test_the_environment_names_a_folder_for_every_command(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    stage.environ["QARUNNER_RUNS_DIR"] = "kept"
    assert stage.run("apply", "--run-id", "r1", "--poll-interval", "200ms").code == 0
    assert (stage.folder / "kept/r1/journal.jsonl").is_file()
    assert not (stage.folder / ".qarunner/runs").exists()
    assert "login" in stage.run("status").out
    assert stage.run("status", "--runs-dir", "other").code == 2

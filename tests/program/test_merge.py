"""`report --merge`: the runs of many jobs, one report and one gate."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from qarunner.app.runs import Secrets
from qarunner.engine.io.journal import PLAN, Journal, read
from qarunner.engine.state import events as ev
from qarunner.plan.model import from_json, seal, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qarunner.plan.model import Plan
    from tests.program.conftest import Begin, Ended, Stage


def shard(stage: Stage, run: str, word: str, *select: str) -> Ended:
    """A job's part of the matrix, as `--shard` writes it down."""
    ended = stage.run("apply", "--run-id", run, "--poll-interval", "20ms", *(f"--select={term}" for term in select))
    folder = stage.run_folder(run)
    plan, events = from_json((folder / PLAN).read_bytes(), path=folder), read(folder).events
    assert plan.sources is not None
    part = replace(plan, shard=word, shard_min_tests=min(1, plan.gate.min_tests))
    rewritten(stage, folder, seal(part, sources=replace(plan.sources, choices={"shard": word})), events)
    return ended


def rewritten(stage: Stage, folder: Path, plan: Plan, events: Sequence[ev.Event]) -> None:
    """The folder of a run as it would have been written for another plan."""
    keys = Secrets(environ=stage.environ).sealing(plan)
    shutil.rmtree(folder)
    first, *others = events
    assert isinstance(first, ev.RunStarted)
    with Journal.create(folder, to_json(plan), replace(first, digest=plan.digest), keys, bytes(32)) as journal:
        for event in others:
            journal.append(event)


def merged(stage: Stage, *words: str) -> tuple[int, Any, str]:
    ended = stage.run("report", "--merge", *words)
    return ended.code, json.loads(ended.out), ended.err


@pytest.fixture
def shards(stage: Stage) -> Stage:
    """Two of two shards, green."""
    stage.commit(stage.doksi("a"), stage.doksi("b"), stage.certyn("c"), gate={"min_tests": 3})
    shard(stage, "r1", "1/2", "a", "c")
    shard(stage, "r2", "2/2", "b")
    return stage


def test_all_shards_are_one_report_and_one_gate(shards: Stage) -> None:
    code, report, err = merged(shards, "r1", "r2")
    assert (code, report["exit_code"], report["verdict"], report["run_id"]) == (0, 0, "passed", "r1+r2")
    assert [entry["id"] for entry in report["entries"]] == ["a", "b", "c"]
    assert report["totals"]["tests"] == report["totals"]["passed"] >= 3
    assert err.splitlines()[-1].startswith("qarunner: exit 0: ")
    assert err.splitlines()[-1].endswith("; 2 runs joined")
    assert shards.run("report", "--merge", ".qarunner/runs").out == shards.run("report", "--merge", "r2", "r1").out


def test_the_least_number_of_tests_is_over_all(shards: Stage) -> None:
    assert shards.run("report", "r2").out  # one test alone, of three that the gate wants
    assert json.loads(shards.run("report", "r2").out)["exit_code"] == 0
    shards.commit(shards.doksi("a"), shards.doksi("b"), shards.certyn("c"), gate={"min_tests": 30})
    shard(shards, "s1", "1/2", "a", "c")
    shard(shards, "s2", "2/2", "b")
    code, report, err = merged(shards, "s1", "s2")
    assert (code, report["verdict"]) == (3, "skipped")
    assert "gate.min_tests is 30" in err


def test_a_missing_shard_is_said_and_never_green(shards: Stage, tmp_path: Path) -> None:
    code, report, err = merged(shards, "r1")
    assert (code, report["verdict"]) == (8, "unknown")
    assert "shard 2/2 is missing" in err
    (entry,) = (entry for entry in report["entries"] if entry["verdict"] == "unknown")
    assert entry["id"] == "shard-2-of-2"
    assert "no run of it was given" in entry["reason"]
    ended = shards.run("report", "--merge", "r1", "--format", "junit", "--out", str(tmp_path / "qa.xml"))
    assert ended.code == 8, ended
    root = ET.parse(tmp_path / "qa.xml").getroot()  # noqa: S314  our own
    assert root.get("errors") == "1"
    (suite,) = (suite for suite in root if suite.get("name") == "gate")
    assert [case.get("name") for case in suite] == ["missing"]
    assert report["gate"] == [{"name": "missing", "message": entry["reason"]}]


def test_a_failure_wins_over_a_missing_shard(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"b": {"outcome": "failed"}}})
    stage.commit(stage.doksi("a"), stage.doksi("b"))
    shard(stage, "r2", "2/3", "b")
    code, report, _ = merged(stage, "r2")
    assert (code, report["totals"]["failed"], report["totals"]["unknown"]) == (1, 1, 2)


def test_downloaded_artifacts_are_found(shards: Stage) -> None:
    for number in (1, 2):
        source = shards.run_folder(f"r{number}")
        shutil.move(source, shards.folder / f"artifacts/shard-{number}/.qarunner/runs/r{number}")
    code, report, _ = merged(shards, "artifacts")
    assert (code, report["run_id"]) == (0, "r1+r2")
    code, _, _ = merged(shards, "artifacts/shard-1", "artifacts/shard-2/.qarunner/runs/r2", "artifacts")
    assert code == 0


def test_a_shard_that_was_run_again_counts_as_it_is_now(begin: Begin) -> None:
    stage, better = begin(doksi={"tests": {"b": {"outcome": "failed"}}}), begin()
    stage.commit(stage.doksi("a"), stage.doksi("b"))
    shard(stage, "r1", "1/2", "a")
    assert shard(stage, "r2", "2/2", "b").code == 1
    assert merged(stage, "r1", "r2")[0] == 1
    stage.environ |= better.environ | {"HOME": str(stage.folder)}
    shard(stage, "r3", "2/2", "b")
    code, report, err = merged(stage, "r1", "r2", "r3")
    assert (code, report["run_id"]) == (0, "r1+r3")
    assert "shard 2/2 was run twice: r3 counts, r2 does not" in err


def test_a_run_that_did_not_end_counts_as_what_it_is(shards: Stage) -> None:
    journal = shards.run_folder("r2") / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]))
    code, report, err = merged(shards, "r1", "r2")
    assert code == 8
    assert "run r2 is not finished; to go on: qarunner resume r2" in err
    assert {entry["id"]: entry["verdict"] for entry in report["entries"]}["b"] == "cancelled"
    journal.unlink()
    ended = shards.run("report", "--merge", "r1", "r2")
    assert ended.code == 2, ended
    assert "nothing is known of this run" in ended.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("manifest", "qa-matrix.yml differs"),
        ("total", "one is shard 1/2, one is shard 1/3"),
        ("none", "one is no shard, one is shard 1/2"),
        ("gate", "the gate differs"),
        ("name", "the matrix is shop, and other"),
        ("rehearsal", "one of them was a rehearsal"),
    ],
)
def test_runs_of_different_plans_are_refused(shards: Stage, change: str, message: str) -> None:
    entries = [shards.doksi("a"), shards.doksi("d"), shards.certyn("c")]
    top: dict[str, Any] = {"gate": {"min_tests": 3}}
    if change == "gate":
        top = {"gate": {"min_tests": 1}}
    if change == "name":
        top["name"] = "other"
    if change == "manifest":
        entries.append(shards.doksi("e"))
    if change == "none":
        assert shards.run("apply", "--run-id", "x", "--poll-interval", "20ms", "--select", "b").code in {0, 3}
    elif change == "rehearsal":
        (shards.folder / "fast.yml").write_text("speed: 50")
        shards.run(
            "apply", "--run-id", "x", "--poll-interval", "20ms", "--rehearse", "--scenario", "fast.yml", "--select", "b"
        )
    else:
        if change != "total":
            name = top.pop("name", None)
            path = shards.commit(*entries, **top)
            if name:
                path.write_text(path.read_text().replace('"name": "shop"', f'"name": "{name}"'))
        shard(shards, "x", "1/3" if change == "total" else "2/2", "a" if change != "total" else "b")
    ended = shards.run("report", "--merge", "r1", "x")
    assert ended.code == 2, ended
    assert "r1 and x are no parts of one whole" in ended.err or "x and r1 are no parts of one whole" in ended.err
    assert message in ended.err, ended


def test_runs_without_shards_are_joined_if_they_share_no_entry(stage: Stage) -> None:
    stage.commit(stage.doksi("a"), stage.certyn("c"), gate={"min_tests": 2})
    for run, select in (("x", "vendor:doksi"), ("y", "vendor:certyn"), ("z", "a")):
        stage.run("apply", "--run-id", run, "--poll-interval", "20ms", "--select", select)
    assert merged(stage, "x", "y")[0] == 0
    twice = stage.run("report", "--merge", "x", "y", "z")
    assert twice.code == 2, twice
    assert "a is in x and in z: which one counts?" in twice.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--merge"], "no run was named"),
        (["--merge", "nope"], "nope: neither a run in .qarunner/runs nor a folder with one"),
        (["r1", "r2"], "a report is of one run"),
        (["--merge", "r1", "--format", "pdf"], "--format: unknown word 'pdf'"),
    ],
)
def test_what_cannot_be_joined(stage: Stage, words: list[str], message: str) -> None:
    ended = stage.run("report", *words)
    assert ended.code == 2, ended
    assert message in ended.err


def test_a_command_that_a_report_names_leads_to_its_run(begin: Begin) -> None:
    """Where the runs lie elsewhere, as on a self-hosted runner, a command without the folder finds none."""
    stage = begin(doksi={"default": "hang"})
    stage.commit(stage.doksi("a"))
    kept = ("--runs-dir", "kept")
    assert stage.apply("--detach", *kept).code == 0
    whole = "qarunner resume r1 --runs-dir=kept"
    for words in (("r1",), ("--merge", "r1"), ("--merge", "kept/r1")):
        ended = stage.run("report", *words, *kept)
        assert json.loads(ended.out)["next"]["command"] == whole, ended
        if "--merge" in words:
            assert f"run r1 is not finished; to go on: {whole}\n" in ended.err, ended
    assert f"exit 8: 1 unknown; to go on: {whole}\n" in stage.run("report", *kept, "--format", "markdown").out

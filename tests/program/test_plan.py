"""`plan`: by vendor, in every format, and shared out over jobs."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from tests.program.conftest import Stage


def test_a_plan_is_grouped_by_vendor_with_what_it_costs(stage: Stage) -> None:
    stage.commit(stage.doksi("a", "t1", "t2"), stage.certyn("c", estimate=12), stage.doksi("b", account="acc"))
    ended = stage.run("plan")
    assert ended.code == 0, ended
    lines = ended.out.splitlines()
    assert lines[0] == "doksi: 2 entries, 3 tests in 1 run; 1 create; expected duration unknown"
    assert "certyn: 1 entry, 12 tests in 1 run; 1 create; expected duration unknown" in lines
    assert [line.split()[0] for line in lines if "qa-matrix.yml:" in line] == ["a", "b", "c"]
    assert any(line.startswith("  certyn-1  POST ") for line in lines)
    assert ended.last == "plan: 3 entries, 15 tests in 2 vendor runs: doksi 1, certyn 1; nothing was sent"


def test_a_long_plan_shows_bodies_when_it_is_asked_for_them(stage: Stage) -> None:
    stage.commit(*(stage.certyn(f"p{number}") for number in range(21)))
    short, whole = stage.run("plan"), stage.run("plan", "-v")
    assert "the bodies of 21 requests are shown with -v" in short.out
    assert "processSlug" not in short.out
    assert whole.out.count("processSlug") == 21
    assert all(f"certyn-{number}  POST" in short.out for number in range(1, 22))


def test_a_plan_as_a_comment_holds_no_secret_and_closes_no_tag(stage: Stage) -> None:
    bad = "</details> `@team` <b>"
    stage.commit(
        stage.doksi("a", url="https://shop.example/?t={{ env.TOKEN }}"),
        stage.certyn("b", tags=[bad]),
        env={"TOKEN": {"secret": True}},
        name="qa-matrix.yml",
    )
    token = {"TOKEN": "hunter2-hunter2", "QARUNNER_ALLOW_SECRETS": "TOKEN@shop.example"}
    ended = stage.run("plan", "--format", "markdown", **token)
    assert ended.code == 0, ended
    first = "### `shop`: 2 entries, at least 2 tests in 2 vendor runs: doksi 1, certyn 1; nothing was sent"
    assert ended.out.splitlines()[0] == first
    assert "hunter2" not in ended.out
    outside = [line for line in ended.out.splitlines() if bad in line and not line.startswith("    ")]
    assert outside == []
    assert ended.out.count("\n<details>") == ended.out.count("\n</details>") > 0


def test_a_comment_with_a_long_plan_fits(stage: Stage) -> None:
    stage.commit(*(stage.certyn(f"process-{number}") for number in range(900)))
    ended = stage.run("plan", "--format", "markdown")
    assert 30_000 < len(ended.out.encode()) <= 65_536
    assert "do not fit here: `qarunner plan -v` shows all of it" in ended.out


def test_ten_says_that_something_would_be_sent(stage: Stage) -> None:
    stage.commit(stage.doksi("a"))
    assert stage.run("plan", "--exit-code").code == 10
    assert stage.run("plan", "--exit-code", "--select", "nope").code == 3


def test_shards_for_github(stage: Stage) -> None:
    stage.commit(stage.doksi("a"), stage.doksi("b"), stage.certyn("c"))
    ended = stage.run("plan", "--shards", "2", "--format", "github-matrix")
    assert ended.code == 0, ended
    (line,) = ended.out.splitlines()
    assert json.loads(line) == {
        "include": [{"shard": "1/2", "index": 1, "total": 2}, {"shard": "2/2", "index": 2, "total": 2}]
    }
    many = json.loads(stage.run("plan", "--shards", "9", "--format", "github-matrix").out)
    assert [each["shard"] for each in many["include"]] == ["1/3", "2/3", "3/3"]


def test_shards_for_gitlab_apply_what_was_chosen(stage: Stage) -> None:
    stage.commit(stage.doksi("a"), stage.doksi("b", labels=["it's"]), env={"LOCALE": {"default": "en"}})
    choice = ["--select", "label:it's", "--select", "a", "--var", "LOCALE=$(date)"]
    ended = stage.run("plan", "qa-matrix.yml", *choice, "--shards", "2", "--format", "gitlab-ci")
    assert ended.code == 0, ended
    pipeline = yaml.safe_load(ended.out)
    assert pipeline.pop("stages") == ["test", "gate"]
    assert pipeline.pop("variables") == {"QARUNNER_RUNS_DIR": ".qarunner/runs", "QARUNNER_PIPELINE": "$CI_PIPELINE_ID"}
    gate = pipeline.pop("qarunner gate")
    assert gate["when"] == "always"
    merge = "qarunner report --merge .qarunner/runs --format"
    assert gate["script"] == [
        f"code=0; {merge} json --out qarunner.json || code=$?",
        f"{merge} markdown --out qarunner.md || true",
        "qarunner-gitlab-note qa-matrix.yml --result qarunner.md || true",
        "exit $code",
    ]
    assert list(pipeline) == ["qarunner 1/2", "qarunner 2/2"]
    second = pipeline["qarunner 2/2"]
    words = shlex.split(second["script"][0])
    assert words[:3] == ["qarunner", "apply", "qa-matrix.yml"]
    assert words[3:9] == choice
    run = ["--run-id", "qa-$QARUNNER_PIPELINE-2", "--continue"]
    assert words[9:] == ["--shard", "2/2", *run, "--report", "junit=qarunner-2.xml"]
    assert second["artifacts"] == {
        "when": "always",
        "paths": [".qarunner/runs"],
        "reports": {"junit": "qarunner-2.xml"},
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shards", "2"], "--shards goes with --format github-matrix or gitlab-ci"),
        (["--format", "gitlab-ci"], "--shards goes with --format github-matrix or gitlab-ci"),
        (["--shards", "0", "--format", "gitlab-ci"], "0 is not in the range"),
        (["--format", "xml"], "--format: unknown word 'xml'"),
        (["--shards", "2", "--shard", "1/2", "--format", "gitlab-ci"], "--shards does not go with --shard"),
        (["--branch", "main", "--tag", "v1"], "--tag does not go with --branch"),
        (["-q", "-v"], "--verbose does not go with --quiet"),
        (["--color", "always", "--no-color"], "--no-color does not go with --color"),
        (["--out", "-"], "'-' is no path"),
        (["--runs-dir", ""], "'' is no path"),
        ([""], "'' is no path"),
    ],
)
def test_words_that_make_no_sense_together(stage: Stage, words: list[str], message: str) -> None:
    stage.commit(stage.doksi("a"))
    ended = stage.run("plan", *words)
    assert ended.code == 2, ended
    assert message in ended.err


def test_a_plan_says_how_long_its_runs_usually_take_and_keeps_it_out_of_the_file(stage: Stage) -> None:
    stage.commit(stage.doksi("a"), stage.doksi("b"))
    stage.run("plan", "--out", "before.json")
    assert stage.apply().code == 0
    for form in ("text", "markdown"):
        ended = stage.run("plan", "--format", form, "--out", "after.json")
        assert re.search(r"expected \S+ \(slowest: [ab] at doksi\)", ended.out), ended
        assert "expected duration unknown" not in ended.out
    assert (stage.folder / "after.json").read_bytes() == (stage.folder / "before.json").read_bytes()
    stage.commit(stage.doksi("a"), stage.doksi("b"), stage.certyn("c"))
    assert "never ran here)" in stage.run("plan").out

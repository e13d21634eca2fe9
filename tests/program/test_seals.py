"""Folders of runs that somebody else may have made: who believes them, who warns, and what is never green."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from qarunner.app.runs import Secrets
from qarunner.engine.io.journal import JOURNAL, PLAN, Journal, read
from qarunner.engine.io.seal import Key
from qarunner.engine.state import events as ev
from qarunner.plan.model import from_json, seal, to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qarunner.plan.model import Plan
    from tests.program.conftest import Begin, Ended, Stage

KEYLESS = {"DOKSI_API_KEY": None, "CERTYN_API_KEY": None, "DOCKET_API_KEY": None, "TESTERARMY_API_KEY": None}
SLOW = {"default": {"duration": "30s"}}


def forged(folder: Path, change: Callable[[Plan], Plan], *keys: Key, **words: str) -> None:
    """Somebody writes a run's folder anew, with correct digests and checksums, and whatever keys they have."""
    plan = seal(change(from_json((folder / PLAN).read_bytes(), path=folder)))
    text = b"".join(map(ev.to_line, read(folder).events))
    for old, new in words.items():
        text = text.replace(old.encode(), new.encode())
    first, *others = map(ev.from_line, text.splitlines())
    assert isinstance(first, ev.RunStarted)
    shutil.rmtree(folder)
    with Journal.create(folder, to_json(plan), replace(first, digest=plan.digest), keys, bytes(32)) as journal:
        for event in others:
            journal.append(event)


def to_another_variable(plan: Plan) -> Plan:
    doksi = replace(plan.vendors["doksi"], key_env="AWS_SECRET_ACCESS_KEY")
    return replace(plan, vendors={**plan.vendors, "doksi": doksi})


def test_a_forged_plan_sends_nothing_anywhere(begin: Begin) -> None:
    stage = begin(doksi=SLOW)
    stage.commit(stage.doksi("login"))
    assert stage.apply("--detach").code == 0
    forged(stage.run_folder(), to_another_variable)
    sent = stage.sent()
    for words in (["resume", "r1"], ["resume"], ["apply", "--rerun-failed", "r1"]):
        ended = stage.run(*words, AWS_SECRET_ACCESS_KEY="wJalrXUtnFEMI")
        assert ended.code == 2, ended
        assert "run r1: its seal is missing: anybody can have written it" in ended.err
        assert "if this folder is yours, add --unsealed" in ended.err
    assert stage.sent() == sent
    assert "seal: its seal is missing" in stage.run("status").out
    assert "its seal is missing" in stage.run("report").err


def test_a_variable_whose_value_people_know_seals_nothing(begin: Begin) -> None:
    stage = begin(doksi=SLOW)
    stage.commit(stage.doksi("login"))
    assert stage.apply("--detach").code == 0
    known = {"MY_DOKSI_HOME": "/home/known", "QARUNNER_DOKSI_URL": stage.environ["QARUNNER_DOKSI_URL"]}
    for name, value in known.items():
        forged(stage.run_folder(), lambda plan: plan, Key.of(value))
        ended = stage.resume("r1", **{name: value})
        assert ended.code == 2, ended
        assert "it was sealed with other keys" in ended.err


def test_a_run_that_passed_elsewhere_is_no_pass_here(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 0
    forged(stage.run_folder(), lambda plan: plan, Key.of("somebody's own"))
    sent = stage.sent()
    ended = stage.resume("r1")
    assert ended.code == 2, ended
    assert "it was sealed with other keys than those that are set here" in ended.err
    vouched = stage.resume("r1", "--unsealed", "--report", "junit=qa.xml")
    assert vouched.code == 0, vouched
    assert (stage.folder / "qa.xml").exists()
    assert stage.events("Resumed")[-1]["unsealed"] is True
    assert stage.resume("r1").code == 0  # what a person vouched for is sealed with the keys of here
    assert stage.sent() == sent


def test_without_any_key_nothing_is_verified_and_nothing_passes(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 0
    before = {path.name: path.read_bytes() for path in stage.run_folder().iterdir()}
    ended = stage.resume("r1", "--report", "json=qa.json", "--report", "junit=qa.xml", **KEYLESS)
    assert ended.code == 8, ended
    assert "nothing was verified: no key is set" in ended.last
    document = json.loads((stage.folder / "qa.json").read_text())
    assert (document["exit_code"], document["verdict"]) == (8, "unknown")
    assert "nothing was verified" in (stage.folder / "qa.xml").read_text()
    assert {path.name: path.read_bytes() for path in stage.run_folder().iterdir()} == before
    ended = stage.run("report", "--merge", "r1", **KEYLESS)
    assert ended.code == 8, ended
    assert "nothing was verified" in ended.err
    assert "nothing was verified" in stage.run("status", **KEYLESS).out
    assert stage.run("report", "--merge", "r1").code == 0


def test_a_failure_stays_one_without_any_key(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"login": "failed"}})
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 1
    assert stage.resume("r1", **KEYLESS).code == 1
    assert stage.run("report", "--merge", "r1", **KEYLESS).code == 1


def test_any_one_key_goes_on_and_keys_can_be_changed(begin: Begin) -> None:
    stage = begin(doksi=SLOW, certyn=SLOW)
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    assert stage.apply("--detach", QARUNNER_SEAL_KEY="old").code == 0
    assert stage.resume("r1").code == 2
    ended = stage.resume("r1", QARUNNER_SEAL_KEY="new, old")
    assert ended.code == 0, ended
    assert stage.run("report", "--merge", "r1", **KEYLESS, QARUNNER_SEAL_KEY="old").code == 0
    assert stage.run("report", "--merge", "r1", **KEYLESS, QARUNNER_SEAL_KEY="new").code == 2


def test_one_of_the_vendors_keys_is_enough(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    assert stage.apply().code == 0
    assert stage.run("report", "--merge", "r1", DOKSI_API_KEY=None).code == 0
    assert stage.run("report", "--merge", "r1", CERTYN_API_KEY=None).code == 0


def test_where_a_seal_key_is_set_a_rehearsal_is_verified_like_a_run(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    assert (
        stage.run("apply", "--rehearse", "--run-id", "r1", "--poll-interval", "20ms", QARUNNER_SEAL_KEY="one").code == 0
    )
    refused = stage.run("apply", "--rehearse", "--rerun-failed", "r1", QARUNNER_SEAL_KEY="two")
    assert refused.code == 2, refused
    assert "it was sealed with other keys" in refused.err
    assert "seal: it was sealed with other keys" in stage.run("status", "r1", QARUNNER_SEAL_KEY="two").out
    assert "it was sealed with other keys" in stage.run("report", "r1", QARUNNER_SEAL_KEY="two").err
    assert "seal: " not in stage.run("status", "r1", QARUNNER_SEAL_KEY="one").out


def test_a_line_that_was_added_breaks_the_seal_and_a_cancel_only_warns(begin: Begin) -> None:
    stage = begin(doksi=SLOW, certyn=SLOW)
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    assert stage.apply("--detach").code == 0
    number = len(stage.lines())
    with Journal.reopen(stage.run_folder())[0] as journal:
        journal.append(ev.Polled(at=1.0, job="doksi-1", run=stage.run_of("doksi-1"), note="mine"))
    ended = stage.resume("r1")
    assert ended.code == 2, ended
    assert f"its seal is broken: line {number + 1} of {JOURNAL} was not written with any of the keys" in ended.err
    cancelled = stage.run("cancel", "r1")
    assert cancelled.code == 0, cancelled
    assert "qarunner: warning: run r1: its seal is broken" in cancelled.err
    assert len(stage.sent("certyn", "POST", "/cancel")) == 1


def test_a_journal_of_format_1_is_read_and_gone_on_with_at_a_person_s_word(begin: Begin) -> None:
    stage = begin(doksi=SLOW)
    stage.commit(stage.doksi("login"))
    assert stage.apply("--detach").code == 0
    journal = stage.run_folder() / JOURNAL
    first, *others = read(stage.run_folder()).events
    assert isinstance(first, ev.RunStarted)
    journal.write_bytes(b"".join(ev.to_line(event) for event in (replace(first, version=1), *others)))
    assert stage.run("status").code == 0
    assert "its seal is missing" in stage.resume("r1").err
    ended = stage.resume("r1", "--unsealed")
    assert ended.code == 0, ended
    assert stage.resume("r1").code == 0
    assert len(stage.paid()) == 1


# --- what is joined ---------------------------------------------------------------------------------------------------


def test_a_forged_newer_shard_does_not_count(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"login": "failed"}})
    stage.commit(stage.doksi("login"))
    environ = {"QARUNNER_SEAL_KEY": "k"}
    assert shard(stage, "r1", **environ).code == 1
    for words in ({"failed": "passed"}, {"failed": "passed", "r1": "r2"}):
        shutil.rmtree(stage.run_folder("r2"), ignore_errors=True)
        shutil.copytree(stage.run_folder(), stage.run_folder("r2"))
        forged(stage.run_folder("r2"), lambda plan: plan, Key.of("x"), **words)
        ended = stage.run("report", "--merge", "r1", "r2", **KEYLESS, **environ)
        assert ended.code == 1, ended
        assert "does not count: it was sealed with other keys than those that are set here" in ended.err
    alone = stage.run("report", "--merge", "r2", **KEYLESS, **environ)
    assert alone.code == 2, alone
    assert stage.run("report", "--merge", "r2", "--unsealed", **KEYLESS, **environ).code == 0


def test_a_shard_of_another_run_of_the_ci_is_not_taken_for_one_of_this(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    ci = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/shop", "QARUNNER_SEAL_KEY": "k"}
    assert shard(stage, "r1", **ci, GITHUB_RUN_ID="1").code == 0
    assert shard(stage, "r2", **ci, GITHUB_RUN_ID="2").code == 0
    ended = stage.run("report", "--merge", "r1", "r2", **ci, GITHUB_RUN_ID="2")
    assert ended.code == 2, ended
    assert "shard 1/1 is there of several runs of the CI: r1 (github: acme/shop/1), r2" in ended.err
    assert shard(stage, "r3", **ci, GITHUB_RUN_ID="2", GITHUB_RUN_ATTEMPT="2").code == 0
    assert stage.run("report", "--merge", "r2", "r3", **ci).code == 0


def shard(stage: Stage, run: str, **variables: str) -> Ended:
    return stage.run("apply", "--run-id", run, "--shard", "1/1", "--poll-interval", "20ms", **variables)


@pytest.mark.parametrize("marker", ["CI", "GITHUB_ACTIONS", "TF_BUILD"])
def test_a_shard_in_a_ci_needs_a_key_that_another_job_has_too(stage: Stage, marker: str) -> None:
    stage.commit(stage.doksi("login"))
    ended = shard(stage, "r1", **{marker: "true"})
    assert ended.code == 2, ended
    assert "QARUNNER_SEAL_KEY is not set" in ended.err
    assert "QARUNNER_SEAL_KEY" in ended.err.split("hint")[1]
    assert stage.sent() == []
    assert shard(stage, "r1", **{marker: "true"}, QARUNNER_SEAL_KEY="k").code == 0


# --- who did it, and where --------------------------------------------------------------------------------------------


def test_the_journal_says_who_began_and_who_decided(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": "POST /runs", "call": 1, "drop": "before"}]})
    stage.commit(stage.doksi("login"))
    ci = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTOR": "ann",
        "GITHUB_REPOSITORY": "acme/shop",
        "GITHUB_RUN_ID": "7",
        "GITHUB_JOB": "qa",
    }
    assert stage.apply(**ci, GITHUB_RUN_ATTEMPT="1").code == 8
    ann = {"actor": "ann", "pipeline": "github: acme/shop/7", "job": "qa", "attempt": 1}
    assert stage.events("RunStarted")[0]["who"] == ann
    report = stage.report()
    assert (report["ci"]["actor"], report["ci"]["attempt"]) == ("ann", 1)
    assert report["next"] == {"do": "decide", "command": "qarunner status r1"}
    ended = stage.resume("r1", "--resubmit", "login", **ci, GITHUB_TRIGGERING_ACTOR="bob", GITHUB_RUN_ATTEMPT="2")
    assert ended.code == 0, ended
    assert stage.report()["next"] is None
    bob = {**ann, "actor": "bob", "attempt": 2}
    assert [event["who"] for event in (*stage.events("Resumed"), *stage.events("Decided"))] == [bob, bob]


def test_a_commit_is_promoted_by_its_newest_sealed_run_of_all_entries(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"b": ["passed", "failed"]}})
    stage.commit(stage.doksi("a"), stage.doksi("b", "b"), profiles={"few": {"select": ["a"]}})
    sha = "a" * 40
    ci = {"GITHUB_ACTIONS": "true", "GITHUB_SHA": sha, "GITHUB_REPOSITORY": "acme/shop", "GITHUB_REF_NAME": "main"}

    def applied(run: str, *words: str) -> int:
        return stage.run("apply", "--run-id", run, "--poll-interval", "20ms", *words, **ci).code

    def promoted(*words: str, **environ: str | None) -> Ended:
        return stage.run("report", "--verify", "--commit", sha, *words, **environ)

    assert promoted().code == 8
    assert applied("some", "--select", "a") == 0
    assert applied("few", "--profile", "few") == 0
    assert promoted().code == 8  # neither is of all entries
    assert promoted("--profile", "few").code == 0
    assert applied("r1") == 0
    assert promoted("--max-age", "24h").out == f"qarunner: exit 0: 2 passed; run r1 of {sha}\n"
    assert promoted("--max-age", "1ms").code == 8
    assert promoted(DOKSI_API_KEY=None).code == 8
    assert stage.run("report", "--verify", "--commit", "b" * 40).code == 8
    assert stage.run("report", "--verify").code == 2
    assert applied("r2") == 1
    assert promoted().code == 1


def test_in_a_ci_only_a_run_of_this_pipeline_is_meant_where_none_is_named(begin: Begin) -> None:
    stage = begin(doksi=SLOW)
    stage.commit(stage.doksi("login"))
    first, second = ({"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": number} for number in ("1", "2"))
    start = ("apply", "--detach", "--poll-interval", "20ms", "--run-id")
    assert stage.run(*start, "mine", **first).code == 0
    assert stage.run(*start, "newer", **second).code == 0
    ended = stage.resume(**first)
    assert ended.code == 0, ended
    assert "resuming run mine" in ended.err
    assert stage.resume(**first).code == 0  # over, and the only one
    nothing = stage.resume(GITHUB_ACTIONS="true", GITHUB_RUN_ID="3")
    assert nothing.code == 2, nothing
    assert "no run of this pipeline" in nothing.err
    assert "there are: newer, mine" in nothing.err
    assert stage.run(*start, "other", **second).code == 0
    several = stage.resume(**second)
    assert several.code == 2, several
    assert "2 of them in .qarunner/runs can be meant: other, newer" in several.err
    assert stage.run("cancel", **second).code == 2
    assert stage.resume("newer", **second).code == 0


def test_a_ci_that_is_not_known_has_to_name_one_of_several(begin: Begin) -> None:
    stage = begin(doksi=SLOW)
    stage.commit(stage.doksi("login"))
    for name in ("a", "b"):
        assert stage.run("apply", "--detach", "--poll-interval", "20ms", "--run-id", name, CI="true").code == 0
    assert stage.resume(CI="true").code == 2
    assert stage.resume("a", CI="true").code == 0
    ended = stage.resume(CI="true")
    assert "resuming run b" in ended.err


def test_keys_are_in_no_file_of_the_run(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    assert stage.apply(QARUNNER_SEAL_KEY="a-key-of-our-own").code == 0
    text = b"".join(path.read_bytes() for path in stage.run_folder().iterdir())
    assert b"a-key-of-our-own" not in text
    key = Secrets(environ={"QARUNNER_SEAL_KEY": "a-key-of-our-own"}).verifying(
        from_json((stage.run_folder() / PLAN).read_bytes(), path=stage.folder)
    )[0]
    assert key.secret.hex().encode() not in text
    assert "a-key-of-our-own" not in repr(key)
    assert key.secret.hex() not in repr(key)

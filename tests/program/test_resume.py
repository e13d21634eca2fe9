"""`resume`: which runs it takes up, whom it listens to, and what it must not do."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from qarunner.engine.io.journal import Journal
from qarunner.engine.state import events as ev
from qarunner.vendors.api import Outcome, Verdict

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Stage

UNANSWERED: dict[str, object] = {"faults": [{"on": "POST /runs", "call": 1, "drop": "after"}]}
UNHEARD: dict[str, object] = {"faults": [{"on": "POST /runs", "call": 1, "drop": "before"}]}


def in_doubt(begin: Begin, doksi: dict[str, object]) -> Stage:
    stage = begin(doksi=doksi)
    stage.commit(stage.doksi("login", "t1"), stage.certyn("smoke"))
    assert stage.apply().code == 8
    return stage


def test_a_resume_alone_sends_no_create_that_is_in_doubt(begin: Begin) -> None:
    stage = in_doubt(begin, UNANSWERED)
    before = stage.sent()
    ended = stage.resume()
    assert ended.code == 8, ended
    assert "--resubmit doksi-1" in ended.out
    assert stage.sent() == before


def test_resubmit_sends_it_again(begin: Begin, at_once: AtOnce) -> None:
    def check(word: str) -> None:
        stage = in_doubt(begin, UNHEARD)
        ended = stage.resume("r1", "--resubmit", word)
        assert ended.code == 0, ended
        assert stage.verdicts() == {"login": "passed", "smoke": "passed"}
        assert sorted(stage.paid()) == [["smoke"], ["t1"]]

    at_once(["doksi-1", "login"], check)


def test_a_command_of_an_older_page_decides_no_new_doubt(begin: Begin) -> None:
    stage = in_doubt(begin, {"faults": [{"on": "POST /runs", "call": call, "drop": "before"} for call in (1, 2)]})
    again = stage.resume("r1", "--resubmit", "doksi-1")
    assert again.code == 8, again
    assert "qarunner resume r1 --resubmit doksi-1@2 " in again.out
    sent = stage.sent()
    for word in ("doksi-1", "login", "doksi-1@1", "doksi-1@3"):
        for option in ("--resubmit", "--drop"):
            assert stage.resume("r1", option, word).code == 2
    assert "--resubmit doksi-1@2" in stage.resume("r1", "--resubmit", "doksi-1").err
    assert stage.sent() == sent
    assert stage.resume("r1", "--resubmit", "doksi-1@2").code == 0
    assert sorted(stage.paid()) == [["smoke"], ["t1"]]


def test_drop_leaves_it_unknown_for_good(begin: Begin, at_once: AtOnce) -> None:
    def check(word: str) -> None:
        stage = in_doubt(begin, UNANSWERED)
        for words in (["--drop", word], []):
            ended = stage.resume("r1", *words)
            assert ended.code == 8, ended
            assert ended.last == "qarunner: exit 8: 1 unknown, 3 passed; rerun: qarunner apply --rerun-failed r1"
            assert "--resubmit" not in ended.out
        assert len(stage.creates("doksi")) == 1

    at_once(["doksi-1", "login"], check)


def test_only_what_is_in_doubt_can_be_decided_and_only_one_way(begin: Begin) -> None:
    stage = in_doubt(begin, UNANSWERED)
    before = stage.sent()
    words = {
        "--resubmit smoke": "--resubmit smoke: not an uncertain job or entry",
        "--drop doksi-9": "uncertain are: doksi-1",
        "--drop doksi-1 --resubmit login": "both --resubmit and --drop",
    }
    for word, message in words.items():
        ended = stage.resume("r1", *word.split())
        assert ended.code == 2, ended
        assert message in ended.err
    assert stage.sent() == before


def test_a_finished_run_says_the_same_again_and_sends_nothing(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"t2": "failed"}})
    stage.commit(stage.doksi("login", "t1", "t2"), stage.certyn("smoke"))
    first = stage.apply()
    assert first.code == 1, first
    report, sent = (stage.run_folder() / "report.json").read_bytes(), stage.sent()
    again = stage.resume("r1", "--report", "json=again.json")
    assert (again.code, again.out.replace("report: again.json\n", "")) == (1, first.out)
    assert (stage.run_folder() / "report.json").read_bytes() == report
    assert (stage.folder / "again.json").read_bytes() == report
    assert stage.sent() == sent


def test_the_newest_run_is_meant_where_none_is_named(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    assert stage.run("apply", "--run-id", "z-older", "--poll-interval", "20ms").code == 0
    assert stage.run("apply", "--run-id", "a-newer", "--poll-interval", "20ms").code == 0
    ended = stage.resume()
    assert ended.code == 0, ended
    assert "resuming run a-newer" in ended.err


def test_a_run_that_nobody_wrote_down(stage: Stage, at_once: AtOnce) -> None:
    stage.commit(stage.doksi("login"))
    nothing = stage.resume()
    assert nothing.code == 2, nothing
    assert "no run in" in nothing.err
    assert stage.apply().code == 0
    sent = stage.sent()

    def check(arguments: list[str]) -> None:
        ended = stage.run(*arguments)
        assert ended.code == 2, ended
        assert "there are: r1" in ended.err or "is no run id" in ended.err

    at_once([["resume", "r2"], ["report", "r2"], ["resume", "../runs/r1"]], check)
    assert stage.sent() == sent


def test_two_processes_on_one_run(begin: Begin) -> None:
    stage = begin(doksi={"default": {"outcome": "hang"}})
    stage.commit(stage.doksi("login"))
    first = stage.start_apply()
    stage.until(lambda: stage.events("Accepted"))
    second = stage.resume("r1")
    assert second.code == 2, second
    assert "another qarunner is at work on this run" in second.err
    assert stage.run("report", "r1").code == 0
    assert first.signal(signal.SIGINT).code == 130
    assert len(stage.creates("doksi")) == 1


def test_a_rehearsal_is_resumed_with_its_own_vendors_and_never_with_the_real_ones(stage: Stage) -> None:
    """Each command that it prints does what it says, and is practice for the day when it is not a rehearsal."""
    url = "https://shop.example/{{ env.TOKEN }}"
    stage.commit(stage.doksi("login", url=url), stage.certyn("smoke"), env={"TOKEN": {"secret": True}})
    (stage.folder / "slow.yml").write_text("certyn: { default: hang }")
    secret = {"QARUNNER_VAR_TOKEN": "tttt-very-secret", "QARUNNER_ALLOW_SECRETS": "TOKEN@shop.example"}
    apply = stage.start_apply("--rehearse", "--scenario", "slow.yml", **secret)
    stage.until(lambda: len(stage.events("Accepted")) == 2)
    apply.kill()
    kept = (stage.run_folder() / "emulator.jsonl").read_text(encoding="utf-8")
    assert "very" not in kept
    assert "QARUNNER" not in kept
    stage.leaping()
    ended = stage.resume("--timeout", "1h", "--poll-interval", "5m", **secret)
    assert ended.code == 7, ended
    assert stage.verdicts() == {"login": "passed", "smoke": "timed_out"}
    assert "https://" not in (stage.run_folder() / "report.json").read_text(encoding="utf-8")
    ended = stage.run("cancel", "r1")
    assert ended.code == 0, ended
    assert stage.sent() == []


def test_what_is_uncertain_in_a_rehearsal_can_be_decided(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    (stage.folder / "lost.yml").write_text("doksi: { faults: [{ on: POST /runs, call: 1, drop: after }] }")
    rehearsed = stage.run("apply", "--run-id", "r1", "--rehearse", "--scenario", "lost.yml")
    assert rehearsed.code == 8, rehearsed
    assert "qarunner resume r1 --resubmit doksi-1" in rehearsed.out
    ended = stage.resume("r1", "--resubmit", "doksi-1")
    assert ended.code == 0, ended
    assert "nothing was sent to a real one" in ended.out
    assert stage.sent() == []


def test_the_vendors_of_a_rehearsal_go_on_while_nobody_looks(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    (stage.folder / "quick.yml").write_text("speed: 100")
    detached = stage.run("apply", "--run-id", "r1", "--rehearse", "--scenario", "quick.yml", "--detach")
    assert detached.code == 0, detached
    assert "qarunner resume r1" in detached.last
    ended = stage.resume("r1")
    assert ended.code == 0, ended
    assert stage.verdicts() == {"login": "passed", "smoke": "passed"}
    kept = stage.run_folder() / "emulator.jsonl"
    assert [line for line in kept.read_text(encoding="utf-8").splitlines() if '"POST"' in line][2:] == []
    elsewhere = stage.folder / "elsewhere"
    kept.rename(elsewhere)
    for is_link in (False, True):
        if is_link:
            kept.symlink_to(elsewhere)
        ended = stage.resume("r1")
        assert ended.code == 2, ended
        assert "its emulated vendors are gone: emulator.jsonl: " in ended.err
    assert stage.sent() == []


def test_in_a_pipeline_a_rehearsal_of_somebody_else_is_no_run(stage: Stage) -> None:
    """Else who can write into a cache would put one there, and the gate would be green."""
    stage.commit(stage.doksi("login"))
    (stage.folder / "quick.yml").write_text("speed: 100")
    words = ("apply", "--rehearse", "--scenario", "quick.yml", "--detach", "--run-id")
    pipeline = {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "7", "GITHUB_REPOSITORY": "example/shop"}
    real = {"DOKSI_API_KEY": "no-key-of-an-emulated-vendor"}
    pipeline |= real
    key = {"QARUNNER_SEAL_KEY": "a-key-of-the-pipeline-0123456789", **real}
    assert stage.run(*words, "theirs").code == 0
    both = pipeline | key
    for variables in (pipeline, key, both):
        ended = stage.resume("theirs", **variables)
        assert ended.code == 2, ended
        assert "add --unsealed" in ended.err
    assert stage.run("apply", "--rehearse", "--scenario", "quick.yml", "--run-id", "over").code == 0
    assert [stage.run("watch", "over", **variables).code for variables in ({}, pipeline, both)] == [0, 8, 8]
    assert stage.run(*words, "ours", **both).code == 0
    assert stage.resume("ours", **both).code == 0
    assert stage.resume("theirs", "--unsealed", **both).code == 0


def test_a_resume_needs_the_credentials_and_nothing_is_sent_without_them(begin: Begin) -> None:
    stage = in_doubt(begin, UNHEARD)
    sent = stage.sent()
    ended = stage.resume("--resubmit", "login", DOKSI_API_KEY=None)
    assert ended.code == 2, ended
    assert "DOKSI_API_KEY" in ended.err
    assert stage.sent() == sent
    assert stage.resume("--resubmit", "login").code == 0


def test_a_plan_that_was_changed_is_not_carried_out(begin: Begin) -> None:
    stage = in_doubt(begin, UNHEARD)
    sent = stage.sent()
    plan = stage.run_folder() / "plan.json"
    plan.write_text(plan.read_text(encoding="utf-8").replace("shop.example", "evil.example"), encoding="utf-8")
    ended = stage.resume("--resubmit", "login")
    assert ended.code == 2, ended
    assert "was changed after qarunner wrote it" in ended.err
    assert stage.sent() == sent


def test_the_plan_of_another_run_is_not_taken_for_this_one_s(begin: Begin) -> None:
    stage = in_doubt(begin, UNHEARD)
    assert stage.run("apply", "--run-id", "r2", "--poll-interval", "20ms", "--select", "smoke").code == 0
    sent = stage.sent()
    plans = [stage.run_folder(run) / "plan.json" for run in ("r1", "r2")]
    mine, foreign = (json.loads(path.read_bytes())["digest"] for path in plans)
    shutil.copy(plans[1], plans[0])
    for words in (
        ["resume", "r1"],
        ["resume", "r1", "--drop", "login"],
        ["status", "r1"],
        ["report", "r1"],
        ["cancel", "r1"],
    ):
        ended = stage.run(*words)
        assert ended.code == 2, ended
        assert mine in ended.err
        assert foreign in ended.err
    assert stage.sent() == sent


def test_a_line_that_names_what_the_plan_does_not_have_is_damage(begin: Begin) -> None:
    stage = in_doubt(begin, UNHEARD)
    unknown = Outcome(verdict=Verdict.PASSED)
    events: list[ev.Event] = [
        ev.RunCancelled(at=1.0, job="doksi-1", run="nobody"),
        ev.EntryClosed(at=1.0, entry="other", outcome=unknown),
        ev.CreateMadeNothing(at=1.0, job="doksi-1", outcomes={"other": unknown}),
        ev.ResourceReleased(at=1.0, resource="r"),
        ev.Submitting(at=1.0, job="doksi-9", attempt=1),
    ]
    lines, whole = len(stage.lines()), (stage.run_folder() / "journal.jsonl").read_bytes()
    for event in events:
        with Journal.reopen(stage.run_folder())[0] as journal:
            journal.append(event)
        ended = stage.resume("r1")
        assert ended.code == 2, ended
        assert f"journal.jsonl:{lines + 1}: the line is damaged: it names" in ended.err
        (stage.run_folder() / "journal.jsonl").write_bytes(whole)


def test_a_run_without_its_journal_or_its_plan_is_not_begun_again(begin: Begin) -> None:
    stage = in_doubt(begin, UNHEARD)
    sent, journal = stage.sent(), stage.run_folder() / "journal.jsonl"
    whole = journal.read_bytes()
    for damage in (lambda: journal.write_bytes(b""), journal.unlink):
        damage()
        ended = stage.resume("r1")
        assert ended.code == 2, ended
        assert "nothing is known of this run" in ended.err
    journal.write_bytes(whole)
    (stage.run_folder() / "plan.json").unlink()
    ended = stage.resume("r1")
    assert ended.code == 2, ended
    assert "run r1 in .qarunner/runs has lost its plan.json" in ended.err
    assert stage.sent() == sent


@pytest.mark.parametrize("duration", ["0s", "1000s"])
def test_a_run_whose_journal_was_cut_is_not_paid_again(begin: Begin, duration: str) -> None:
    stage = begin(doksi={"tests": {"t1": {"duration": duration, "outcome": "failed"}}})
    stage.commit(stage.doksi("login", "t1"))
    process = stage.start_apply()
    if duration == "0s":
        assert process.end().code == 1
    else:
        stage.until(lambda: stage.events("Accepted"))
        process.kill()
    sent, path = stage.sent(), stage.run_folder() / "journal.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    for words in (
        ("resume", "r1"),
        ("apply", "--run-id", "r1", "--continue"),
        ("apply", "--run-id", "r2", "--rerun-failed", "r1"),
        ("status", "r1"),
    ):
        ended = stage.run(*words)
        assert ended.code == 2, ended
        assert "journal.jsonl: its end is missing: it knows of 0 requests, and 1 were made" in ended.err
    assert stage.sent() == sent


@pytest.mark.parametrize("damage", ["cut", "flipped", "joined"])
def test_a_cancel_ends_what_a_damaged_journal_still_tells_of(begin: Begin, damage: str) -> None:
    """It pays for nothing, and refused: the run went on, and was paid for."""
    stage = begin(certyn={"processes": {"a": {"duration": "1000s"}, "b": {"duration": "1000s"}}})
    stage.commit(stage.certyn("a"), stage.certyn("b", needs=["a"]), stage.certyn("c"))
    process = stage.start_apply()
    stage.until(lambda: len(stage.events("Accepted")) == 2)
    process.kill()
    path = stage.run_folder() / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines, 1) if b'"Accepted"' in line)
    whole, rest = lines[:first], lines[first:]
    damaged = {
        "cut": whole,
        "flipped": [*whole, rest[0].replace(b'"at"', b'"aT"'), *rest[1:]],
        "joined": [*whole, rest[0][:-1] + b" ", *rest[1:]],
    }[damage]
    path.write_bytes(b"".join(damaged))
    if damage == "cut":  # after the first two requests
        path.with_name("requests.count").write_text("3")
    before, ended = path.read_bytes(), stage.run("cancel", "r1")
    assert ended.code == 8, ended
    assert len(stage.sent("certyn", path="/cancel")) == 1, ended
    assert "journal.jsonl" in ended.err
    assert "; what it has lost may run on\nhint: restore the file as it was written, and cancel again" in ended.err
    assert (ended.err.count("warning"), ended.err.count("error:")) == (1, 0), ended
    assert path.read_bytes() == before, "nothing is written behind the damage"
    assert stage.resume("r1").code == 2


def test_the_manifest_may_change_before_a_resume(begin: Begin) -> None:
    stage = in_doubt(begin, UNHEARD)
    stage.commit(stage.doksi("other"))
    ended = stage.resume("--resubmit", "login")
    assert ended.code == 0, ended
    assert ["other"] not in stage.paid()


def test_a_vendor_that_moved_is_said(begin: Begin) -> None:
    stage = in_doubt(begin, UNANSWERED)
    moved = stage.environ["QARUNNER_DOKSI_URL"].replace("127.0.0.1", "localhost")
    ended = stage.resume("--resubmit", "login", QARUNNER_DOKSI_URL=moved)
    assert "doksi's runs were started at" in ended.err


def test_a_disk_that_is_full_stops_the_apply_and_a_resume_goes_on(stage: Stage) -> None:
    tests = [f"t{number}" for number in range(30)]
    entries = [stage.doksi(f"as-{number}", *tests, account=f"a{number}") for number in range(3)]
    stage.commit(*entries, vendors={"doksi": {"max_in_flight": 1}})
    size = len(stage.run("plan", "--format", "json").out) + 200
    stage.customise(
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
    )
    ended = stage.apply()
    assert ended.code == 8, ended
    assert "cannot be written" in ended.err
    assert "qarunner resume r1" in ended.err
    assert len(stage.paid()) < 3
    del stage.environ["PYTHONPATH"]
    resumed = stage.resume()
    assert resumed.code == 0, resumed
    assert len(stage.paid()) == 3


def test_a_copy_under_another_name_begins_nothing(begin: Begin) -> None:
    """Each of the two began what waited for the first entry, and both were paid for."""
    stage = begin()
    stage.commit(stage.doksi("a"), stage.certyn("b", needs=["a"]))
    assert stage.apply("--detach").code == 0
    shutil.copytree(stage.run_folder(), stage.run_folder("r2"))
    ended = stage.resume("r2")
    assert ended.code == 2, ended
    assert "is a copy of run r1" in ended.err
    assert stage.resume("r1").code == 0
    assert len(stage.paid()) == 2


def test_a_run_of_the_same_name_elsewhere_is_another_run(begin: Begin) -> None:
    """A pipeline may give the id, and give it again: a key of the first run would only bring back its result."""
    stage = begin()
    stage.commit(stage.certyn("smoke"))
    assert stage.apply().code == 0
    (stage.folder / ".qarunner").rename(stage.folder / "elsewhere")
    assert stage.apply().code == 0
    assert len(stage.paid()) == 2
    keys = [event["key"] for event in stage.events("Submitting")]
    earlier = (stage.folder / "elsewhere" / "runs" / "r1" / "journal.jsonl").read_text(encoding="utf-8")
    assert keys
    assert not any(key in earlier for key in keys)

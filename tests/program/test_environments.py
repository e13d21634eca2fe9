"""Certyn's preview environments through the whole program: deleted in the end, or named with what to do."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Ended, Stage

POST = "POST /api/projects/{projectId}/environments"
LIST = "GET /api/projects/{projectId}/environments"
NO_LIST: dict[str, object] = {"on": LIST, "status": 404}
DELETE = "DELETE /api/projects/{projectId}/environments/{id}"
FOR_EVER = "10h"
URL = "https://pr-7.shop.example"
posix = pytest.mark.skipif(sys.platform == "win32", reason="kills and signals processes as POSIX does")


def set_up(begin: Begin, *faults: dict[str, object], **certyn: object) -> Stage:
    stage = begin(certyn={"projects": ["shop"], "faults": list(faults), **certyn})
    stage.hasty()
    stage.commit(stage.certyn("smoke", target={"web_url": URL}), stage.certyn("full", target={"web_url": URL}))
    return stage


def named(stage: Stage, ended: Ended) -> set[str]:
    """The keys that the report names; the last words of the apply name them as well."""
    left = stage.report()["left"]
    for item in left:
        assert (item["vendor"], item["details"]["project"], item["todo"]) == ("certyn", "shop", "delete it in Certyn")
        how = "left" if item["certain"] else "may be left"
        assert f"{how} at certyn: environment {item['details']['key']}" in ended.out, ended
    return {item["details"]["key"] for item in left}


def all_known(stage: Stage, ended: Ended) -> None:
    there = stage.environments()
    assert set(there.values()) <= named(stage, ended), ended
    for item in stage.report()["left"]:
        if "id" in item["details"]:
            assert there.get(item["details"]["id"]) == item["details"]["key"]


def test_nothing_is_left_where_nothing_goes_wrong(begin: Begin) -> None:
    stage = set_up(begin)
    ended = stage.apply()
    assert ended.code == 0, ended
    assert not stage.environments()
    assert not named(stage, ended)
    assert len(stage.records("environments")) == 1


def test_a_log_says_once_what_each_try_of_an_environment_says(begin: Begin) -> None:
    lost: list[dict[str, object]] = [{"on": POST, "call": call, "without": ["id"]} for call in (1, 2)]
    stage = set_up(begin, NO_LIST, *lost)
    ended = stage.apply()
    assert ended.code == 0, ended
    assert len(stage.sent("certyn", "POST", "/environments")) == 4
    lines = [line.partition("] ")[2] for line in ended.err.splitlines() if "certyn-environment-1: " in line]
    assert len(set(lines)) == len(lines), ended
    assert ended.err.count("making the environment") <= 2, ended


def test_an_environment_of_which_every_answer_is_lost_is_found_used_and_removed(begin: Begin, at_once: AtOnce) -> None:
    faults: list[dict[str, object]] = [
        {"drop": "after"},
        {"status": 502, "effect": True, "body": "<html>"},
        {"body": '{"id": "7'},
        {"without": ["id"]},
    ]

    def check(fault: dict[str, object]) -> None:
        stage = set_up(begin, {"on": POST, **fault})
        ended = stage.apply()
        assert ended.code == 0, ended
        (create,) = stage.sent("certyn", "POST", "/environments")
        used = [request["body"]["environmentKey"] for request in stage.sent("certyn", "POST", "/api/ci/runs")]
        assert used == [create["body"]["key"]] * 2
        (made,) = stage.records("environments")
        assert made["deleted"]
        assert not named(stage, ended)

    at_once(faults, check)


def test_an_environment_whose_answer_is_lost_is_named_where_it_cannot_be_looked_for(
    begin: Begin, at_once: AtOnce
) -> None:
    faults: list[dict[str, object]] = [
        {"drop": "after"},
        {"drop": "before"},
        {"status": 500, "effect": True},
        {"status": 503, "effect": True, "body": "<html>"},
        {"body": '{"id": "7'},
        {"without": ["id"]},
    ]

    def check(fault: dict[str, object]) -> None:
        stage = set_up(begin, NO_LIST, {"on": POST, "call": 1, **fault})
        ended = stage.apply()
        assert ended.code == 0, ended
        keys = [request["body"]["key"] for request in stage.sent("certyn", "POST", "/environments")]
        assert keys[0] == keys[1]
        assert named(stage, ended) == {keys[0]}
        all_known(stage, ended)
        assert keys[0] in ended.err
        assert (
            stage.run("report", "--format", "json").out.strip()
            == stage.run_folder().joinpath("report.json").read_text(encoding="utf-8").strip()
        )

    at_once(faults, check)


def test_a_removal_that_is_refused_is_asked_for_once_and_named(begin: Begin) -> None:
    stage = set_up(begin, {"on": DELETE, "status": 403})
    ended = stage.apply()
    assert ended.code == 0, ended
    assert len(stage.sent("certyn", "DELETE")) == 1
    ((number, key),) = stage.environments().items()
    assert f"left at certyn: environment {key} of project shop (id {number})" in ended.out
    assert "delete it in Certyn" in ended.out
    assert f"environment {key} of project shop (id {number})" in ended.err
    all_known(stage, ended)


def test_an_environment_that_somebody_deleted_is_not_left(begin: Begin) -> None:
    stage = set_up(begin, {"on": DELETE, "status": 404, "effect": True})
    ended = stage.apply()
    assert ended.code == 0, ended
    assert len(stage.sent("certyn", "DELETE")) == 1
    assert not named(stage, ended)


def test_after_a_time_out_the_runs_are_cancelled_before_their_environment_goes(begin: Begin) -> None:
    stage = begin(certyn={"projects": ["shop"], "default": "hang"})
    stage.leaping()
    stage.commit(stage.certyn("smoke", target={"web_url": URL}, timeout="2m"))
    ended = stage.run("apply", "--run-id", "r1")
    assert ended.code == 7, ended
    ends = [request["path"] for request in stage.sent("certyn") if request["path"].endswith("/cancel")]
    ends += [request["path"] for request in stage.sent("certyn", "DELETE")]
    order = [request["path"] for request in stage.sent("certyn") if request["path"] in ends]
    assert [path.endswith("/cancel") for path in order] == [True, False]
    assert not stage.environments()


@posix
def test_a_process_that_is_killed_while_the_environment_is_made(begin: Begin) -> None:
    stage = set_up(begin, {"on": POST, "call": 1, "delay": "1000s"})
    process = stage.start_apply()
    stage.until(stage.environments)
    process.kill()
    (first,) = stage.environments().values()
    assert first in stage.lines()[-1].decode()
    ended = stage.resume()
    assert ended.code == 0, ended
    assert [made["key"] for made in stage.records("environments")] == [first]
    assert not stage.environments()
    assert not named(stage, ended)


@posix
def test_an_apply_that_is_killed_after_any_line_forgets_no_environment(begin: Begin, at_once: AtOnce) -> None:
    def check(lines: int) -> None:
        stage = set_up(begin)
        process = stage.start_apply()
        stage.until(lambda: len(stage.lines()) >= lines or process.process.poll() is not None)
        process.kill()
        ended = stage.resume()
        assert ended.code == 0, ended
        assert len(stage.paid()) == 2
        all_known(stage, ended)

    at_once(range(2, 13, 2), check)


@posix
def test_an_interruption_at_any_time_forgets_no_environment(begin: Begin, at_once: AtOnce) -> None:
    def check(fault: dict[str, object]) -> None:
        stage = set_up(begin, {**fault, "call": 1}, default="hang")
        process = stage.start_apply()
        method, path = str(fault["on"]).split()
        stage.until(lambda: stage.sent("certyn", method, path.rpartition("/")[2]))
        ended = process.signal(signal.SIGTERM)
        assert ended.code == 143, ended
        all_known(stage, ended)
        if fault.get("delay") == "40s":
            assert not stage.environments()

    create = "POST /api/ci/runs"
    faults: list[dict[str, object]] = [
        {"on": "GET /api/projects/overview", "delay": "40s"},
        {"on": POST, "delay": "40s"},
        {"on": POST, "delay": FOR_EVER},
        {"on": create, "delay": "40s"},
        {"on": create, "drop": "after"},
    ]
    at_once(faults, check)


def test_a_rehearsal_without_a_scenario_has_the_plans_project(begin: Begin) -> None:
    stage = set_up(begin)
    stage.commit(stage.certyn("smoke", target={"web_url": URL}))
    ended = stage.run("apply", "--rehearse", "--poll-interval", "100ms")
    assert ended.code == 0, ended
    assert stage.sent() == []

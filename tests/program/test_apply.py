"""`apply` where nothing goes wrong but, here and there, a test: the gate, the reports and whose result is whose."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Stage, Started


def test_two_vendors_pass(stage: Stage) -> None:
    stage.commit(stage.doksi("login", "t1", "t2"), stage.certyn("smoke"))
    ended = stage.apply()
    assert ended.code == 0, ended
    assert ended.last == "qarunner: exit 0: 5 passed"
    assert sorted(stage.paid()) == [["smoke"], ["t1", "t2"]]
    assert {request["status"] for request in stage.sent()} == {200, 201}
    assert stage.creates("certyn")[0]["idempotency_key"].startswith("qarunner-")
    kept = {"plan.json", "journal.jsonl", "requests.count", "report.json", "durations.json"}
    assert {path.name for path in stage.run_folder().iterdir()} == kept
    kinds = [event["event"] for event in stage.journal()]
    assert kinds[0] == "RunStarted"
    assert kinds[-1] == "RunFinished"
    assert stage.report()["exit_code"] == 0
    assert stage.verdicts() == {"login": "passed", "smoke": "passed"}


def test_reports_go_where_they_are_wanted_also_into_folders_that_do_not_exist(stage: Stage) -> None:
    stage.commit(stage.doksi("login", "t1", "t2"), stage.certyn("smoke"))
    ended = stage.apply("--report", "json=out/a/report.json", "--report", "junit=out/b/report.xml")
    assert ended.code == 0, ended
    as_json = (stage.folder / "out/a/report.json").read_text(encoding="utf-8")
    as_junit = (stage.folder / "out/b/report.xml").read_text(encoding="utf-8")
    assert as_json == (stage.run_folder() / "report.json").read_text(encoding="utf-8")
    assert stage.run("report", "--format", "json").out == as_json
    assert stage.run("report", "r1", "--format", "junit").out == as_junit
    assert stage.run("report", "--format", "junit", "--out", "new/again.xml").code == 0
    assert (stage.folder / "new/again.xml").read_text(encoding="utf-8") == as_junit
    suites = ET.fromstring(as_junit).findall("testsuite")  # noqa: S314  our own file
    assert [suite.get("name") for suite in suites] == ["login", "smoke"]


def test_a_report_that_cannot_be_written_is_found_out_before_anything_is_sent(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    (stage.folder / "taken").write_text("a file, not a folder")
    ended = stage.apply("--report", "junit=taken/report.xml", "--report", "json=out.json")
    assert ended.code == 2, ended
    assert "--report junit=taken/report.xml" in ended.err
    assert stage.sent() == []


def test_entries_share_a_doksi_run_and_each_result_goes_to_its_own(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"pay": {"outcome": "failed", "name": "Pay"}}})
    stage.commit(
        stage.doksi("home", "look", url="https://shop.example/home"),
        stage.doksi("cart", "fill", "pay", url="https://shop.example/cart"),
        stage.doksi("help", "ask", url="https://shop.example/help"),
    )
    ended = stage.apply()
    assert ended.code == 1, ended
    assert ended.last == "qarunner: exit 1: 1 failed, 3 passed; rerun: qarunner apply --rerun-failed r1"
    assert len(stage.paid("doksi")) == 1
    assert stage.verdicts() == {"home": "passed", "cart": "failed", "help": "passed"}
    cart = stage.report()["entries"][1]
    assert {test["id"]: test["verdict"] for test in cart["tests"]} == {"fill": "passed", "pay": "failed"}
    assert "Pay (pay)" in ended.out
    failed = next(test for test in cart["tests"] if test["id"] == "pay")
    assert failed["url"] in ended.out


def test_a_category_beside_other_tests_on_the_same_page_has_a_run_of_its_own(begin: Begin) -> None:
    stage = begin(doksi={"categories": {"cat_search": ["s1", "s2"]}, "tests": {"s2": "failed"}})
    stage.commit(stage.doksi("login", "t1"), stage.doksi("search", category_ids=["cat_search"]))
    ended = stage.apply()
    assert ended.code == 1, ended
    assert sorted(stage.paid("doksi")) == [["s1", "s2"], ["t1"]]
    assert stage.verdicts() == {"login": "passed", "search": "failed"}


def test_the_same_test_with_two_accounts_is_two_runs(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"t1": ["passed", "failed"]}})
    stage.commit(stage.doksi("as-user", "t1", account="user"), stage.doksi("as-admin", "t1", account="admin"))
    ended = stage.apply()
    assert ended.code == 1, ended
    accounts = [create["body"]["matrix"][0]["artifacts"][0]["account_id"] for create in stage.creates("doksi")]
    assert sorted(accounts) == ["admin", "user"]
    assert sorted(stage.verdicts().values()) == ["failed", "passed"]
    runs = [entry["runs"][0]["id"] for entry in stage.report()["entries"]]
    assert len(set(runs)) == 2


def test_a_hundred_runs_of_their_own_finish_few_at_a_time(stage: Stage) -> None:
    entries = [stage.doksi(f"as-{number}", "t1", account=f"acc_{number}") for number in range(100)]
    stage.commit(*entries, vendors={"doksi": {"max_in_flight": 10}})
    ended = stage.apply()
    assert ended.code == 0, ended
    assert ended.last == "qarunner: exit 0: 100 passed"
    assert stage.paid("doksi") == [["t1"]] * 100
    busy, most = set(), 0
    for event in stage.journal():
        if event["event"] == "Submitting":
            busy.add(event["job"])
        elif event["event"] == "RemoteFinished":
            busy.discard(event["job"])
        most = max(most, len(busy))
    assert most == 10


def test_select_runs_only_what_it_names(stage: Stage) -> None:
    stage.commit(stage.doksi("login", labels=["smoke"]), stage.doksi("search"), stage.certyn("smoke"))
    assert stage.apply("--select", "label:smoke,vendor:doksi").code == 0
    assert stage.paid() == [["login"]]


def test_the_result_in_every_form(begin: Begin, at_once: AtOnce) -> None:
    def failed(*arguments: str) -> tuple[Stage, Started]:
        stage = begin(doksi={"default": "failed"})
        stage.commit(stage.doksi("login"))
        return stage, stage.start_apply(*arguments)

    def as_json() -> None:
        stage, apply = failed("--output", "json")
        ended = apply.end()
        assert ended.code == 1, ended
        assert json.loads(ended.out) == stage.report()
        assert "qarunner: exit 1: 1 failed" in ended.err

    def for_github() -> None:
        _, apply = failed("--output", "github")
        ended = apply.end()
        assert ended.code == 1, ended
        assert re.search(r"^::error file=qa-matrix\.yml,line=\d+,title=login::failed", ended.out, re.MULTILINE)
        assert ended.last == "qarunner: exit 1: 1 failed; rerun: qarunner apply --rerun-failed r1"

    def quietly() -> None:
        _, apply = failed("-q")
        ended = apply.end()
        assert (ended.code, ended.err) == (1, "")
        assert ended.last == "qarunner: exit 1: 1 failed; rerun: qarunner apply --rerun-failed r1"

    def to_nobody() -> None:
        _, apply = failed()
        assert apply.process.stdout is not None
        apply.process.stdout.close()
        apply.process.stdout = None
        assert apply.end().code == 1

    at_once([as_json, for_github, quietly, to_nobody], lambda check: check())


# --- the gate ---------------------------------------------------------------------------------------------------------


def test_an_entry_that_may_fail_does_not_gate(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"beta": "failed"}})
    stage.commit(stage.doksi("login"), stage.doksi("beta", url="https://shop.example/beta", allow_failure=True))
    ended = stage.apply()
    assert ended.code == 0, ended
    assert ended.last == "qarunner: exit 0: 1 failed (does not gate), 1 passed"
    alone = stage.run("apply", "--select", "beta", "--poll-interval", "20ms")
    assert alone.code == 3, alone
    assert alone.last.endswith("0 gating tests finished, gate.min_tests is 1")


def test_certyn_is_green_only_by_tests_that_passed(begin: Begin, at_once: AtOnce) -> None:
    def check(case: tuple[dict[str, object], int, str]) -> None:
        process, code, verdict = case
        stage = begin(certyn={"default": process})
        stage.commit(stage.certyn("smoke"))
        ended = stage.apply()
        assert ended.code == code, ended
        assert ended.last.startswith(f"qarunner: exit {code}: ")
        assert stage.verdicts() == {"smoke": verdict}

    cases: list[tuple[dict[str, object], int, str]] = [
        ({"total": 4, "failed": 1}, 1, "failed"),
        ({"total": 4, "blocked": 1}, 1, "blocked"),
        ({"total": 4, "aborted": 1}, 8, "cancelled"),
        ({"total": 4, "skipped": 1}, 0, "passed"),
        ({"total": 4, "skipped": 4}, 3, "skipped"),
        ({"total": 0}, 8, "unknown"),
        ({"total": 4, "outcome": "cancelled"}, 8, "cancelled"),
    ]
    at_once(cases, check)


def test_a_category_without_a_test_is_not_green(begin: Begin) -> None:
    stage = begin(doksi={"categories": {"cat_empty": []}})
    stage.commit(stage.doksi("search", category_ids=["cat_empty"]))
    ended = stage.apply()
    assert ended.code == 8, ended
    assert stage.verdicts() == {"search": "unknown"}
    assert stage.reason("search")


def test_a_failure_is_not_hidden_behind_anything_else(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"bad": "failed"}}, certyn={"default": {"outcome": "cancelled"}})
    stage.commit(stage.doksi("bad"), stage.certyn("smoke"))
    ended = stage.apply()
    assert ended.code == 1, ended
    assert ended.last.startswith("qarunner: exit 1: 1 failed, ")


# --- time -------------------------------------------------------------------------------------------------------------


def test_an_entry_whose_time_is_up(begin: Begin) -> None:
    quick = {"default": {"duration": "0s"}}
    stage = begin(doksi={"tests": {"slow": "hang"}}, certyn={**quick, "processes": {"stuck": "hang"}})
    stage.leaping()
    stage.commit(stage.doksi("slow", timeout="2m"), stage.certyn("stuck", timeout="2m"), stage.certyn("smoke"))
    ended = stage.run("apply", "--run-id", "r1")
    assert ended.code == 7, ended
    assert stage.verdicts() == {"slow": "timed_out", "stuck": "timed_out", "smoke": "passed"}
    assert len(stage.sent("certyn", "POST", "/cancel")) == 1
    assert f"still running at doksi: run {stage.run_of('doksi-1')} of slow" in ended.out


def test_the_time_of_the_whole_apply_is_up(begin: Begin) -> None:
    stage = begin(doksi={"default": "hang"})
    stage.commit(
        stage.doksi("first", "t1", account="a"),
        stage.doksi("second", "t1", account="b"),
        vendors={"doksi": {"max_in_flight": 1}},
    )
    stage.leaping()
    ended = stage.run("apply", "--run-id", "r1", "--timeout", "2m")
    assert ended.code == 7, ended
    assert stage.verdicts() == {"first": "timed_out", "second": "timed_out"}
    assert len(stage.paid()) == 1
    assert "could begin" in stage.reason("second")


def test_a_log_speaks_every_half_minute_whatever_is_waited_for(begin: Begin, at_once: AtOnce) -> None:
    """A CI system ends a job that is silent for ten."""
    hang = {"default": "hang"}

    def check(command: str) -> None:
        stage = begin(doksi=hang)
        stage.commit(stage.doksi("login"))
        if command == "resume":
            assert stage.apply("--detach").code == 0
        stage.leaping()
        ended = stage.run(command, *(["--run-id", "r1"] if command == "apply" else ["r1"]), "--timeout", "10m")
        assert ended.code == 7, ended
        spoken = [float(at) for at in re.findall(r"^\[ *([0-9.]+)s\]", ended.err, re.MULTILINE)]
        assert max(after - before for before, after in itertools.pairwise(spoken)) < 31, ended
        assert "s] 0/1 entry; 1 run at doksi; slowest: login running 0/1, " in ended.err

    at_once(("apply", "resume"), check)

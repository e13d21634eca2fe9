"""Vendors that answer wrongly, late or not at all: never a second paid run, never a green one without a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Stage

DOKSI_CREATE, DOKSI_READ = "POST /runs", "GET /runs/{run_id}"
CERTYN_CREATE, CERTYN_READ = "POST /api/ci/runs", "GET /api/ci/runs/{runId}"


def one_of_each(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))


# --- a create whose answer is lost ------------------------------------------------------------------------------------


def test_a_doksi_create_without_its_answer_is_never_sent_again(begin: Begin, at_once: AtOnce) -> None:
    faults: list[dict[str, object]] = [
        {"drop": "after"},
        {"status": 500, "effect": True},
        {"status": 502, "effect": True, "body": "<html>Bad Gateway</html>"},
        {"status": 503, "effect": True, "retry_after": 0},
        {"body": '{"run_id": "abc'},
        {"without": ["run_id"]},
    ]

    def check(fault: dict[str, object]) -> None:
        stage = begin(doksi={"faults": [{"on": DOKSI_CREATE, "call": 1, **fault}]})
        stage.hasty()
        stage.commit(stage.doksi("login"))
        ended = stage.apply()
        assert ended.code == 8, ended
        assert ended.last == "qarunner: exit 8: 1 unknown; decide: qarunner status r1"
        assert stage.paid() == [["login"]]
        assert len(stage.creates("doksi")) == 1
        assert "qarunner resume r1 --resubmit doksi-1" in ended.out
        assert "qarunner resume r1 --drop doksi-1" in ended.out

    at_once(faults, check)


def test_a_doksi_create_that_may_not_have_arrived_is_not_sent_again_either(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": DOKSI_CREATE, "call": 1, "drop": "before"}]})
    stage.commit(stage.doksi("login"))
    ended = stage.apply()
    assert ended.code == 8, ended
    assert stage.paid() == []
    assert len(stage.creates("doksi")) == 1


def test_a_certyn_create_is_repeated_with_the_same_key(begin: Begin, at_once: AtOnce) -> None:
    faults: list[dict[str, object]] = [
        {"drop": "after"},
        {"drop": "before"},
        {"status": 500, "effect": True},
        {"body": '{"runId": "abc'},
        {"without": ["runId"]},
    ]

    def check(fault: dict[str, object]) -> None:
        stage = begin(certyn={"faults": [{"on": CERTYN_CREATE, "call": 1, **fault}]})
        stage.hasty()
        stage.commit(stage.certyn("smoke"))
        ended = stage.apply()
        assert ended.code == 0, ended
        assert stage.paid() == [["smoke"]]
        creates = stage.creates("certyn")
        assert len(creates) == 2
        assert creates[0]["idempotency_key"] == creates[1]["idempotency_key"]
        assert creates[0]["body"] == creates[1]["body"]

    at_once(faults, check)


def test_one_lost_answer_does_not_hide_the_other_entries_results(begin: Begin) -> None:
    stage = begin(doksi={"tests": {"t2": "failed"}, "faults": [{"on": DOKSI_CREATE, "call": 1, "drop": "after"}]})
    stage.commit(
        stage.doksi("first", "t1", account="a"),
        stage.doksi("second", "t1", "t2", account="b"),
        stage.certyn("smoke"),
        vendors={"doksi": {"max_in_flight": 1}},
    )
    ended = stage.apply()
    assert ended.code == 1, ended
    assert stage.verdicts() == {"first": "unknown", "second": "failed", "smoke": "passed"}
    assert "--resubmit doksi-1" in ended.out


# --- a vendor that asks for patience ----------------------------------------------------------------------------------


def test_too_many_requests_is_waited_for_in_both_forms_of_retry_after(begin: Begin, at_once: AtOnce) -> None:
    def check(case: tuple[str, float]) -> None:
        form, least = case
        busy = {"status": 429, form: 2}
        stage = begin(
            doksi={"faults": [{"on": DOKSI_CREATE, "call": 1, **busy}]},
            certyn={"faults": [{"on": CERTYN_READ, "call": 1, **busy}]},
        )
        stage.hasty()
        one_of_each(stage)
        ended = stage.apply()
        assert ended.code == 0, ended
        assert sorted(stage.paid()) == [["login"], ["smoke"]]
        for first, second in (stage.creates("doksi")[:2], stage.sent("certyn", "GET")[:2]):
            assert second["time"] - first["time"] >= least

    # A date has no fractions of a second.
    at_once([("retry_after", 2), ("retry_after_date", 1)], check)


def test_a_wait_beyond_all_patience_is_not_waited_for(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": DOKSI_CREATE, "call": 1, "status": 429, "retry_after": 86_400}]})
    stage.commit(stage.doksi("login"))
    ended = stage.apply()
    assert ended.code == 75, ended
    resumed = stage.resume()
    assert resumed.code == 0, resumed
    assert stage.paid() == [["login"]]


def test_a_run_whose_vendor_asks_for_a_day_of_silence_is_read_all_the_same(begin: Begin) -> None:
    stage = begin(certyn={"faults": [{"on": CERTYN_READ, "to": 4, "status": 429, "retry_after": 86_400}]})
    stage.leaping()
    stage.commit(stage.certyn("smoke"))
    ended = stage.apply()
    assert ended.code == 0, ended
    assert "HTTP 429: emulated fault (asks to wait for 24h)" in ended.err
    assert stage.paid() == [["smoke"]]


def test_a_run_that_goes_on_while_its_vendor_answers_nothing_useful_is_named_with_its_resume(begin: Begin) -> None:
    stage = begin(certyn={"faults": [{"on": CERTYN_READ, "to": 10_000, "status": 503}]})
    stage.leaping()
    stage.commit(stage.certyn("smoke"))
    ended = stage.apply()
    assert ended.code == 8, ended
    assert ended.last == "qarunner: exit 8: 1 error; to go on: qarunner resume r1"
    assert "still running at certyn" in ended.out
    assert "to go on: qarunner resume r1" in ended.out
    assert stage.paid() == [["smoke"]]


def test_nothing_listens(stage: Stage) -> None:
    stage.hasty()
    one_of_each(stage)
    stage.vendors.close()
    ended = stage.apply()
    assert ended.code == 75, ended
    assert ended.last == "qarunner: exit 75: 2 error; to go on: qarunner resume r1"
    assert "cannot connect to 127.0.0.1" in ended.out
    assert [event["event"] for event in stage.journal()].count("Uncertain") == 0


# --- trouble while a run is on ----------------------------------------------------------------------------------------


def test_a_poll_that_fails_is_repeated(begin: Begin, at_once: AtOnce) -> None:
    faults: list[dict[str, object]] = [
        {"status": 500},
        {"status": 503, "body": "<html>Service Unavailable</html>", "retry_after": 0},
        {"status": 504, "body": ""},
        {"drop": "after"},
        {"body": '{"status": "pass'},
        {"body": ""},
        {"without": ["status", "state"]},
    ]

    def check(fault: dict[str, object]) -> None:
        strikes = {"to": 2, **fault}
        stage = begin(
            doksi={"faults": [{"on": DOKSI_READ, **strikes}]}, certyn={"faults": [{"on": CERTYN_READ, **strikes}]}
        )
        stage.hasty()
        one_of_each(stage)
        ended = stage.apply()
        assert ended.code == 0, ended
        assert len(stage.sent("doksi", "GET")) >= 3
        assert sorted(stage.paid()) == [["login"], ["smoke"]]

    at_once(faults, check)


def test_nonsense_for_ever_is_no_verdict(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": DOKSI_READ, "body": "<html>hello</html>"}]})
    stage.leaping()
    stage.commit(stage.doksi("login"))
    ended = stage.apply()
    assert ended.code == 8, ended
    assert stage.verdicts() == {"login": "unknown"}
    assert "still running at doksi" in ended.out


def test_a_run_that_is_not_visible_yet_is_waited_for(begin: Begin) -> None:
    stage = begin(certyn={"invisible_polls": 3})
    stage.commit(stage.certyn("smoke"))
    assert stage.apply().code == 0


def test_a_status_word_that_nobody_knows_is_waited_for_until_the_time_is_up(begin: Begin) -> None:
    stage = begin(
        doksi={"faults": [{"on": DOKSI_READ, "state": "resting"}]},
        certyn={"default": "hang", "faults": [{"on": CERTYN_READ, "state": "resting"}]},
    )
    stage.leaping()
    stage.commit(stage.doksi("login", timeout="2m"), stage.certyn("smoke", timeout="2m"))
    ended = stage.run("apply", "--run-id", "r1")
    assert ended.code == 7, ended
    for entry in stage.report()["entries"]:
        assert (entry["verdict"], entry["raw_status"]) == ("timed_out", "resting")


def test_a_doksi_test_with_another_word_than_passed_has_not_passed(begin: Begin) -> None:
    words = {"t1": "cancelled", "t2": "error", "t3": "PASSED", "t4": "passed "}
    stage = begin(doksi={"tests": {test: {"word": word} for test, word in words.items()}})
    stage.commit(stage.doksi("login", *words, "t5"))
    ended = stage.apply()
    assert ended.code == 8, ended
    (login,) = stage.report()["entries"]
    verdicts = {test["id"]: (test["verdict"], test["raw_status"]) for test in login["tests"]}
    assert verdicts == {**{test: ("unknown", word) for test, word in words.items()}, "t5": ("passed", "passed")}


def test_results_that_are_missing_are_not_green(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": DOKSI_READ, "merge": {"status": "passed", "results": []}}]})
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 8
    assert stage.verdicts() == {"login": "unknown"}


def test_a_redirect_is_not_followed_with_a_credential(begin: Begin) -> None:
    stage = begin(
        doksi={
            "faults": [
                {"on": DOKSI_CREATE, "call": 1, "status": 307, "headers": {"Location": "http://127.0.0.1:9/elsewhere"}}
            ]
        }
    )
    stage.commit(stage.doksi("login"))
    ended = stage.apply()
    assert ended.code == 8, ended
    assert "redirected to http://127.0.0.1:9/elsewhere" in stage.reason("login")
    assert stage.paid() == []

"""What is wrong is found before the first request leaves; what a vendor refuses has an exit code of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qarunner.engine.schedule.timing import UNREADABLE_LEAST

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Ended, Stage


def refused(stage: Stage, ended: Ended, *texts: str) -> None:
    """Exit 2 with these texts, and nothing was sent."""
    assert ended.code == 2, ended
    for text in texts:
        assert text in ended.text, ended
    assert stage.sent() == []
    assert "Traceback" not in ended.text


NONSENSE = {
    "--no-such-option": "--no-such-option",
    "--report pdf=out.pdf": "unknown format 'pdf'",
    "--report report.xml": "not of the form FORMAT=PATH",
    "--timeout soon": "--timeout soon: not a duration",
    "--poll-interval 0s": "--poll-interval 0s: not a duration",
    "--on-interrupt explode": "--on-interrupt",
    "--run-id ../elsewhere": "is no run id",
    "--run-id NUL.1": "Windows has no folder of this name",
    "--run-id r1.": "Windows has no folder of this name",
    "--var LOCALE": "not of the form K=V",
    "--var LOCALE=de": "does not declare LOCALE",
    "--var-file missing.yml": "cannot be read",
    "--env *": "names every variable",
    "--env LOCALE=de": "write --var LOCALE=…",
    "--env-file missing.env": "cannot be read",
    "--scenario some.yml": "--scenario goes with --rehearse",
    "--report json=x --report junit=./x": "x would be both json and junit",
    "--report json=-": "not of the form FORMAT=PATH",
    "missing.yml": "missing.yml: cannot be read",
}


def test_a_word_on_the_command_line_that_makes_no_sense(stage: Stage, at_once: AtOnce) -> None:
    stage.commit(stage.doksi("login"))
    at_once(NONSENSE.items(), lambda case: refused(stage, stage.run("apply", *case[0].split()), case[1]))


def test_without_a_manifest(stage: Stage) -> None:
    refused(stage, stage.apply(), "no manifest", "qa-matrix.yml")


def test_a_mistake_in_the_manifest_wherever_it_is_stops_everything(begin: Begin, at_once: AtOnce) -> None:
    build = begin()
    fine = [build.doksi(f"e{number}") for number in range(5)]
    mistakes: dict[str, tuple[list[dict[str, object]], list[str]]] = {
        "a misspelt key in the last entry": (
            [*fine, build.doksi("last", platfrom="web")],
            ["qa-matrix.yml:", "platfrom", "platform"],
        ),
        "a misspelt vendor, and a template that reads nothing": (
            [build.doksi("one", url="{{ env.NOWHERE }}"), {**build.doksi("two"), "vendor": "doski"}],
            ["NOWHERE", "unknown vendor 'doski'"],
        ),
        "several at once": (
            [build.doksi("a", timeout="soon"), build.doksi("b", labels="smoke"), build.certyn("c", retrys=1)],
            ["timeout", "labels", "retrys", "3 errors"],
        ),
        "what a vendor cannot do": (
            [*fine, build.certyn("smoke", test_ids=["t1"])],
            ["qa-matrix.yml:", "certyn", "test_ids"],
        ),
        "the same id twice": ([*fine, build.doksi("e0")], ["qa-matrix.yml:", "e0"]),
    }

    def check(name: str) -> None:
        stage = begin()
        entries, texts = mistakes[name]
        stage.commit(*entries)
        refused(stage, stage.apply(), *texts)

    at_once(mistakes, check)


def test_a_variable_that_is_not_set(stage: Stage) -> None:
    env = {"STAGING_URL": {"format": "uri", "description": "the site"}}
    stage.commit(stage.doksi("login", url="{{ env.STAGING_URL }}"), stage.certyn("smoke"), env=env)
    refused(stage, stage.apply(), "STAGING_URL is not set", "the site", "QARUNNER_VAR_STAGING_URL=…")
    unnamed = stage.apply(STAGING_URL="https://staging.example")
    refused(stage, unnamed, "STAGING_URL is set in the environment, but the pipeline does not name it")
    assert stage.apply(QARUNNER_VAR_STAGING_URL="https://staging.example").code == 0


def test_a_credential_that_is_missing_or_cannot_be_one(stage: Stage, at_once: AtOnce) -> None:
    stage.commit(stage.doksi("login"), stage.certyn("smoke"))
    cases: list[tuple[dict[str, str | None], list[str]]] = [
        ({"CERTYN_API_KEY": None}, ["CERTYN_API_KEY"]),
        ({"CERTYN_API_KEY": " "}, ["CERTYN_API_KEY"]),
        ({"CERTYN_API_KEY": None, "DOKSI_API_KEY": None}, ["CERTYN_API_KEY", "DOKSI_API_KEY"]),
        ({"DOKSI_API_KEY": "dk_live_hidden word"}, ["DOKSI_API_KEY"]),
    ]

    def check(case: tuple[dict[str, str | None], list[str]]) -> None:
        variables, texts = case
        ended = stage.apply(**variables)
        refused(stage, ended, *texts)
        assert "hidden" not in ended.text

    at_once(cases, check)
    assert not stage.run_folder().exists()
    assert stage.apply("--select", "vendor:doksi", CERTYN_API_KEY=None).code == 0


def test_a_key_is_never_sent_elsewhere_on_the_manifests_word_alone(begin: Begin, at_once: AtOnce) -> None:
    key = "dk_live_" + "0" * 40
    cases: dict[str, tuple[int, str]] = {
        "CERTYN_API_KEY": (2, "CERTYN_API_KEY is the credential of certyn: it is never sent to doksi"),
        "NPM_TOKEN": (2, "--allow-secret NPM_TOKEN"),
        "DOKSI_EMPTY_KEY": (2, "DOKSI_EMPTY_KEY"),
        "DOKSI_NIGHTLY_KEY": (0, ""),
    }

    def check(name: str) -> None:
        stage = begin()
        stage.commit(stage.doksi("login"), vendors={"doksi": {"api_key_env": name}})
        ended = stage.apply(DOKSI_API_KEY=None, NPM_TOKEN=key, DOKSI_NIGHTLY_KEY=key)
        code, text = cases[name]
        assert ended.code == code, ended
        assert text in ended.err
        assert key not in ended.text
        assert (stage.sent() == []) is (code == 2)

    at_once(cases, check)


def test_a_base_url_is_https_or_loopback(stage: Stage, at_once: AtOnce) -> None:
    stage.commit(stage.doksi("login"))
    urls = ["http://api.doksi.example", "http://169.254.169.254/latest", "ftp://api.doksi.example", "https://", "no"]
    at_once(urls, lambda url: refused(stage, stage.apply(QARUNNER_DOKSI_URL=url), "QARUNNER_DOKSI_URL"))


def test_a_base_url_comes_from_the_environment_alone(stage: Stage) -> None:
    for setting in ("base_url", "url"):
        stage.commit(stage.doksi("login"), vendors={"doksi": {setting: stage.vendors.urls["doksi"]}})
        refused(stage, stage.apply(QARUNNER_DOKSI_URL=None), setting)


def test_a_runs_folder_that_cannot_be_written(stage: Stage, at_once: AtOnce) -> None:
    stage.commit(stage.doksi("login"))
    (stage.folder / "taken").write_text("a file")

    def check(place: str) -> None:
        ended = stage.apply("--runs-dir", place)
        refused(stage, ended, place)
        assert "there is a run of this id already" not in ended.err

    at_once(["taken", "taken/deeper"], check)


def test_a_run_id_that_is_taken(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    assert stage.apply().code == 0
    before = stage.sent()
    ended = stage.apply()
    assert ended.code == 2, ended
    assert "qarunner resume r1" in ended.err
    assert stage.sent() == before


def test_nothing_is_selected(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    ended = stage.apply("--select", "logn")
    assert ended.code == 3, ended
    assert "login" in ended.err
    assert stage.sent() == []


def test_more_tests_than_allowed(stage: Stage) -> None:
    stage.commit(stage.doksi("login", "t1", "t2"), stage.certyn("smoke"))
    ended = stage.apply("--max-tests", "2")
    assert ended.code == 6, ended
    assert "the plan runs at least 3 tests, --max-tests allows 2" in ended.err
    assert stage.sent() == []
    assert stage.apply("--max-tests", "3").code == 0


def test_errors_as_json_are_one_document(stage: Stage) -> None:
    stage.commit(stage.doksi("login", timeout="soon"))
    ended = stage.apply("--output", "json")
    assert ended.code == 2
    assert "timeout" in json.loads(ended.out)["problems"][0]["message"]
    stage.commit(stage.doksi("login"))
    ended = stage.apply("--output", "json", DOKSI_API_KEY=None)
    assert ended.code == 2
    assert "DOKSI_API_KEY" in json.loads(ended.out)["error"]["message"]


# --- what the vendor refuses ------------------------------------------------------------------------------------------


def test_a_credential_that_doksi_refuses_is_tried_once(stage: Stage) -> None:
    entries = [stage.doksi(f"as-{number}", "t1", account=f"a{number}") for number in range(5)]
    stage.commit(*entries, vendors={"doksi": {"max_in_flight": 1}})
    ended = stage.apply(DOKSI_API_KEY="not-a-key")
    assert ended.code == 4, ended
    assert ended.last.startswith("qarunner: exit 4: 5 error")
    assert len(stage.sent()) == 1
    assert stage.paid() == []
    again = stage.resume()  # the key that sealed the run was another one
    assert again.code == 2, again
    assert "if this folder is yours, add --unsealed" in again.err
    assert stage.resume("--unsealed").code == 0
    assert len(stage.paid()) == 5


def test_a_credential_that_certyn_refuses(begin: Begin) -> None:
    stage = begin(certyn={"scopes": ["ci:status"]})
    stage.commit(stage.certyn("smoke"))
    ended = stage.apply()
    assert ended.code == 4, ended
    assert "lacks the scope ci:trigger" in stage.reason("smoke")


def test_a_credential_that_is_refused_while_a_run_is_on(begin: Begin, at_once: AtOnce) -> None:
    def check(status: int) -> None:
        stage = begin(doksi={"faults": [{"on": "GET /runs/{run_id}", "to": UNREADABLE_LEAST, "status": status}]})
        stage.hasty()
        stage.customise("patience.UNREADABLE_S = 0.0\n")
        stage.commit(stage.doksi("login"))
        ended = stage.apply()
        assert ended.code == 4, ended
        resumed = stage.resume()
        assert resumed.code == 0, resumed
        assert stage.paid() == [["login"]]

    at_once([401, 403], check)


def test_an_allowance_that_does_not_reach_is_told_with_both_numbers(begin: Begin) -> None:
    stage = begin(doksi={"allowance": 2})
    stage.commit(stage.doksi("login", "t1", "t2", "t3"))
    ended = stage.apply()
    assert ended.code == 6, ended
    assert "needs 3 tests, the subscription has 2 left" in ended.out
    assert len(stage.creates("doksi")) == 1
    assert stage.paid() == []


def test_an_id_that_the_vendor_does_not_know_is_never_green(begin: Begin, at_once: AtOnce) -> None:
    def check(vendor: str) -> None:
        stage = begin(**{vendor: {"only_known": True}})
        stage.commit(stage.doksi("gone") if vendor == "doksi" else stage.certyn("gone"))
        ended = stage.apply()
        assert ended.code == 8, ended
        assert "unknown" in stage.reason("gone")
        assert len(stage.creates(vendor)) == 1

    at_once(["doksi", "certyn"], check)


def test_a_key_that_was_pasted_with_its_quotes_is_said_when_it_is_refused(stage: Stage) -> None:
    stage.commit(stage.doksi("login"))
    for quoted in (f'"{stage.environ["DOKSI_API_KEY"]}"', f"'{stage.environ['DOKSI_API_KEY']}'"):
        ended = stage.run("apply", DOKSI_API_KEY=quoted)
        assert ended.code == 4, ended
        assert "(with the key of DOKSI_API_KEY, which was pasted with its quotes)" in ended.text
        assert quoted[1:-1] not in ended.text

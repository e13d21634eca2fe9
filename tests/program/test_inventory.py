"""`qarunner vendors NAME --list`: what can be named at a vendor, over real HTTP."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.program.conftest import AtOnce, Begin, Ended

PROJECT = "33333333-3333-4333-8333-333333333333"


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def items(ended: Ended) -> list[Any]:
    assert ended.code == 0, ended
    listed: list[Any] = json.loads(ended.out)["items"]
    return listed


def test_each_kind_of_each_vendor(begin: Begin) -> None:
    stage = begin(
        testerarmy={
            "projects": {PROJECT: {"name": "Shop", "environments": {uuid(9): "Staging"}}},
            "tests": {uuid(number): {"name": f"Test {number}"} for number in range(250)},
        },
        docketqa={"tests": {12: {"name": "Login"}, 13: {"name": "Pay"}}, "suites": {"7": [12]}, "paused": [13]},
        certyn={"projects": ["shop"], "processes": {"smoke": "completed"}, "tags": {"pay": {"total": 130}}},
    )
    tests = items(stage.run("vendors", "testerarmy", "--list", "tests", "--project", PROJECT, "--output", "json"))
    assert len(tests) == 250
    assert len(stage.sent("testerarmy", path="/tests")) == 3
    assert all(request["method"] == "GET" for request in stage.sent())
    assert tests[0] == {"kind": "test", "id": uuid(0), "name": "Test 0", "slug": None, "unusable": None}

    whole = items(stage.run("vendors", "docketqa", "--list", "--output", "json"))
    assert [(each["kind"], each["id"], each["name"]) for each in whole] == [
        ("test", "12", "Login"),
        ("test", "13", "Pay"),
        ("category", "7", "Suite 7"),
    ]
    assert whole[1]["unusable"] == "it is paused at DocketQA"

    listed = stage.run("vendors", "certyn", "--list", "--project", "shop", CERTYN_PROJECT="other")
    assert listed.code == 0, listed
    kinds = [line.split()[:2] for line in listed.out.splitlines()]
    assert kinds[1:] == [
        ["project", "shop"],
        ["category", "smoke"],
        ["tag", "pay"],
        ["environment", "production"],
        ["environment", "staging"],
    ]
    assert len(stage.sent("certyn", path="/testcases")) == 2
    assert "group" not in listed.err
    assert items(stage.run("vendors", "testerarmy", "--list", "groups", "--project", PROJECT, "--output", "json"))


def test_without_a_project_the_projects_are_listed(begin: Begin) -> None:
    stage = begin(testerarmy={"projects": {PROJECT: {"name": "Shop"}}})
    ended = stage.run("vendors", "testerarmy", "--list")
    assert ended.code == 2, ended
    assert PROJECT in ended.out
    assert "set vendors.testerarmy.project" in ended.err
    one = stage.run("vendors", "testerarmy", "--list", "test")
    assert (one.code, one.out) == (2, ""), one


def test_the_manifests_settings_are_the_default(begin: Begin) -> None:
    stage = begin(certyn={"projects": ["shop"]})
    stage.commit(
        {"id": "broken", "vendor": "certyn"}, vendors={"certyn": {"project": "shop", "api_key_env": "CI_TOKEN"}}
    )
    key = stage.environ["CERTYN_API_KEY"]
    words = ("vendors", "certyn", "--list", "environments", "--output", "json")
    refused = stage.run(*words, CI_TOKEN=key)
    assert refused.code == 2, refused
    assert "CI_TOKEN must not be sent to certyn" in refused.out
    assert stage.sent() == []
    assert [item["id"] for item in items(stage.run(*words, "--allow-secret", "CI_TOKEN", CI_TOKEN=key))] == [
        "production",
        "staging",
    ]


WHY: tuple[tuple[tuple[str, ...], dict[str, str | None], int, str], ...] = (
    (("doksi", "--list"), {}, 2, "Doksi has no inventory"),
    (("doksi", "--list", "tests"), {}, 2, "Doksi has no inventory"),
    (("docketqa", "--list", "environments"), {}, 2, "DocketQA does not list its environments"),
    (("docketqa", "--list", "tets"), {}, 2, "did you mean 'tests'?"),
    (("--list",), {}, 2, "name the vendor"),
    (("docketqa", "tests"), {}, 2, "qarunner vendors docketqa --list"),
    (("docketqa", "--list"), {"DOCKET_API_KEY": None}, 2, "DOCKET_API_KEY (DocketQA) not set"),
    (("testerarmy", "--list"), {"TESTERARMY_API_KEY": "nonsense"}, 4, "with the key of TESTERARMY_API_KEY"),
    (("testerarmy", "--list", "tests"), {}, 2, "`qarunner vendors testerarmy --list projects` shows them"),
    (("testerarmy", "--list", "tests", "--project", "Shop"), {}, 2, "is there a project 'Shop'? `qarunner vendors"),
    (("certyn", "--list", "--project", "shop"), {}, 4, "the key lacks the scope"),
    (("certyn", "--list", "--project", "shop"), {"CERTYN_API_KEY": None}, 2, "CERTYN_API_KEY (Certyn) not set"),
)


def test_one_error_says_why_there_is_no_list(begin: Begin, at_once: AtOnce) -> None:
    stage = begin(certyn={"scopes": ["ci:trigger", "ci:status", "ci:cancel"]}, testerarmy={"only_known": True})

    def check(case: tuple[tuple[str, ...], dict[str, str | None], int, str]) -> None:
        words, variables, code, message = case
        ended = stage.run("vendors", *words, **variables)
        assert (ended.code, ended.out) == (code, ""), ended
        assert message in ended.err, ended
        assert ended.err.count("error") == 1, ended
        assert "rehearse" not in ended.err, ended

    at_once(WHY, check)


def test_a_list_that_does_not_end_is_no_list(begin: Begin) -> None:
    """The vendor says the same cursor again and again."""

    class Same(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"tests": [{"id": uuid(1), "title": "Pay"}], "nextCursor": "more"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Same) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        words = ("vendors", "testerarmy", "--list", "tests", "--project", PROJECT)
        ended = begin().run(*words, QARUNNER_TESTERARMY_URL=url)
        server.shutdown()
    assert (ended.code, ended.out) == (2, ""), ended
    assert "the list does not end" in ended.err


def test_a_vendor_that_asks_to_wait_is_asked_again_and_one_that_is_gone_is_not_for_ever(begin: Begin) -> None:
    stage = begin(
        docketqa={"tests": {1: "passed"}, "faults": [{"on": "GET /test_blueprint/list", "call": 1, "status": 503}]}
    )
    stage.hasty()
    assert items(stage.run("vendors", "docketqa", "--list", "tests", "--output", "json"))
    gone = stage.run("vendors", "docketqa", "--list", "tests", QARUNNER_DOCKETQA_URL="http://127.0.0.1:9")
    assert gone.code == 75, gone


@pytest.mark.parametrize(("status", "most"), [(500, 30), (429, 60)])
def test_a_second_page_that_never_comes_is_an_end(begin: Begin, status: int, most: int) -> None:
    """It is waited for as long as for a first contact: a list costs nothing, and can be read once more."""
    tests = {uuid(number): "passed" for number in range(101)}
    fault = {"on": "GET /tests", "from": 2, "status": status}
    stage = begin(testerarmy={"projects": {PROJECT: {}}, "tests": tests, "faults": [fault]})
    stage.leaping()
    ended = stage.run("vendors", "testerarmy", "--list", "tests", "--project", PROJECT)
    assert (ended.code, ended.out) == (75, ""), ended
    assert 2 < len(stage.sent("testerarmy", path="/tests")) < most


def test_an_id_with_two_names_is_an_error(begin: Begin) -> None:
    again = {"items": [{"key": "staging", "label": label, "id": label} for label in ("One", "Two")], "totalCount": 2}
    fault = {"on": "GET /api/projects/{projectId}/environments", "merge": again}
    ended = begin(certyn={"projects": ["shop"], "faults": [fault]}).run(
        "vendors", "certyn", "--list", "environments", "--project", "shop"
    )
    assert (ended.code, ended.out) == (2, ""), ended
    assert "Certyn lists staging by two names: 'One' and 'Two'" in ended.err


def test_a_vendors_words_are_harmless(begin: Begin) -> None:
    stage = begin(docketqa={"tests": {1: {"name": "Pay\x1b[31m\nnow"}}})
    ended = stage.run("vendors", "docketqa", "--list", "tests")
    assert ended.code == 0, ended
    assert "\x1b" not in ended.out
    assert len(ended.out.splitlines()) == 2

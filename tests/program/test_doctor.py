"""`qarunner doctor`: what stands in the way of an apply is named with its remedy, and nothing is paid to find out."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from qarunner import __version__
from qarunner.app.doctor import _clock, packages
from qarunner.entry import NameKind
from qarunner.manifest.schema.validate import for_editors
from qarunner.vendors.api import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.program.conftest import Begin, Stage

GROUP = "11111111-1111-4111-8111-111111111101"


def checks(stage: Stage, *words: str, code: int, **variables: str | None) -> dict[str, list[Any]]:
    """The findings by the names of their checks."""
    ended = stage.run("doctor", *words, "--output", "json", **variables)
    assert ended.code == code, ended
    document = json.loads(ended.out)
    assert document["ready"] is (code == 0)
    by_name: dict[str, list[Any]] = {}
    for check in document["checks"]:
        by_name.setdefault(check["check"], []).append(check)
        assert check["state"] == "ok" or check["remedy"] or check["state"] == "not_checked", check
    return by_name


def states(results: Mapping[str, list[Any]], state: str) -> set[str]:
    return {name for name, rows in results.items() if any(row["state"] == state for row in rows)}


PROJECT = "33333333-3333-4333-8333-333333333333"
LISTED = {
    "docketqa": {"tests": {12: "passed"}},
    "testerarmy": {"projects": {PROJECT: {"groups": [GROUP]}}, "groups": {GROUP: []}},
    "certyn": {"projects": ["shop"], "processes": {"b": "completed"}},
}
"""What the manifest names, and the vendors' lists have."""


@pytest.fixture
def ready(begin: Begin) -> Stage:
    """A stage where nothing is missing."""
    stage = begin(**LISTED)
    army = {"id": "c", "vendor": "testerarmy", "platform": "web", "category_ids": [GROUP]}
    docket = {"id": "d", "vendor": "docketqa", "test_ids": [12]}
    entries = (stage.doksi("a", url="{{ env.SHOP }}"), stage.certyn("b"), army, docket)
    stage.commit(*entries, env={"SHOP": {}}, vendors={"testerarmy": {"project": PROJECT}})
    stage.environ["QARUNNER_VAR_SHOP"] = "https://shop.example"
    return stage


def test_where_nothing_is_missing_vendors_are_asked_for_their_lists_alone(ready: Stage) -> None:
    results = checks(ready, code=0)
    assert states(results, "problem") == set()
    assert states(results, "not_checked") == {"doksi answer"}
    assert {name for name in results if name.endswith(" answer")} == {
        f"{vendor} answer" for vendor in ("doksi", "certyn", "testerarmy", "docketqa")
    }
    sent = ready.sent()
    assert {request["method"] for request in sent} == {"GET"}
    assert {request["vendor"] for request in sent} == {"certyn", "docketqa", "testerarmy"}
    assert [results[f"{name} ids"][0]["state"] for name in ("certyn", "docketqa", "testerarmy")] == ["ok"] * 3
    assert ready.records("runs") == []
    shown = ready.run("doctor")
    assert shown.out.splitlines()[-1].startswith("nothing stands in the way of an apply: ")
    keys = [value for name, value in ready.environ.items() if name.endswith("_KEY")]
    assert not [key for key in keys if key in shown.text]
    before = len(ready.sent())
    assert states(checks(ready, "--offline", code=0), "not_checked") == {name for name in results if "answer" in name}
    assert len(ready.sent()) == before


def test_each_obstacle_has_a_remedy(ready: Stage, tmp_path: Path) -> None:
    bundle = tmp_path / "no.pem"
    bundle.write_text("x", encoding="utf-8")
    cases: list[tuple[dict[str, str | None], str, str]] = [
        ({"DOKSI_API_KEY": None}, "doksi key", "DOKSI_API_KEY is not set"),
        ({"DOKSI_API_KEY": "sk_other"}, "doksi key", "does not begin with dk_live_"),
        ({"TESTERARMY_API_KEY": '"x"'}, "testerarmy answer", "TESTERARMY_API_KEY, which was pasted with its quotes"),
        ({"TESTERARMY_API_KEY": "wrong"}, "testerarmy answer", "invalid API key"),
        ({"CERTYN_API_KEY": "wrong"}, "certyn answer", "cannot tell"),
        ({"QARUNNER_VAR_SHOP": None}, "manifest", "SHOP"),
        ({"QARUNNER_DOKSI_URL": "http://shop.example"}, "doksi address", "is no https URL"),
        ({"QARUNNER_DOCKETQA_URL": "http://127.0.0.1:9"}, "docketqa answer", "cannot connect"),
        ({"REQUESTS_CA_BUNDLE": str(bundle)}, "certificates", "no.pem"),
        ({"HTTPS_PROXY": "socks5://u:secretword@x:1", "QARUNNER_DOKSI_URL": None}, "doksi address", "not supported"),
        ({"QARUNNER_RUNS_DIR": str(bundle / "runs")}, "runs folder", "cannot be written"),
        ({"QARUNNER_LIMITS_DIR": str(bundle / "limits")}, "limits folder", "cannot be written"),
        ({"CI": "true"}, "ci", "QARUNNER_SEAL_KEY"),
    ]
    only_warned = {"doksi key: does not begin", "certyn answer: cannot tell", "ci: QARUNNER_SEAL_KEY"}
    for variables, check, words in cases:
        warned = any(f"{check}: {words}".startswith(prefix) for prefix in only_warned)
        results = checks(ready, code=0 if warned else 2, **variables)
        (row,) = [row for row in results[check] if words in row["text"]]
        assert row["state"] == ("warning" if warned else "problem"), (variables, row)
        assert "secretword" not in json.dumps(results)
    (row,) = checks(ready, "--offline", code=0, DOCKET_API_KEY="'docket'")["docketqa key"]
    assert (row["state"], row["text"]) == ("warning", "DOCKET_API_KEY, which was pasted with its quotes")


def test_a_key_goes_nowhere_where_an_apply_would_not_send_it(ready: Stage) -> None:
    manifest = json.loads((ready.folder / "qa-matrix.yml").read_text(encoding="utf-8"))
    manifest["vendors"]["docketqa"] = {"api_key_env": "TESTERARMY_API_KEY"}
    (ready.folder / "qa-matrix.yml").write_text(json.dumps(manifest), encoding="utf-8")
    results = checks(ready, code=2)
    (row,) = results["docketqa answer"]
    assert "must not be sent to docketqa" in row["text"]
    assert ready.sent("docketqa") == []


def test_a_key_that_may_not_read_lists_may_be_a_valid_one(begin: Begin) -> None:
    stage = begin(docketqa={"faults": [{"on": "GET /test_blueprint/list", "status": 403}]})
    stage.commit({"id": "pay", "vendor": "docketqa", "platform": "web", "test_ids": [1]})
    (row,) = checks(stage, code=2)["docketqa answer"]
    assert row["remedy"] == "set DOCKET_API_KEY to a key that is valid, and may read lists"


def test_a_folder_without_a_manifest_or_with_a_broken_one(stage: Stage) -> None:
    (row,) = checks(stage, code=2)["manifest"]
    assert "no manifest" in row["text"]
    stage.commit({**stage.doksi("a"), "platfrom": "web"}, {**stage.certyn("b"), "vendor": "doski"})
    rows = checks(stage, code=2)["manifest"]
    assert [row["text"].split(":")[0] for row in rows] == ["qa-matrix.yml"] * len(rows)
    assert len(rows) > 1
    assert any("doski" in row["text"] for row in rows)


def test_nothing_waits_for_a_schema_that_is_a_pipe_or_has_no_end(ready: Stage) -> None:
    manifest, schema = ready.folder / "qa-matrix.yml", ready.folder / "qa-matrix.schema.json"
    line = "# yaml-language-server: $schema=./qa-matrix.schema.json\n"
    manifest.write_text(line + manifest.read_text(encoding="utf-8"), encoding="utf-8")
    schema.write_text(f"{' ' * (1 << 24)}{{}}", encoding="utf-8")
    for _ in range(2):
        assert ready.run("validate").code == 0
        (row,) = checks(ready, "--offline", code=0)["schema"]
        assert row["text"] == "qa-matrix.schema.json cannot be read"
        schema.unlink()
        if not hasattr(os, "mkfifo"):
            return
        os.mkfifo(schema)


def test_a_schema_of_another_version_and_runs_that_go_on(ready: Stage) -> None:
    manifest = ready.folder / "qa-matrix.yml"
    line = "# yaml-language-server: $schema=./qa-matrix.schema.json\n"
    manifest.write_text(line + manifest.read_text(encoding="utf-8"), encoding="utf-8")
    schema = ready.folder / "qa-matrix.schema.json"
    for text, state in ((None, "warning"), ('{"old": 1}', "warning"), (ready.run("schema").out, "ok")):
        if text is not None:
            schema.write_text(text, encoding="utf-8")
        assert [row["state"] for row in checks(ready, "--offline", code=0)["schema"]] == [state]
    assert "warning" not in ready.run("validate").err
    schema.write_text(for_editors(names={NameKind.TESTS: {"Checkout": "1 at docketqa"}}), encoding="utf-8")
    assert [row["state"] for row in checks(ready, "--offline", code=0)["schema"]] == ["ok"]
    schema.write_text(ready.run("schema").out.replace(f":{__version__}", ":0.0.9"), encoding="utf-8")
    (row,) = checks(ready, "--offline", code=0)["schema"]
    assert (row["state"], row["text"].partition(":")[0]) == ("warning", f"{schema.name} is that of qarunner 0.0.9")
    said = ready.run("validate")
    assert (said.code, said.err.count("[W427]")) == (0, 1)
    schema.write_text(ready.run("schema").out.replace("$id", "$comment-id"), encoding="utf-8")
    assert "with the schema of an unknown version" in ready.run("validate").err
    schema.write_text(ready.run("schema").out.replace("What is tested", "What was tested"), encoding="utf-8")
    (row,) = checks(ready, "--offline", code=0)["schema"]
    assert row["text"].startswith(f"{schema.name} is not that of this version, as it was written")
    assert ready.apply("--detach", "--select", "a").code == 0
    (row,) = checks(ready, "--offline", code=0)["runs"]
    assert row["text"] == "r1 is detached, with 1 run at the vendors"
    assert row["remedy"] == "qarunner resume r1, or qarunner cancel r1"


def test_git_that_knows_too_little(ready: Stage) -> None:
    assert states(checks(ready, "--offline", code=0), "warning") >= {"git"}
    home = ready.folder / "home"
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x.example"]
    for words in (
        ["init", "-q", "."],
        ["add", "."],
        ["commit", "-qm", "one"],
        ["commit", "-qm", "two", "--allow-empty"],
    ):
        subprocess.run([*git, *words], cwd=ready.folder, check=True, env=ready.environ)
    assert "git" not in states(checks(ready, "--offline", code=0), "warning")
    words = ["clone", "-q", "--depth", "1", ready.folder.as_uri(), str(home)]
    subprocess.run([*git, *words], cwd=ready.folder, check=True, env=ready.environ)
    ready.folder = home
    rows = checks(ready, "--offline", code=0)["git"]
    assert any("shallow" in row["text"] for row in rows)


def test_a_clock_that_is_far_off() -> None:
    reply = Reply(status=200, text="", headers={"date": "Sat, 28 Nov 2026 10:00:00 GMT"})
    ten = 1_795_860_000.0
    assert list(_clock(reply, ten + 60)) == []
    assert [row.text for row in _clock(reply, ten - 7200)] == ["the clock of this machine is 120 minutes slow"]
    assert list(_clock(Reply(status=200, text=""), ten)) == []


def test_packages_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["requests>=999", "nosuchpackage>=1; extra == 'emulator'", "jinja2>=1,<99"]
    monkeypatch.setattr("qarunner.app.doctor._requirements", lambda: wanted)
    wrong, extra = packages()
    assert (wrong.state, extra.state) == ("problem", "warning")
    assert "requests>=999" in wrong.text
    assert "nosuchpackage" in extra.text


def test_ids_that_a_vendor_no_longer_knows(ready: Stage, begin: Begin) -> None:
    """Each is named with the entry that has it. What a key may not list is no error."""
    later = begin(
        docketqa={"tests": {12: {"name": "Pay"}}, "paused": [12]},
        testerarmy={"projects": {PROJECT: {}}},
        certyn={"projects": ["shop"], "processes": {"B": "completed"}, "scopes": ["execution:read"]},
    )
    results = checks(ready, code=2, **{name: url for name, url in later.environ.items() if name.endswith("_URL")})
    (gone,) = results["testerarmy ids"]
    assert gone["text"] == f"TesterArmy lists no category {GROUP}, which c names"
    assert "qarunner lock --check" in gone["remedy"]
    (paused,) = results["docketqa ids"]
    assert (paused["state"], paused["text"]) == ("warning", "test 12 (Pay), which d names: it is paused at DocketQA")
    assert results["certyn ids"][0]["state"] == "ok"

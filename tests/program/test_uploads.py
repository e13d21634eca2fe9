"""Local builds, from the manifest to the vendor: sent once, looked into before, and not made twice."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.program.conftest import Begin, Stage

UUID = "22222222-2222-4222-8222-222222222222"
BUILDS = "POST /apps/{id}/builds"
SHOP = {"apps": {5: {"name": "Shop", "platform": "android", "builds": [31]}}}


def apk(path: Path, content: str = "content") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("AndroidManifest.xml"), content)


def app(name: str, vendor: str, file: str = "app.apk", **options: object) -> dict[str, object]:
    """An entry of one test on a local build."""
    entry: dict[str, object] = {"id": name, "vendor": vendor, "platform": "android", "target": {"binary": file}}
    if vendor == "docketqa":
        entry["options"] = {"app_id": 5, "set_current": True, **options}
    return {**entry, "test_ids": ["12"]}


def test_one_content_is_sent_once_to_each_vendor(begin: Begin) -> None:
    stage = begin(docketqa=SHOP)
    for name in ("app.apk", "copy.apk"):
        apk(stage.folder / name)
    entries = [
        app(f"{vendor}-{n}", vendor, file)
        for vendor in ("doksi", "docketqa")
        for n, file in enumerate(("app.apk", "copy.apk"))
    ]
    stage.commit(*entries)
    planned = stage.run("plan")
    assert '"target_id": "<target_id of upload doksi-build-1>"' in planned.out, planned
    assert "\u27e6" not in planned.out
    ended = stage.apply()
    assert ended.code == 0, ended
    assert sorted(upload["vendor"] for upload in stage.records("uploads")) == ["docketqa", "doksi"]
    assert len(stage.records("moves")) == 1


def test_an_upload_that_stays_is_named_and_its_run_can_be_removed_all_the_same(begin: Begin) -> None:
    stage = begin(docketqa=SHOP)
    apk(stage.folder / "app.apk")
    stage.commit(app("shop", "doksi"), app("shop-2", "docketqa"))
    ended = stage.apply()
    assert ended.code == 0, ended
    left = {item["vendor"]: item for item in stage.report()["left"]}
    assert left["doksi"]["what"] == f"target {left['doksi']['details']['target_id']} of app.apk"
    assert left["docketqa"]["what"] == f"build {left['docketqa']['details']['name']!r} of app 5"
    assert {(item["kind"], item["why"]) for item in left.values()} == {("build", "an upload stays there")}
    assert f"left at doksi: {left['doksi']['what']}: an upload stays there" in ended.out + ended.err
    pruned = stage.run("runs", "--prune", "--keep", "0")
    assert pruned.code == 0, pruned
    assert len(pruned.out.splitlines()) == 1, pruned


def test_a_build_whose_create_had_no_answer_is_found_by_its_name_and_not_made_again(begin: Begin) -> None:
    stage = begin(docketqa={**SHOP, "faults": [{"on": BUILDS, "drop": "after"}]})
    apk(stage.folder / "app.apk")
    stage.commit(app("shop", "docketqa"))
    ended = stage.apply()
    assert ended.code == 0, ended
    assert len(stage.sent("docketqa", "POST", "/builds")) == 1
    assert len({move["build"] for move in stage.records("moves")}) == 1
    assert len(stage.paid()) == 1


def test_a_name_that_other_builds_may_have_finds_none_and_nothing_runs(begin: Begin) -> None:
    stage = begin(docketqa={**SHOP, "faults": [{"on": BUILDS, "drop": "after"}]})
    apk(stage.folder / "app.apk")
    stage.commit(app("shop", "docketqa", build_name="nightly"))
    ended = stage.apply()
    assert ended.code == 8, ended
    assert "of DocketQA's app 5 had no answer" in stage.reason("shop")
    assert len(stage.sent("docketqa", "POST", "/builds")) == 1
    assert len(stage.records("moves")) == 1
    assert stage.paid() == []
    again = stage.resume()
    assert again.code == 8, again
    assert len(stage.sent("docketqa", "POST", "/builds")) == 1, "nor does a resume"


def test_an_older_build_is_not_taken_for_the_one_that_had_no_answer(begin: Begin) -> None:
    fault = {"on": "GET /apps/{id}", "merge": {"builds": [{"id": 31, "name": "nobody knows"}]}}
    stage = begin(docketqa={**SHOP, "faults": [{"on": BUILDS, "status": 503}, fault]})
    apk(stage.folder / "app.apk")
    stage.commit(app("shop", "docketqa"))
    ended = stage.apply()
    assert ended.code == 8, ended
    assert "HTTP 503" in stage.reason("shop")
    assert len(stage.sent("docketqa", "GET", "/apps/5")) == 1, "what is at the vendor was looked at"
    assert stage.records("moves") == [], "an older build is not taken for it"


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"without": ["target_id"]}, {"status": 503, "effect": True}])
def test_a_target_that_may_be_there_is_named_and_the_build_uploaded_again(
    begin: Begin, fault: dict[str, object]
) -> None:
    stage = begin(doksi={"faults": [{"on": "POST /targets", "call": 1, **fault}]})
    stage.hasty()
    apk(stage.folder / "app.apk")
    stage.commit(app("shop", "doksi"))
    ended = stage.apply()
    assert ended.code == 0, ended
    uploads = [request["body"]["upload_id"] for request in stage.sent("doksi", "POST", "/targets")]
    assert len(uploads) == 2, "the second try is taken"
    left = {item["what"]: item["certain"] for item in stage.report()["left"]}
    assert left.pop(f"a target of app.apk (upload {uploads[0]})") is False
    assert list(left.values()) == [True]
    assert f"may be left at doksi: a target of app.apk (upload {uploads[0]})" in ended.out + ended.err


def test_targets_that_may_be_there_are_named_where_no_answer_comes_at_all(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": "POST /targets", "without": ["target_id"]}]})
    stage.hasty()
    apk(stage.folder / "app.apk")
    stage.commit(app("shop", "doksi"))
    ended = stage.apply()
    assert ended.code == 75, ended
    asked = {request["body"]["upload_id"] for request in stage.sent("doksi", "POST", "/targets")}
    assert {each["details"]["upload_id"] for each in stage.report()["left"]} == asked
    assert stage.paid() == []


def test_an_app_that_stays_is_named_once_in_a_line(begin: Begin) -> None:
    stays = {"app": {"expiresAt": None, "removeAfter": None}}
    fault = {"on": "POST /projects/{projectId}/mobile/upload/confirm", "merge": stays}
    stage = begin(testerarmy={"faults": [fault]})
    apk(stage.folder / "app.apk")
    stage.commit({**app("shop", "testerarmy"), "test_ids": [UUID]}, vendors={"testerarmy": {"project": UUID}})
    ended = stage.apply()
    assert ended.code == 0, ended
    (left,) = stage.report()["left"]
    (ready,) = [line for line in ended.err.splitlines() if "ready: " in line]
    assert ready.count(left["details"]["app_id"]) == 1


@pytest.mark.parametrize("on", ["GET /apps/{id}", "PUT /apps/{id}/builds/{build_id}/set-current", BUILDS])
def test_a_vendor_that_is_busy_after_the_upload_gets_no_second_build(begin: Begin, on: str) -> None:
    lost = [] if on == BUILDS else [{"on": BUILDS, "drop": "after"}]
    busy = {"on": on, "call": 1, "status": 429, "retry_after": 1}
    stage = begin(docketqa={**SHOP, "faults": [*lost, busy]})
    stage.leaping()
    apk(stage.folder / "app.apk")
    stage.commit(app("shop", "docketqa"))
    ended = stage.apply()
    assert ended.code == 0, ended
    assert len(stage.records("uploads")) == 1
    names = {request["body"]["name"] for request in stage.sent("docketqa", "POST", "/builds")}
    assert len(names) == 1
    assert [left["certain"] for left in stage.report()["left"]] == [True]


def test_a_docketqa_build_that_may_be_there_is_named(begin: Begin) -> None:
    stage = begin(docketqa={**SHOP, "faults": [{"on": BUILDS, "drop": "after"}]})
    apk(stage.folder / "app.apk")
    stage.commit(app("shop", "docketqa", build_name="nightly"))
    assert stage.apply().code == 8
    (left,) = stage.report()["left"]
    assert (left["what"], left["certain"]) == ("build 'nightly' of app 5", False)


def test_builds_that_exclude_each_other_are_an_error_at_their_lines(begin: Begin) -> None:
    stage = begin(docketqa=SHOP)
    apk(stage.folder / "a.apk", "a")
    apk(stage.folder / "b.apk", "b")
    stage.commit(app("one", "docketqa", "a.apk"), app("two", "docketqa", "b.apk"))
    ended = stage.run("plan")
    assert ended.code == 2, ended
    assert "two and one pin different builds of DocketQA's app 5" in ended.err
    assert "qa-matrix.yml:" in ended.err.splitlines()[0]
    assert "^" in ended.err
    assert "as one has it" in ended.err


def test_a_file_of_a_wrong_kind_is_refused_before_it_exists(stage: Stage) -> None:
    stage.commit(app("a", "doksi", "build/app.aab"), app("b", "doksi", "build/splits"), app("c", "docketqa", "app.ipa"))
    ended = stage.run("validate")
    assert ended.code == 2, ended
    assert "build/app.aab: not a build that this vendor takes" in ended.err
    assert "app.ipa: not a build" in ended.err
    assert "2 errors" in ended.err


def test_the_reason_of_a_refusal_has_its_status_and_the_keys_variable(begin: Begin) -> None:
    stage = begin(
        docketqa={**SHOP, "faults": [{"on": "POST /apps/upload-url", "status": 403}]},
        doksi={"faults": [{"on": "POST /runs", "status": 401}]},
    )
    apk(stage.folder / "app.apk")
    stage.commit(app("shop", "docketqa"), stage.doksi("login"))
    ended = stage.apply()
    assert ended.code == 4, ended
    assert "HTTP 403: " in stage.reason("shop")
    assert "(with the key of DOCKET_API_KEY)" in stage.reason("shop")
    assert "HTTP 401: " in stage.reason("login")
    assert "(with the key of DOKSI_API_KEY)" in stage.reason("login")


def test_an_upload_that_is_repeated_says_why_in_the_stores_own_words(begin: Begin) -> None:
    expired = {"status": 403, "body": "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"}
    stage = begin(doksi={"faults": [{"on": "PUT /storage/{token}", "call": 1, **expired}]})
    apk(stage.folder / "app.apk")
    stage.commit(app("shop", "doksi"))
    stage.hasty()
    ended = stage.apply()
    assert ended.code == 0, ended
    assert "doksi-build-1: HTTP 403: AccessDenied: Request has expired; uploading app.apk" in ended.text

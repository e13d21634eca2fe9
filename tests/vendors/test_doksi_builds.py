from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.decode import UnexpectedData
from qarunner.diagnostics import Place
from qarunner.entry import Entry, Platform, Policy, Selection, SelectionKind, Target, TargetKind
from qarunner.vendors.api import (
    Build,
    Call,
    Metadata,
    Prepared,
    Reply,
    Request,
    Resource,
    ResourceKind,
    Upload,
    resolve_refs,
)
from qarunner.vendors.doksi.adapter import VENDOR
from qarunner.vendors.doksi.info import CAPABILITIES


def android(name: str, path: str, test: str = "t1") -> Entry:
    return Entry(
        id=name,
        vendor="doksi",
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        platform=Platform.ANDROID,
        target=Target(kind=TargetKind.BINARY, value=path),
        selection=Selection(kind=SelectionKind.TEST_IDS, ids=(test,)),
    )


def resource(path: str = "build/app.apk") -> Resource:
    build = Build(path=path, filename=path.rpartition("/")[2], size=1, sha256="0" * 64)
    return Resource(id="resource-1", vendor="doksi", kind=ResourceKind.BUILD, build=build)


def ok(body: object) -> Reply:
    return Reply(status=200, text=json.dumps(body))


def test_builds_are_for_android() -> None:
    assert TargetKind.BINARY not in CAPABILITIES.targets[Platform.WEB]
    rules = CAPABILITIES.builds[Platform.ANDROID]
    assert set(CAPABILITIES.builds) == {Platform.ANDROID}
    assert (rules.endings, rules.folders, rules.max_bytes) == ((".apk", ".zip"), True, None)


def test_equal_builds_of_several_calls_are_equal_needs() -> None:
    entries = [android("a", "x.apk"), android("b", "x.apk"), android("c", "y.apk", "t2")]
    groups = list(VENDOR.group(entries))
    assert [[entry.id for entry in group] for group in groups] == [["a", "c"], ["b"]]
    metadata = Metadata(commit="1a2b3c4d5e6f")
    first, second = (list(VENDOR.resources(Call(entries=group, metadata=metadata))) for group in groups)
    assert [need.path for need in first] == ["x.apk", "y.apk"]
    assert first[0] == second[0]


@given(st.lists(st.tuples(st.sampled_from(["x.apk", "y [1].zip", "z/ä"]), st.sampled_from(["t1", "t2"])), min_size=1))
def test_every_build_of_a_create_is_a_need_of_its_call(rows: list[tuple[str, str]]) -> None:
    entries = [android(f"e{number}", path, test) for number, (path, test) in enumerate(rows)]
    for group in VENDOR.group(entries):
        call = Call(entries=group)
        values = {need.key: {"target_id": f"bin of {need.path}"} for need in VENDOR.resources(call)}
        body = resolve_refs(VENDOR.submit(call).body, values)
        assert isinstance(body, dict)
        expected = [f"bin of {entry.target.value}" for entry in group if entry.target]
        assert [row["target_id"] for row in body["matrix"]] == expected


def test_a_build_goes_from_its_file_to_a_target() -> None:
    replies: list[Reply] = []
    answers = [{"upload_id": "up", "upload_url": "https://store.example/x?s=1"}, {}, {"target_id": "bin_1"}]
    seen = []
    while isinstance(step := VENDOR.prepare(resource(), "token", replies), (Request, Upload)):
        has_body = isinstance(step, Request) and step.body is not None
        seen.append((step.method, step.path, isinstance(step, Upload), has_body))
        replies.append(ok(answers[len(replies)]))
    assert step == Prepared(values={"target_id": "bin_1"})
    assert seen == [
        ("POST", "/uploads", False, True),
        ("PUT", "https://store.example/x?s=1", True, False),
        ("POST", "/targets", False, True),
    ]
    assert VENDOR.release(resource(), step) is None


@pytest.mark.parametrize(
    "url", ["/x?signature=1", "//store.example/x", "ftp://store.example/x", "", None, 7, "https://store.example/\ud800"]
)
def test_an_address_that_would_get_the_credential_is_refused_and_not_shown(url: object) -> None:
    with pytest.raises(UnexpectedData, match=r"upload_url: expected the absolute URL of an upload$"):
        VENDOR.prepare(resource(), "token", [ok({"upload_id": "up", "upload_url": url})])


def test_an_allowance_that_does_not_reach_is_no_run_whatever_the_status() -> None:
    reply = ok({"error": "Limit", "requested": 12, "remaining": 3})
    with pytest.raises(UnexpectedData):
        VENDOR.accepted(Call(entries=(android("a", "x.apk"),)), reply)
    for status in (200, 202, 400, 402, 403, 409, 429, 500, 503):
        assert VENDOR.refused(Reply(status=status, text=reply.text)).cause == "allowance"

"""Whatever a vendor answers, an adapter reads it or raises UnexpectedData: an unreadable reply is never its crash."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from qarunner.decode import UnexpectedData
from qarunner.diagnostics import Place
from qarunner.entry import Entry, Platform, Policy, Selection, SelectionKind, Target, TargetKind
from qarunner.vendors import registry
from qarunner.vendors import replies as answers
from qarunner.vendors.api import (
    GOOD,
    Build,
    Call,
    Finished,
    More,
    Prepared,
    Refusal,
    RemoteRun,
    Reply,
    Resource,
    ResourceKind,
    Upload,
    Verdict,
)

if TYPE_CHECKING:
    from qarunner.vendors.api import Vendor

WORDS = st.sampled_from(
    [
        "passed",
        "failed",
        "completed",
        "cancelled",
        "queued",
        "web",
        "android",
        "t1",
        "r1",
        "https://a.example",
        "..",
        "",
    ]
)
KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        """
        run_id status tests_total tests_passed tests_failed tests_running duration_seconds results result_id test_id
        test_name url destination platform web_url error requested remaining runId state total passed failed blocked
        aborted skipped pending appUrl retryAfterSeconds conclusion startedAt completedAt testCaseCount details
        upload_id upload_url target_id projects id slug defaultProjectId items testOutcome testCaseId testCaseName
        summaryMarkdown failedItems blockedItems totalItems
        """,
    )
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text()
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=12), max_leaves=30
)
ENDINGS = st.dictionaries(KEYS, ANYTHING).flatmap(
    lambda body: st.sampled_from(["passed", "failed", "completed", "cancelled"]).map(
        lambda word: {**body, "status": word, "state": word}
    )
)
BODIES = (ANYTHING | ENDINGS).map(json.dumps) | st.text() | st.sampled_from(['{"run_id": "\\ud800"}', "[" * 5000])


def entry(name: str, vendor: str) -> Entry:
    return Entry(
        id=name,
        vendor=vendor,
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        platform=Platform.WEB,
        target=Target(kind=TargetKind.WEB_URL, value="https://a.example"),
        selection=Selection(kind=SelectionKind.TEST_IDS, ids=("t1",)),
    )


MOST_REPLIES = 20
"""No adapter asks for more about one run, or for one resource, with the few things that a made-up reply holds."""


def followed(vendor: Vendor, call: Call, run: RemoteRun, reply: Reply, polls: int) -> Finished | None:
    """What a poll comes to where each `More` is answered in the same way; None while the run goes on."""
    got = [reply]
    while isinstance(status := vendor.read(call, run, got, polls=polls), More):
        assert len(got) < MOST_REPLIES
        got.append(reply)
    return status if isinstance(status, Finished) else None


def make(vendor: Vendor, reply: Reply) -> None:
    """Every resource that the vendor may need, where each request for it is answered in the same way."""
    targets = vendor.info.capabilities.targets
    for platform, kind in [(platform, kind) for platform, kinds in targets.items() for kind in kinds]:
        row = replace(entry("a", vendor.info.name), platform=platform, target=Target(kind=kind, value="build/app.apk"))
        for need in vendor.resources(Call(entries=(row,), settings=SETTINGS)):
            build = Build(path=need.path, filename="app.apk", size=1, sha256="0" * 64) if need.path else None
            assert build is None or need.kind is ResourceKind.BUILD  # a pinned build needs no file
            resource = Resource(id="r", vendor=vendor.info.name, kind=need.kind, build=build, data=need.data)
            with contextlib.suppress(UnexpectedData):
                made(vendor, resource, reply)


def made(vendor: Vendor, resource: Resource, reply: Reply) -> None:
    got: list[Reply] = []
    while not isinstance(step := vendor.prepare(resource, "0a1b2c3d4e5f", got), Prepared):
        assert len(got) < MOST_REPLIES
        if isinstance(step, Refusal):
            assert step.message
            return
        step = step.request if isinstance(step, More) else step
        step.path.encode()
        assert step.path.startswith(("https://", "http://") if isinstance(step, Upload) else "/")
        got.append(reply)
    assert all(str(value).encode() for value in step.values.values())
    vendor.release(resource, step)


SETTINGS = {"project": "t1"}


def use(vendor: Vendor, reply: Reply, polls: int) -> None:
    """Every reading method, one after the other as the engine calls them."""
    call = Call(entries=(entry("a", vendor.info.name),), settings=SETTINGS)
    assert vendor.refused(reply).message
    runs = [RemoteRun(id="run-1", memo={"tests": 1})]
    with contextlib.suppress(UnexpectedData):
        runs_made = vendor.accepted(call, reply)
        if isinstance(runs_made, tuple):
            runs += runs_made
        elif isinstance(runs_made, Finished):
            assert set(runs_made.outcomes) == {"a"}
            assert runs_made.outcomes["a"].verdict not in GOOD
    for run in runs:
        assert vendor.poll(call, run).path.isascii()
        vendor.cancel(call, run)
        try:
            status = followed(vendor, call, run, reply, polls)
        except UnexpectedData:
            continue
        assert status is None or set(status.outcomes) == {"a"}
    if reply.ok:
        make(vendor, reply)


@pytest.mark.parametrize("name", registry.names_builtin())
@given(text=BODIES, status=st.sampled_from([200, 201, 202, 204, 400, 401, 404, 429, 500]), polls=st.integers(0, 5))
def test_an_adapter_reads_a_reply_or_says_that_it_cannot(name: str, text: str, status: int, polls: int) -> None:
    use(registry.get(name), Reply(status=status, text=text), polls)


@pytest.mark.parametrize("name", registry.names_builtin())
@given(text=ANYTHING.map(json.dumps))
def test_an_arbitrary_end_is_never_green_without_a_result(name: str, text: str) -> None:
    vendor = registry.get(name)
    body = {"status": "passed", "state": "completed", "conclusion": "success", "x": json.loads(text)}
    reply = Reply(status=200, text=json.dumps(body))
    try:
        call = Call(entries=(entry("a", name),), settings=SETTINGS)
        status = followed(vendor, call, RemoteRun(id="run-1"), reply, 1)
    except UnexpectedData:
        return
    assert status is None or status.outcomes["a"].verdict is Verdict.UNKNOWN, "a word that is nobody's is no end"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("k3n2mPq9Rxyz", "k3n2mPq9Rxyz"),
        ("../a b?c#d", "..%2Fa%20b%3Fc%23d"),
        ("r-⟦secret:PIN⟧", "r-⟦secret:PIN:urlencode⟧"),
        ("⟦secret:PIN:urlencode⟧/x", "⟦secret:PIN:urlencode⟧%2Fx"),
    ],
)
def test_an_id_is_one_segment_of_a_path(text: str, quoted: str) -> None:
    assert answers.segment(text) == quoted

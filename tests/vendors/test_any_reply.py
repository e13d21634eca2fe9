"""Whatever a vendor answers, an adapter reads it or raises UnexpectedData: an unreadable reply is never its crash."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qarunner.cursor import UnexpectedData
from qarunner.entry import Entry, Origin, Platform, Policy, Selection, SelectionKind, Target, TargetKind
from qarunner.vendors import answers, registry
from qarunner.vendors.api import Call, Finished, RemoteRun, Reply, Verdict

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
        origin=Origin(file="qa-matrix.yml", line=1, column=1),
        platform=Platform.WEB,
        target=Target(kind=TargetKind.WEB_URL, value="https://a.example"),
        selection=Selection(kind=SelectionKind.TEST_IDS, ids=("t1",)),
    )


def use(vendor: Vendor, reply: Reply, polls: int) -> None:
    """Every reading method, one after the other as the engine calls them."""
    call = Call(entries=(entry("a", vendor.info.name),))
    assert vendor.refused(reply).message
    runs = [RemoteRun(id="run-1", memo={"tests": 1})]
    with contextlib.suppress(UnexpectedData):
        runs += vendor.accepted(call, reply)
    for run in runs:
        assert vendor.poll(call, run).path.isascii()
        vendor.cancel(call, run)
        try:
            status = vendor.read(call, run, [reply], polls=polls)
        except UnexpectedData:
            continue
        assert not isinstance(status, Finished) or set(status.outcomes) == {"a"}


@pytest.mark.parametrize("name", registry.names_builtin())
@given(text=BODIES, status=st.sampled_from([200, 201, 202, 204, 400, 401, 404, 429, 500]), polls=st.integers(0, 5))
@settings(deadline=None)
def test_an_adapter_reads_a_reply_or_says_that_it_cannot(name: str, text: str, status: int, polls: int) -> None:
    use(registry.get(name), Reply(status=status, text=text), polls)


@pytest.mark.parametrize("name", registry.names_builtin())
@given(text=ANYTHING.map(json.dumps))
@settings(deadline=None)
def test_an_arbitrary_end_is_never_green_without_a_result(name: str, text: str) -> None:
    vendor = registry.get(name)
    body = {"status": "passed", "state": "completed", "conclusion": "success", "x": json.loads(text)}
    reply = Reply(status=200, text=json.dumps(body))
    status = vendor.read(Call(entries=(entry("a", name),)), RemoteRun(id="run-1"), [reply], polls=1)
    assert isinstance(status, Finished)
    assert status.outcomes["a"].verdict is Verdict.UNKNOWN


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

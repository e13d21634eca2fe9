"""Whatever a matrix asks for and in whatever order its results come: each belongs to one entry, and none is lost."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from hypothesis import given
from hypothesis import strategies as st

from qarunner.diagnostics import Place
from qarunner.entry import (
    Authentication,
    Entry,
    Platform,
    Policy,
    Selection,
    SelectionKind,
    Strategy,
    Target,
    TargetKind,
)
from qarunner.secret import Scrubber, reveal
from qarunner.vendors.api import Call, Finished, Reply, Verdict
from qarunner.vendors.doksi.adapter import VENDOR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qarunner.vendors.api import Outcome

SECRETS = {"HOST": "hidden.example.com", "SAME": "hidden.example.com", "TOKEN": "s3cr3t/value", "PATH": "/english"}
SPELT_OUT = {"HOST": "staging.example.com", "SAME": "staging.example.com", "TOKEN": "https", "PATH": "/en?tier=free"}
"""Values that other addresses of the matrix hold in clear: a reply's text is scrubbed there as well."""
URLS = (
    "https://staging.example.com",
    "https://STAGING.example.com:443/",
    "https://staging.example.com/#/route",
    "https://staging.example.com/en",
    "https://staging.example.com/de/",
    "https://staging.example.com/en?tier=free",
    "https://staging.example.com/en?tier=pro",
    "https://staging.example.com/en?t=⟦secret:TOKEN:urlencode⟧",
    "https://staging.example.com/de?t=⟦secret:TOKEN⟧",
    "https://staging.example.com⟦secret:PATH⟧",
    "https://⟦secret:HOST⟧/de",
    "https://⟦secret:SAME⟧/de",
    "https://⟦secret:HOST⟧",
    "https://other.example.com/en",
)
TESTS = ("t1", "t2", "t3", "t4")
HIDDEN = (*TESTS, "t5", "t6")


@st.composite
def matrices(draw: st.DrawFn) -> tuple[Entry, ...]:
    def entry(number: int) -> Entry:
        platform = draw(st.sampled_from([Platform.WEB, Platform.WEB, Platform.WEB, Platform.ANDROID]))
        if platform is Platform.WEB:
            target = Target(kind=TargetKind.WEB_URL, value=draw(st.sampled_from(URLS)))
        else:
            kinds = [TargetKind.TARGET_ID, TargetKind.BINARY]
            target = Target(kind=draw(st.sampled_from(kinds)), value=draw(st.sampled_from(["one", "two"])))
        kind = draw(st.sampled_from([SelectionKind.TEST_IDS] * 3 + [SelectionKind.CATEGORY_IDS]))
        ids = draw(st.lists(st.sampled_from(TESTS), min_size=1, max_size=3, unique=True))
        return Entry(
            id=f"e{number}",
            vendor="doksi",
            policy=Policy(timeout_s=60),
            origin=Place(file="qa-matrix.yml", line=1, column=1),
            platform=platform,
            target=target,
            selection=Selection(kind=kind, ids=tuple(ids)),
            artifacts=(Authentication(strategy=draw(st.sampled_from(Strategy))),),
        )

    return tuple(entry(number) for number in range(draw(st.integers(1, 8))))


def normalised(url: str) -> str:
    """A URL as a browser writes it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.lower().removesuffix(":443"), parts.path or "/", parts.query, ""))


@dataclass
class Served:
    """What the vendor would answer for a group of entries, and whose each result is."""

    call: Call
    created: Reply
    body: dict[str, Any]
    owners: dict[str, Entry]
    scrub: Scrubber

    def read(self) -> dict[str, Outcome]:
        made = VENDOR.accepted(self.call, self.created)
        assert isinstance(made, tuple)
        (run,) = made
        text = self.scrub(json.dumps(self.body))
        status = VENDOR.read(self.call, run, [Reply(status=200, text=text)], polls=3)
        assert isinstance(status, Finished)
        return dict(status.outcomes)


@st.composite
def served(
    draw: st.DrawFn, group: Sequence[Entry], words: Sequence[str], secrets: Mapping[str, str] = SECRETS
) -> Served:
    results: list[dict[str, Any]] = []
    owners: dict[str, Entry] = {}
    normal = draw(st.booleans())
    for entry in group:
        assert entry.selection
        assert entry.target
        category = entry.selection.kind is SelectionKind.CATEGORY_IDS
        tests = draw(st.lists(st.sampled_from(HIDDEN), min_size=1, unique=True)) if category else entry.selection.ids
        for test in tests:
            key = f"r{len(results)}"
            owners[key] = entry
            place = {"platform": str(entry.platform)}
            if entry.platform is Platform.WEB:
                url = reveal(entry.target.value, secrets)
                place["web_url"] = normalised(url) if normal else url
            word = draw(st.sampled_from(words))
            results.append({"result_id": key, "test_id": test, "status": word, "url": key, "destination": place})
    promised = [{name: result[name] for name in ("result_id", "test_id", "url")} for result in results]
    failed = sum(result["status"] == "failed" for result in results)
    body = {
        "run_id": "run-1",
        "status": "failed" if failed else "passed",
        "tests_total": len(results),
        "tests_passed": len(results) - failed,
        "tests_failed": failed,
        "tests_running": 0,
        "results": draw(st.permutations(results)),
    }
    created = Reply(status=200, text=json.dumps({"run_id": "run-1", "results": promised}))
    call = Call(entries=tuple(group))
    return Served(call=call, created=created, body=body, owners=owners, scrub=Scrubber(secrets))


@given(matrices(), st.data())
def test_each_result_is_given_to_the_entry_that_asked_for_it(entries: tuple[Entry, ...], data: st.DataObject) -> None:
    for group in VENDOR.group(entries):
        vendor = data.draw(served(group, ["passed", "passed", "failed"]))
        outcomes = vendor.read()
        given_to = {(case.url, name): case for name, outcome in outcomes.items() for case in outcome.cases}
        assert set(given_to) == {(key, entry.id) for key, entry in vendor.owners.items()}
        words = {result["url"]: result["status"] for result in vendor.body["results"]}
        assert all(case.verdict == words[case.url] for case in given_to.values() if case.url)
        for outcome in outcomes.values():
            failed = any(case.verdict is Verdict.FAILED for case in outcome.cases)
            assert outcome.verdict is (Verdict.FAILED if failed else Verdict.PASSED)


@given(matrices(), st.data())
def test_where_an_address_spells_a_secret_out_no_entry_gets_the_result_of_another(
    entries: tuple[Entry, ...], data: st.DataObject
) -> None:
    for group in VENDOR.group(entries):
        vendor = data.draw(served(group, ["passed", "failed"], SPELT_OUT))
        for name, outcome in vendor.read().items():
            sure = [case.url for case in outcome.cases if case.url and case.verdict is not Verdict.UNKNOWN]
            assert all(vendor.owners[key].id == name for key in sure)
            first = [case for case in outcome.cases if case.url and vendor.owners[case.url].id == name]
            assert len(first) == sum(owner.id == name for owner in vendor.owners.values())


@given(matrices())
def test_every_entry_runs_once_in_the_order_of_the_first_of_its_group(entries: tuple[Entry, ...]) -> None:
    groups = [list(group) for group in VENDOR.group(entries)]
    assert sorted(entry.id for group in groups for entry in group) == [entry.id for entry in entries]
    assert groups == [list(group) for group in VENDOR.group(entries)]
    place = {entry.id: index for index, entry in enumerate(entries)}
    for group in groups:
        assert group == sorted(group, key=lambda entry: place[entry.id])
    assert groups == sorted(groups, key=lambda group: place[group[0].id])


RUN_LEVEL = ("drop", "status", "running", "total", "passed", "failed", "lost", "stray")
RESULT_LEVEL = ("word", "no word", "red", "other test", "other platform", "other address", "number")


def spoil_run(vendor: Served, how: str, index: int) -> None:
    """A run that is not what its parts say."""
    body = vendor.body
    match how:
        case "drop":
            del body["results"][index]
        case "lost":  # consistently: only the create's answer knows of the result
            del body["results"][index]
            body["tests_total"] -= 1
            body["tests_passed"] -= 1
        case "status":
            body["status"] = "failed"
        case "passed":
            body["tests_passed"] -= 1
        case "stray":
            stray = {"result_id": "stray", "test_id": "t1", "status": "passed", "destination": {"platform": "ios"}}
            body["results"].append(stray)
        case counter:
            body[f"tests_{counter}"] += 1


def noticeable(owner: Entry) -> list[str]:
    """What can be noticed: nobody knows the tests of a category, the build behind an app, or the text of a secret."""
    assert owner.selection
    assert owner.target
    category = owner.selection.kind is SelectionKind.CATEGORY_IDS
    secret = "⟦" in owner.target.value
    unnoticed = {"other test"} if category else set()
    if secret or (category and owner.platform is Platform.ANDROID):
        unnoticed.add("other address")
    return [how for how in RESULT_LEVEL if how not in unnoticed]


def spoil_result(result: dict[str, Any], how: str) -> None:
    match how:
        case "word":
            result["status"] = "errored"
        case "no word":
            del result["status"]
        case "number":
            result["status"] = 1
        case "red":
            result["status"] = "failed"
        case "other test":
            result["test_id"] = "t99"
        case "other platform":
            result["destination"] = {"platform": "ios"}
        case "other address":
            result["destination"] = {"platform": "web", "web_url": "https://elsewhere.example.org/"}
        case _:
            raise AssertionError(how)


@given(matrices(), st.data())
def test_a_run_that_contradicts_itself_never_passes(entries: tuple[Entry, ...], data: st.DataObject) -> None:
    for group in VENDOR.group(entries):
        vendor = data.draw(served(group, ["passed"]))
        assert {outcome.verdict for outcome in vendor.read().values()} == {Verdict.PASSED}
        spoilt = deepcopy(vendor)
        index = data.draw(st.integers(0, len(vendor.owners) - 1))
        how = data.draw(st.sampled_from(RUN_LEVEL))
        spoil_run(spoilt, how, index)
        outcomes = spoilt.read()
        assert set(outcomes) == {entry.id for entry in group}
        assert Verdict.PASSED not in {outcome.verdict for outcome in outcomes.values()}


@given(matrices(), st.data())
def test_an_entry_with_a_result_that_is_no_pass_never_passes(entries: tuple[Entry, ...], data: st.DataObject) -> None:
    for group in VENDOR.group(entries):
        vendor = data.draw(served(group, ["passed"]))
        result = data.draw(st.sampled_from(vendor.body["results"]))
        owner = vendor.owners[result["result_id"]]
        spoil_result(result, data.draw(st.sampled_from(noticeable(owner))))
        assert vendor.read()[owner.id].verdict is not Verdict.PASSED

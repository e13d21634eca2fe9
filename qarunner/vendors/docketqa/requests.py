"""DocketQA's two creates, and the test runs that their answers tell of, each given its place among what was asked.

Sources: docs.docketqa.com/api-reference/run-test, /essentials/triggering-tests, the vendor's GitHub action (client).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from qarunner.decode import Json, JsonReader, as_mapping
from qarunner.entry import Entry, SelectionKind, TargetKind
from qarunner.known import holds_template
from qarunner.regex import regex
from qarunner.vendors import replies as answers
from qarunner.vendors.api import (
    Accepted,
    Call,
    Case,
    Complaint,
    Finished,
    Metadata,
    Outcome,
    RemoteRun,
    Reply,
    Request,
    Vendor,
    Verdict,
)
from qarunner.vendors.docketqa.info import CONSENT, GIVE_CONSENT, OF_BUILDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


_DIGITS = regex(r"[0-9]{1,18}")


def same_number(text: str) -> str:
    """An id as the vendor writes it: manifest and answers may differ in leading zeros."""
    return str(int(text)) if _DIGITS.fullmatch(text) else text


_CREATE = "/test_group_run/trigger_run"


_CREATE_WITH_ADDRESSES = "/test_group_run/trigger_ci_run"
"""Client: the one way to give a suite other addresses; the reference does not list it."""


_PAGES = "https://app.docketqa.com/dashboard"


LOGIN, STRAY = "login", "stray"
"""Why a test run is not one of the requested: the vendor's login, or a test that no entry names."""


def asked_tests(entry: Entry) -> tuple[str, ...] | None:
    """The tests that an entry names, each once; None of a suite, of which the vendor alone knows."""
    if entry.selection is None or entry.selection.kind is not SelectionKind.TEST_IDS:
        return None
    return tuple(dict.fromkeys(same_number(test) for test in entry.selection.ids))


def group_page(run: RemoteRun) -> str | None:
    """Documented: the page of a group run, for people."""
    group = JsonReader(run.memo).get("group").text_or()
    return _page(group) if group else None


def _page(group: str) -> str:
    return f"{_PAGES}/grouprun/{answers.segment(group)}"


def _suite(entry: Entry) -> str:
    if entry.selection is None:
        raise ValueError(f"{entry.id}: the capability table let an incomplete entry through")
    (suite,) = entry.selection.ids
    return same_number(suite)


def _addresses(entry: Entry, suite: str) -> dict[str, Json]:
    """The overrides that an entry asks for, by suite or by test."""
    overrides: dict[str, Json] = {}
    if entry.target is not None and entry.target.kind is TargetKind.WEB_URL:
        overrides["test_suite_url_overrides"] = {suite: entry.target.value}
    if login := entry.options.get("login_url"):
        overrides["test_suite_account_login_url_overrides"] = {suite: login}
    tests = entry.options.get("test_urls")
    if isinstance(tests, dict) and tests:
        overrides["test_url_overrides"] = {same_number(test): url for test, url in tests.items()}
    return overrides


def _github_context(metadata: Metadata) -> dict[str, Json]:
    """What is known of the build. assumed: `run_id` is that of a GitHub Actions run, as text; no other CI has one."""
    known = {
        "repository": metadata.repository,
        "commit_sha": metadata.commit,
        "run_id": metadata.run_id,
        "ref": metadata.ref,
    }
    return {name: value for name, value in known.items() if value}


class _ListedRun(Struct, frozen=True, kw_only=True):
    """A test run as the create's answer tells of it."""

    id: str
    test: str | None
    login: bool


def _listed_run(element: JsonReader) -> _ListedRun | None:
    """One without an id cannot be followed."""
    identifier = answers.id_or_none(element.get("id"))
    if identifier is None:
        return None
    test = answers.id_or_none(element.get("test_blueprint_id"))
    return _ListedRun(
        id=identifier,
        test=None if test is None else same_number(test),
        login=element.get("is_login_test_run").value is True,
    )


def _each_once(runs_told: Iterable[_ListedRun]) -> list[_ListedRun]:
    """The first of each id: a run that is named twice is polled once."""
    by_id: dict[str, _ListedRun] = {}
    for run in runs_told:
        by_id.setdefault(run.id, run)
    return list(by_id.values())


def _unnamed_runs(entry: Entry, body: JsonReader, number: str | None) -> Outcome:
    """A group without the ids of its test runs: it exists and must not start again, but its verdict cannot be read.

    It is never a pass.
    """
    if number is None:
        raise body.get("test_group_run").get("test_runs").fail("test runs, or the group run's id")
    page, words = _page(number), body.get("message").text_or()
    message = f"DocketQA started the group run, but names none of its test runs: its results stand on {page} alone"
    message += f" (its answer says: {words})" if words else ""
    cases = (Case(id=test, verdict=Verdict.UNKNOWN, url=page, message=message) for test in asked_tests(entry) or ())
    return Outcome(verdict=Verdict.UNKNOWN, cases=tuple(cases), message=message, url=page)


def _counted(asked: Sequence[str] | None, runs_told: Sequence[_ListedRun]) -> list[_ListedRun]:
    """The runs whose verdict is that of a test asked for.

    assumed: a login run is the vendor's addition, unless it is the only run of a test that the entry names itself.
    """
    if asked is None:
        return [run for run in runs_told if not run.login]
    own_tests = {run.test for run in runs_told if not run.login}
    return [run for run in runs_told if run.test in asked and not (run.login and run.test in own_tests)]


def _lost(
    entry: Entry, asked: Sequence[str] | None, counted: Sequence[_ListedRun], nameless: int
) -> Iterator[tuple[str, Json]]:
    """What has no verdict to come, and why: each makes the entry unknown, whatever the others say."""
    come = {run.test for run in counted}
    for test in asked or ():
        if test not in come:
            yield test, "DocketQA's answer to the create names no run of this test"
    if asked is None and not counted:
        yield _suite(entry), "DocketQA started no test of this suite but its login"
    if nameless:
        yield (
            "?",
            f"DocketQA's answer to the create names test runs without an id, which cannot be followed: {nameless}",
        )


def _run(run: _ListedRun, shared: Mapping[str, Json], *, counted: bool) -> RemoteRun:
    memo: dict[str, Json] = {**shared}
    if run.test is not None:
        memo["test"] = run.test
    if not counted:
        memo["extra"] = LOGIN if run.login else STRAY
    test = run.test if counted else None
    return RemoteRun(id=run.id, url=f"{_PAGES}/testrun/{answers.segment(run.id)}", test=test, memo=memo)


class Creates(Vendor):
    """What the adapter says of creates."""

    def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterator[Complaint]:
        """What a row with a build, or with options of builds, lacks. What does not go together, the schema says."""
        target, options = as_mapping(row.get("target")), as_mapping(row.get("options"))
        kind = next((kind for kind in (TargetKind.BINARY, TargetKind.TARGET_ID) if target.get(kind) is not None), None)
        if kind is None:
            for name in OF_BUILDS:
                if options.get(name) is not None:
                    message = f"options.{name} goes with target.binary or target.target_id alone"
                    yield Complaint(path=("options", name), message=message)
            return
        place = ("target", kind.value)
        if kind is TargetKind.BINARY and row.get("platform") is None:
            message = "a build needs a platform: DocketQA asks for it at an upload"
            yield Complaint(path=place, message=message, hint="add platform: android or ios")
        if kind is TargetKind.TARGET_ID and not (
            holds_template(str(target[kind])) or _DIGITS.fullmatch(str(target[kind]))
        ):
            # To the schema a secret may be any id, but the create has numbers.
            message = f"{target[kind]!r} is no id of a build: DocketQA's ids are integers"
            yield Complaint(path=place, message=message)
        if options.get("app_id") is None:
            message = f"target.{kind} needs options.app_id: the app at DocketQA that the build belongs to"
            yield Complaint(path=place, message=message, hint="GET /apps/list shows the ids of apps")
        if options.get("set_current") is None:
            yield Complaint(path=place, message=CONSENT.format(kind), hint=GIVE_CONSENT)

    def notices(self, call: Call) -> Iterator[str]:
        for entry in call.entries:
            if asked_tests(entry) is None and _addresses(entry, suite := _suite(entry)):
                yield (
                    f"docketqa: other addresses for suite {suite} need a call that DocketQA's reference does not list; "
                    "if its answer names no test runs, the run has no verdict here and ends as unknown"
                )

    def submit(self, call: Call) -> Request:
        (entry,) = call.entries
        tests = asked_tests(entry)
        if tests is not None:
            return Request(method="POST", path=_CREATE, body={"test_blueprint_ids": [int(test) for test in tests]})
        suite = _suite(entry)
        addresses = _addresses(entry, suite)
        if not addresses:
            return Request(method="POST", path=_CREATE, body={"test_blueprint_category_id": suite})
        context = _github_context(call.metadata)
        body = {"test_blueprint_category_id": suite, **addresses, **({"github_context": context} if context else {})}
        return Request(method="POST", path=_CREATE_WITH_ADDRESSES, body=body)

    def accepted(self, call: Call, reply: Reply) -> Accepted:
        """A run for each test run. What was asked for and is not among them is written down with the first one."""
        body = reply.json()
        (entry,) = call.entries
        group = body.get("test_group_run")
        number = answers.id_or_none(group.get("id"))
        elements = list(group.get("test_runs").items_or_none())
        runs_told = _each_once(run for run in map(_listed_run, elements) if run is not None)
        shared: dict[str, Json] = {} if number is None else {"group": number}
        if not runs_told:
            return Finished(outcomes={entry.id: _unnamed_runs(entry, body, number)})
        asked = asked_tests(entry)
        counted = _counted(asked, runs_told)
        first, *others = (_run(run, shared, counted=run in counted) for run in runs_told)
        nameless = sum(_listed_run(element) is None for element in elements)
        if lost := dict(_lost(entry, asked, counted, nameless)):
            first = replace(first, memo={**first.memo, "lost": lost})
        return (first, *others)

"""The conformance suite itself: it passes the example, and finds each of these bugs in it."""

# ruff: noqa: ARG002  an override takes what the protocol gives
# mypy: allow-subclassing-any, no-warn-return-any

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from qarunner.plan.guard import AdapterBug
from qarunner.testing import Conformance
from qarunner.vendors.api import (
    Auth,
    Case,
    Cause,
    Finished,
    JsonReader,
    More,
    Outcome,
    Refusal,
    RemoteRun,
    Request,
    Running,
    Verdict,
)
from tests.amount import FULL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.entry import Entry
    from qarunner.vendors.api import Call, Complaint, Reply, Status, Vendor

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "vendor-plugin"
CHECKS = sorted(name for name in vars(Conformance) if name.startswith("test_"))

sys.path.insert(0, str(EXAMPLE))
try:
    acme: Any = import_module("acme_qa")
    own: Any = import_module("test_acme_qa")
finally:
    sys.path.remove(str(EXAMPLE))

Acme: Any = acme.Acme


def suite(vendor: Vendor) -> Any:  # noqa: ANN401  its checks are found by name
    return type("Suite", (Conformance,), {"vendor": vendor, "examples": own.TestAcme.examples})()


@pytest.mark.parametrize("check", CHECKS)
def test_the_example_passes(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not FULL:
        monkeypatch.setattr("qarunner.testing.suite._SAMPLES", 20)
    getattr(suite(acme.VENDOR), check)()


@pytest.mark.parametrize("check", ["test_garbage_is_never_a_pass", "test_refusals_have_words"])
def test_it_needs_no_hypothesis(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    getattr(suite(acme.VENDOR), check)()


def test_the_world_is_open_again_afterwards(tmp_path: Path) -> None:
    suite(acme.VENDOR).test_examples_are_read()
    (tmp_path / "a").write_text(os.environ.get("HOME", ""), encoding="utf-8")
    assert time.time() > 0


# --- bugs -------------------------------------------------------------------------------------------------------------


class Anything(Acme):
    """Takes every word but a failure for a pass."""

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        status = super().read(call, run, replies, polls=polls)
        if not isinstance(status, Finished):
            return status
        (outcome,) = status.outcomes.values()
        cases = tuple(
            replace(case, verdict=Verdict.PASSED if case.raw_status and case.raw_status != "broken" else case.verdict)
            for case in outcome.cases
        )
        verdicts = {case.verdict for case in cases}
        verdict = Verdict.PASSED if verdicts == {Verdict.PASSED} else outcome.verdict
        return Finished(outcomes={call.entries[0].id: replace(outcome, cases=cases, verdict=verdict)})


class Inventor(Acme):
    """Gives tests without a result the verdict of the rest."""

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        body = replies[0].json()
        if body.get("state").text() != "done":
            return Running(note="…")
        broken = any(test.get("result").value != "ok" for test in body.get("tests").items())
        verdict = Verdict.FAILED if broken else Verdict.PASSED
        selection = call.entries[0].selection
        cases = tuple(Case(id=test, verdict=verdict) for test in (selection.ids if selection else ()))
        return Finished(outcomes={call.entries[0].id: Outcome(verdict=verdict, cases=cases)})


class Crasher(Acme):
    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        body: Any = replies[0].json().value
        return Running(note=body["state"]) if body["state"] != "done" else super().read(call, run, replies, polls=polls)


class Hopeful(Acme):
    """Reads a run that is not found as one that passed."""

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        return super().read(call, run, [replace(replies[0], status=200)], polls=polls)


class Counting(Acme):
    """Keeps a state."""

    calls = 0

    def poll(self, call: Call, run: RemoteRun) -> Request:
        self.calls += 1
        return super().poll(call, run)


class Environment(Acme):
    def submit(self, call: Call) -> Request:
        request = super().submit(call)
        return replace(request, body={**request.body, "home": os.environ.get("HOME")})


class Sleeper(Acme):
    def poll(self, call: Call, run: RemoteRun) -> Request:
        time.sleep(0.001)
        return super().poll(call, run)


class Reader(Acme):
    def submit(self, call: Call) -> Request:
        Path(__file__).read_text(encoding="utf-8")
        return super().submit(call)


class Mutator(Acme):
    def submit(self, call: Call) -> Request:
        if isinstance(call.settings, dict):
            call.settings.pop("team", None)
        return super().submit(call)


class Unquoted(Acme):
    def poll(self, call: Call, run: RemoteRun) -> Request:
        return Request(method="GET", path=f"/runs/{run.id}")


class Climber(Acme):
    """Takes `..` for an id."""

    def accepted(self, call: Call, reply: Reply) -> tuple[RemoteRun, ...]:
        return (RemoteRun(id=reply.json().get("id").identifier()),)


class NotJson(Acme):
    def submit(self, call: Call) -> Request:
        return replace(super().submit(call), body={"tests": {"t1"}})


class Loser(Acme):
    def group(self, entries: Sequence[Entry]) -> list[tuple[Entry, ...]]:
        return [(entry,) for entry in entries if not entry.id.startswith("again-")]


class Twice(Acme):
    def group(self, entries: Sequence[Entry]) -> list[tuple[Entry, ...]]:
        return [(entry,) for entry in (*entries, *entries[1:])]


class Shuffler(Acme):
    def group(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, ...]]:
        return ((entry,) for entry in reversed(entries))


class Nameless(Acme):
    def accepted(self, call: Call, reply: Reply) -> tuple[RemoteRun, ...]:
        return (RemoteRun(id=reply.json().get("id").text_or("") or ""),)


class Silent(Acme):
    def refused(self, reply: Reply) -> Refusal:
        return Refusal(message=reply.text)


class Unauthorised(Acme):
    def refused(self, reply: Reply) -> Refusal:
        return replace(super().refused(reply), cause=Cause.REFUSED)


class Endless(Acme):
    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        return More(request=self.poll(call, run))


class Stranger(Acme):
    """Tells of an entry that is not in the call."""

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        status = super().read(call, run, replies, polls=polls)
        return (
            Finished(outcomes={**status.outcomes, "x": Outcome(verdict=Verdict.PASSED)})
            if isinstance(status, Finished)
            else status
        )


class Nothing(Acme):
    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Any:  # noqa: ANN401
        return None


class Picky(Acme):
    """Its check cannot bear a template."""

    def check(self, row: dict[str, Any], settings: object) -> Iterator[Complaint]:
        del settings
        int(row["test_ids"][0].removeprefix("t"))
        return iter(())


class Cancels(Acme):
    def cancel(self, call: Call, run: RemoteRun) -> Request:
        return Request(method="POST", path="/cancel")


class Eager(Acme):
    """Has the first line of a list alone decide."""

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        body = replies[0].json()
        first = next(iter(body.get("tests").items_or_none()), JsonReader(None))
        word = first.get("result").text_or() or body.get("state").text()
        if word not in {"ok", "broken"}:
            return Running(note=word)
        verdict = Verdict.PASSED if word == "ok" else Verdict.FAILED
        return Finished(outcomes={call.entries[0].id: Outcome(verdict=verdict, counts={verdict: 2})})


class Deaf(Acme):
    """Takes the vendor's word for a failure for a pass."""

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        text = replies[0].text.replace('"broken"', '"ok"')
        return super().read(call, run, [replace(replies[0], text=text)], polls=polls)


class Gullible(Acme):
    """Takes whatever run a reply tells of for its own."""

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        return super().read(call, replace(run, id=replies[0].json().get("id").text()), replies, polls=polls)


class Double(Acme):
    """Counts a result as often as it is told."""

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        status = super().read(call, run, replies, polls=polls)
        if not isinstance(status, Finished):
            return status
        told = [test.get("id").text() for test in replies[0].json().get("tests").items()]

        def doubled(outcome: Outcome) -> Outcome:
            cases = tuple(case for case in outcome.cases for _ in range(told.count(case.id) or 1))
            return replace(outcome, cases=cases)

        return Finished(outcomes={name: doubled(outcome) for name, outcome in status.outcomes.items()})


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (Anything, "test_unknown_words_are_no_pass", "whatever the reply says of test t1, it passes"),
        (Anything, "test_a_failure_stays_one", "$.tests[1].result is 'zz-a-word-that-nobody-documented': now checkout"),
        (Inventor, "test_passes_are_not_invented", "without any result of test t1, checkout passes"),
        (Crasher, "test_garbage_is_never_a_pass", "acme: read: raised"),
        (Hopeful, "test_passes_are_not_invented", "answered with 404, checkout passes"),
        (Counting, "test_requests_can_be_sent", "changed what it was given, or itself"),
        (Environment, "test_requests_can_be_sent", "reads the environment"),
        (Sleeper, "test_examples_are_read", "sleeps"),
        (Reader, "test_requests_can_be_sent", "opens a file"),
        (Mutator, "test_requests_can_be_sent", "changed what it was given, or itself"),
        (Unquoted, "test_ids_cannot_leave_their_segment", "quote"),
        (Climber, "test_ids_cannot_leave_their_segment", "without `..`"),
        (NotJson, "test_requests_can_be_sent", "a plan has to be the same after it was written down"),
        (Loser, "test_calls_hold_every_entry_once", "expected each of"),
        (Twice, "test_calls_hold_every_entry_once", "expected each of"),
        (Shuffler, "test_calls_hold_every_entry_once", "the order of"),
        (Nameless, "test_garbage_is_never_a_pass", "a run without an id"),
        (Silent, "test_refusals_have_words", "a refusal without words"),
        (Unauthorised, "test_refusals_have_words", "refused: 401"),
        (Endless, "test_examples_are_read", "more is asked for"),
        (Stranger, "test_examples_are_read", "outcomes of other entries: {'x'}"),
        (Nothing, "test_examples_are_read", "read: expected Running or More or Finished, got None"),
        (Picky, "test_rows_are_checked_before_they_are_rendered", "check: raised ValueError"),
        (Cancels, "test_requests_can_be_sent", "capabilities.cancel is False"),
        (Eager, "test_examples_are_read", "no result for {"),
        (
            Deaf,
            "test_no_sign_of_a_failure_is_passed_over",
            "has the $.tests.1.result 'broken' of acme: `failed`, and passes",
        ),
        (Gullible, "test_an_answer_is_about_this_run", "is another run's, and passes"),
        (Double, "test_a_repeated_result_counts_once", "has each element twice"),
    ],
)
def test_a_bug_is_found(kind: Any, check: str, words: str) -> None:  # noqa: ANN401
    with pytest.raises(AssertionError) as caught:
        getattr(suite(kind()), check)()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "Acme"}, "cannot be written as a vendor"),
        ({"base_url": "http://acme.example"}, "expected https"),
        ({"base_url": "https://acme.example/"}, "no query, user or last slash"),
        ({"key_env": "DOKSI_API_KEY"}, "DOKSI_API_KEY belongs to doksi"),
        ({"key_env": "acme-key"}, "no name of an environment variable"),
        ({"url_env": ()}, "nothing can lead the adapter to a test server"),
        ({"auth": Auth(headers={"Authorization": "Bearer"})}, "{key} stands nowhere"),
        ({"auth": Auth(headers={"Bad header": "{key}"})}, "no name of a header"),
        ({"auth": Auth(query={"token": "{key} {OTHER}"})}, "only {key} and credential_environ"),
        ({"options": {"a": {"type": "string"}}}, "options.a: expected a description"),
        ({"options": {"a": {"description": "a"}}}, "takes anything"),
        ({"options": {"a": {"description": "a", "type": "text"}}}, "has options that are no JSON Schema"),
        ({"settings": {"poll": {"type": "string", "description": "a"}}}, "every vendor has poll already"),
    ],
)
def test_a_flaw_in_what_it_says_of_itself_is_found(changed: dict[str, Any], words: str) -> None:
    vendor = type("Changed", (Acme,), {"info": replace(Acme.info, **changed)})()
    with pytest.raises((AssertionError, AdapterBug)) as caught:
        suite(vendor).test_info_is_complete()
    assert words in str(caught.value)

"""Certyn's single tests, best effort: they name what the counters count; they make a verdict worse, never better.

Read from the vendor's published CLI ("client"). Refused, odd or incomplete details leave the counters as they are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from qarunner.cursor import UnexpectedData
from qarunner.vendors import answers, certyn_projects
from qarunner.vendors.api import Case, Request, Verdict
from qarunner.vendors.certyn_results import duration, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.cursor import Cursor, Json
    from qarunner.vendors.api import Outcome, RemoteRun, Reply

_VERDICTS = {
    "passed": Verdict.PASSED,
    "failed": Verdict.FAILED,
    "blocked": Verdict.BLOCKED,
    "aborted": Verdict.CANCELLED,
}
_BAD = (Verdict.FAILED, Verdict.BLOCKED, Verdict.CANCELLED, Verdict.UNKNOWN)
"""What a test can make of a verdict, the weightiest first, as with the counters."""

_REST = (*_BAD, Verdict.SKIPPED, Verdict.PASSED)


def request(settings: Mapping[str, Json], run: RemoteRun, replies: Sequence[Reply]) -> Request | None:
    """What to ask next for the tests of a run that ended, given the answers so far; None: nothing more."""
    project = settings.get("project")
    if settings.get("details") is False or not isinstance(project, str) or len(replies) > 1:
        return None
    if not replies:
        return certyn_projects.overview()
    try:
        found = certyn_projects.project_id(replies[0], project) if replies[0].ok else None
    except UnexpectedData:
        return None
    if not isinstance(found, str):
        return None
    # client: the id of a CI run is that of its process run
    return Request(method="GET", path=f"/api/projects/{answers.segment(found)}/process-runs/{answers.segment(run.id)}")


def detailed(counted: Outcome, replies: Sequence[Reply]) -> Outcome:
    """An outcome with the tests that the answer tells of; as it was where there is none that can be read."""
    if not replies or not replies[0].ok:
        return counted
    try:
        body = replies[0].json()
    except UnexpectedData:
        return counted
    cases = _bounded(tuple(_cases(body, counted.counts.get(Verdict.SKIPPED, 0))), counted.counts)
    return _judged(replace(counted, cases=cases, counts=_rest(counted.counts, cases)), body)


def _cases(body: Cursor, skipped: int) -> Iterator[Case]:
    """Each test with an outcome. One without says nothing, since details may lag behind: the counters stand for it."""
    items = body.get("items").items_or_none()
    told = [(item, word) for item in items if (word := item.get("testOutcome").text_or())]
    others = sum(word not in _VERDICTS for _, word in told)
    # assumed: tests with another word are those that the counters call skipped, if they call so many so
    other = Verdict.SKIPPED if others <= skipped else Verdict.UNKNOWN
    for item, word in told:
        verdict = _VERDICTS.get(word, other)
        unknown = f"Certyn's outcome of this test is {word!r}" if verdict is Verdict.UNKNOWN else None
        yield Case(
            id=_id(item),
            verdict=verdict,
            name=item.get("testCaseName").text_or(),
            raw_status=word,
            duration_s=duration(item),
            message=item.get("summaryMarkdown").text_or(unknown),
        )


def _id(item: Cursor) -> str:
    for name in ("testCaseId", "id"):
        try:
            return item.get(name).identifier()
        except UnexpectedData:
            continue
    return "?"


def _bounded(cases: tuple[Case, ...], counts: Mapping[Verdict, int]) -> tuple[Case, ...]:
    """Without the passed tests where there are more than the counters know: `gate.min_tests` would count them."""
    if sum(case.verdict is Verdict.PASSED for case in cases) <= counts.get(Verdict.PASSED, 0):
        return cases
    return tuple(case for case in cases if case.verdict is not Verdict.PASSED)


def _rest(counts: Mapping[Verdict, int], cases: Sequence[Case]) -> dict[Verdict, int]:
    """The counted tests that no case stands for, so that cases and counts together count each test once."""
    seen = Counter(case.verdict for case in cases)
    room = max(0, sum(counts.values()) - len(cases))
    rest = {}
    for verdict in _REST:
        number = min(room, max(0, counts.get(verdict, 0) - seen[verdict]))
        room -= number
        if number:
            rest[verdict] = number
    return rest


def _judged(outcome: Outcome, body: Cursor) -> Outcome:
    """The counters' verdict, or the details' if that is worse: two readings that differ are no pass."""
    told = Counter(case.verdict for case in outcome.cases)
    for name, verdict in (("failedItems", Verdict.FAILED), ("blockedItems", Verdict.BLOCKED)):
        told[verdict] = max(told[verdict], int(body.get(name).number_or_none() or 0))
    worse = _BAD[: _BAD.index(outcome.verdict)] if outcome.verdict in _BAD else _BAD
    for verdict in worse:
        if told[verdict]:
            message = f"{some(told[verdict], verdict)} by Certyn's details, but its counters say {outcome.verdict}"
            return replace(outcome, verdict=verdict, message=message)
    return outcome

"""What a Certyn run says: counters decide the verdict, and single tests can make it worse, never better."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from qarunner.decode import Json, JsonReader, UnexpectedData
from qarunner.regex import regex
from qarunner.text import plural
from qarunner.vendors import replies as answers
from qarunner.vendors.api import Case, Outcome, RemoteRun, Reply, Request, Running, Verdict
from qarunner.vendors.certyn import environments as certyn_projects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


# ---------------------------------------------------------------------------------------------------------------------

# What Certyn's counters say: the documented gate, and never a pass where they do not add up to one.


def progress(state: str, entry: str, body: JsonReader, promised: int | None) -> Running:
    """A run that goes on. What its counters say of failures is certain, and what is pending is not."""
    total, pending = (body.get(name).number_or_none() for name in ("total", "pending"))
    so_far = {}
    counters = _counters(body, promised, answers.legible_count, derive=False)  # the final ones are read strictly
    if counts := counters.by_verdict(open_ones=Verdict.UNKNOWN):
        _, why = next(_failures(counters), (None, None))
        url = body.get("appUrl").text_or()
        so_far[entry] = Outcome(verdict=Verdict.UNKNOWN, counts=counts, message=why, url=url)
    return Running(
        note=state,
        so_far=so_far,
        wait_s=body.get("retryAfterSeconds").number_or_none(),
        total=None if total is None else int(total),
        done=None if total is None or pending is None else max(0, int(total - pending)),
    )


def outcome(state: str, body: JsonReader, promised: int | None, url: str | None) -> Outcome:
    """The verdict of a run that ended.

    `conclusion` uses several vocabularies (client): it is shown, and a failing word takes a pass away, no more.
    """
    try:
        counters = _counters(body, promised, answers.count)
    except UnexpectedData:  # it is read again, unless a failure would be lost over it
        counters = _counters(body, promised, answers.legible_count)
        if not any(_failures(counters)):
            raise
    conclusion = body.get("conclusion").text_or()
    verdict, message = next(_findings(state, counters, promised, body), (Verdict.PASSED, None))
    return Outcome(
        verdict=verdict,
        counts=counters.by_verdict(open_ones=Verdict.CANCELLED if state == "cancelled" else Verdict.UNKNOWN),
        message=message,
        url=body.get("appUrl").text_or(url),
        raw_status=conclusion or state,
        duration_s=duration(body),
    )


class _Counters(Struct, frozen=True, kw_only=True):
    """`total` and `passed` are None where no reply has them and they cannot be derived."""

    total: int | None
    passed: int | None
    failed: int
    blocked: int
    aborted: int
    skipped: int
    pending: int

    @property
    def counted(self) -> int:
        others = self.failed + self.blocked + self.aborted + self.skipped + self.pending
        return others + (self.passed or 0)

    def by_verdict(self, *, open_ones: Verdict) -> Mapping[Verdict, int]:
        """The tests of each verdict; `open_ones` is that of those without a result."""
        missing = max(0, (self.total or 0) - self.counted)
        counts = {
            Verdict.PASSED: self.passed or 0,
            Verdict.FAILED: self.failed,
            Verdict.BLOCKED: self.blocked,
            Verdict.SKIPPED: self.skipped,
            Verdict.CANCELLED: self.aborted,
        }
        counts[open_ones] = counts.get(open_ones, 0) + self.pending + missing
        return {verdict: number for verdict, number in counts.items() if number}


def _counters(
    body: JsonReader, promised: int | None, number: Callable[[JsonReader], int | None], *, derive: bool = True
) -> _Counters:
    """`number` reads each of them. `derive`: the run is over, so that what no counter tells has passed."""
    read = {name: number(body.get(name)) for name in ("failed", "blocked", "aborted", "skipped", "pending")}
    others = {name: count or 0 for name, count in read.items()}
    total, passed = (number(body.get(name)) for name in ("total", "passed"))
    total = promised if total is None else total
    gated = read["failed"] is not None and read["blocked"] is not None
    if derive and passed is None and total is not None and gated:
        # assumed: what the two documented counters and the rest leave over has passed, as the documented gate has it
        passed = max(0, total - sum(others.values()))
    return _Counters(total=total, passed=passed, **others)


_BAD_CONCLUSION = regex(
    r"fail|block|abort|cancel|time[ds]?[\s_-]*out|action[\s_-]*required|error|inconclusive|verify|stale|stopped|\bun|\bnot",
    re.IGNORECASE,
)
"""What words for a run that did not pass have in them: those of the vendor's two clients, of its pages, and of the
vocabularies they borrow. Beside counters that pass they contradict."""


def _findings(state: str, counters: _Counters, promised: int | None, body: JsonReader) -> Iterator[tuple[Verdict, str]]:
    """Why the run is no pass, the weightiest reason first."""
    yield from _failures(counters)
    if state == "cancelled":
        # The documented shell loop lets a cancelled run pass; the vendor's own CLI and action do not.
        yield Verdict.CANCELLED, "the run was cancelled at Certyn"
    if counters.aborted:
        # assumed: an aborted test was stopped at the vendor before it had a verdict, as in a cancelled run
        yield Verdict.CANCELLED, some(counters.aborted, "aborted")
    if doubt := _doubt(counters, promised):
        yield Verdict.UNKNOWN, doubt
    if error := answers.error_beside(body):
        yield Verdict.UNKNOWN, f"Certyn's counters say that the run passed, but with an error: {error}"
    conclusion = "not passed" if body.get("conclusion").value is False else answers.words_beside(body, "conclusion")
    if _BAD_CONCLUSION.search(conclusion or ""):
        yield Verdict.UNKNOWN, f"Certyn concludes {conclusion!r}, but its counters say that the run passed"
    if counters.skipped == counters.total:
        yield Verdict.SKIPPED, "every test was skipped"


def _failures(counters: _Counters) -> Iterator[tuple[Verdict, str]]:
    if counters.failed:
        yield Verdict.FAILED, some(counters.failed, "failed")
    if counters.blocked:
        yield Verdict.BLOCKED, some(counters.blocked, "blocked")


def _doubt(counters: _Counters, promised: int | None) -> str | None:
    """Why counters without a failure are no pass either. How inconclusive tests are counted is not documented."""
    if counters.total is None or counters.passed is None:
        return "Certyn does not say how many tests passed"
    if counters.total == 0:
        return "no test ran"
    if counters.pending:
        return f"the run is over, but {some(counters.pending, 'pending')}"
    if counters.counted != counters.total:
        return f"Certyn counts {counters.total} tests, but tells the result of {counters.counted}"
    if promised is not None and counters.total < promised:
        # assumed: the create's count is what will run, so that fewer tests in the end are lost ones
        return f"Certyn started {promised} tests, but counts {counters.total}"
    return None


def some(number: int, what: str) -> str:
    """`1 test failed`, `2 tests failed`."""
    return f"{plural(number, 'test')} {what}"


def duration(body: JsonReader) -> float | None:
    """Seconds between the two times of a run or of one of its tests."""
    try:
        started, ended = (datetime.fromisoformat(body.get(name).text()) for name in ("startedAt", "completedAt"))
        seconds = (ended - started).total_seconds()
    except (UnexpectedData, ValueError, TypeError, OverflowError):  # no times, or one with and one without a zone
        return None
    return seconds if seconds >= 0 else None


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
        project_found = certyn_projects.project_id(replies[0], project) if replies[0].ok else None
    except UnexpectedData:
        return None
    if not isinstance(project_found, str):
        return None
    # client: the id of a CI run is that of its process run
    return Request(
        method="GET", path=f"/api/projects/{answers.segment(project_found)}/process-runs/{answers.segment(run.id)}"
    )


def detailed(counted: Outcome, run: RemoteRun, replies: Sequence[Reply]) -> Outcome:
    """An outcome with the tests that the answer tells of; as it was where no test can be read."""
    if not replies or not replies[0].ok:
        return counted
    try:
        body = replies[0].json()
        answers.check_about(body.get("id"), run.id)
    except UnexpectedData:
        return counted
    cases = _bounded(tuple(_cases(body, counted.counts.get(Verdict.SKIPPED, 0))), counted.counts)
    return _judged(replace(counted, cases=cases, counts=_rest(counted.counts, cases)), body)


def _cases(body: JsonReader, skipped: int) -> Iterator[Case]:
    """Each test with an outcome. One without says nothing, since details may lag behind: the counters stand for it."""
    items = _once(body.get("items").items_or_none())
    items_told = [(item, word) for item in items if (word := item.get("testOutcome").text_or())]
    others = sum(answers.verdict_of(word, _VERDICTS) is None for _, word in items_told)
    # assumed: tests with another word are those that the counters call skipped, if they call so many so
    other = Verdict.SKIPPED if others <= skipped else Verdict.UNKNOWN
    for item, word in items_told:
        verdict, unknown = answers.verdict_of(word, _VERDICTS) or other, None
        if verdict is Verdict.PASSED and (error := answers.error_beside(item)):
            verdict, unknown = Verdict.UNKNOWN, f"Certyn says that the test passed, but with an error: {error}"
        elif verdict is Verdict.UNKNOWN:
            unknown = f"Certyn's outcome of this test is {word!r}"
        yield Case(
            id=_id(item),
            verdict=verdict,
            name=item.get("testCaseName").text_or(),
            raw_status=word,
            duration_s=duration(item),
            message=_plain(item.get("summaryMarkdown").text_or(unknown)),
            ids={"execution": execution} if (execution := item.get("executionId").text_or()) else {},
        )


def _plain(markdown: str | None) -> str | None:
    """The vendor's Markdown as text: its emphasis and headings say nothing in a log."""
    return None if markdown is None else _EMPHASIS.sub(r"\2", _HEADING.sub("", markdown))


_EMPHASIS = regex(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_HEADING = regex(r"^#{1,6} ", re.MULTILINE)


def _once(items: Iterable[JsonReader]) -> Iterator[JsonReader]:
    """Each item once, by its id. One that is repeated with another outcome stays: two words are no pass."""
    seen: set[tuple[str | None, str]] = set()
    for item in items:
        key = (item.get("id").text_or(), answers.word(item.get("testOutcome")))
        if key[0] is None or key not in seen:
            yield item
        seen.add(key)


def _id(item: JsonReader) -> str:
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


def _judged(outcome: Outcome, body: JsonReader) -> Outcome:
    """The counters' verdict, or the details' if that is worse: two readings that differ are no pass."""
    counts = Counter(case.verdict for case in outcome.cases)
    for name, verdict in (("failedItems", Verdict.FAILED), ("blockedItems", Verdict.BLOCKED)):
        counts[verdict] = max(counts[verdict], answers.legible_count(body.get(name)) or 0)
    worse = _BAD[: _BAD.index(outcome.verdict)] if outcome.verdict in _BAD else _BAD
    for verdict in worse:
        if counts[verdict]:
            message = f"{some(counts[verdict], verdict)} by Certyn's details, but its counters say {outcome.verdict}"
            return replace(outcome, verdict=verdict, message=message)
    return outcome

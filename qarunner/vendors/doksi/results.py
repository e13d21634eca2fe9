"""What Doksi's results say, each given to the one entry that asked for it; what fits no entry makes nothing green.

Source: docs.doksi.ai/api-reference/getRun.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from qarunner.decode import JsonReader, UnexpectedData
from qarunner.secret import without_encoding
from qarunner.text import plural
from qarunner.vendors import replies as answers
from qarunner.vendors.api import Case, Outcome, RemoteRun, Running, Verdict
from qarunner.vendors.doksi.grouping import Destination, address, alike, asked, destination

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qarunner.entry import Entry


_VERDICTS = {"passed": Verdict.PASSED, "failed": Verdict.FAILED}


ENDED = frozenset(_VERDICTS)
"""The words that end a run; documented: any other is in progress."""


_GOES_ON = frozenset({"queued", "running"})
"""The words of a run in progress that were seen. Under any other word nothing passes before the run's end."""


_MOST_STRAYS = 20
"""So many results that belong to no entry are shown one by one in every entry; the rest is counted."""


def progress(status: str, entries: Sequence[Entry], run: RemoteRun, body: JsonReader) -> Running:
    """A run that goes on: what is certain of each entry. An entry whose results are all final is over."""
    total, passed, failed = (body.get(f"tests_{name}").number_or_none() for name in ("total", "passed", "failed"))
    promised = JsonReader(run.memo).get("results")
    results = list(_once(_legible(element, promised) for element in body.get("results").items_or_none()))
    goes_on = answers.word(body.get("status")) in _GOES_ON and _is_about(body, results, promised)
    cases, strays = _attribute(entries, results)
    # assumed: a result's own `passed` or `failed` is final, as the run's is
    lost = [promised.get(key).get("test_id").text_or() for key in _lost(promised, results)]
    missing = {test and without_encoding(test) for test in lost}
    is_whole = not missing and total is not None and total <= len(results)
    over: dict[str, Outcome] = {}
    so_far: dict[str, Outcome] = {}
    counts: dict[str, tuple[int, int]] = {}
    for entry in entries:
        entry_cases = [*cases[entry.id], *_missing(entry, cases[entry.id])]
        counts[entry.id] = (sum(case.verdict is not Verdict.UNKNOWN for case in entry_cases), len(entry_cases))
        tests = asked(entry)
        is_told = is_whole if tests is None else None not in missing and tests.isdisjoint(missing)
        if strays or not is_told or not entry_cases or counts[entry.id][0] < len(entry_cases):
            # A result that is missing, or whose entry is not certain, may be this entry's.
            open_ones = (
                replace(case, message=None, duration_s=None) if case.verdict is Verdict.UNKNOWN else case
                for case in entry_cases
            )
            so_far[entry.id] = Outcome(verdict=Verdict.UNKNOWN, cases=tuple(open_ones))
        elif (outcome := _outcome(entry, entry_cases, _Ending())).verdict is Verdict.FAILED or goes_on:
            over[entry.id] = outcome
        else:
            so_far[entry.id] = replace(outcome, verdict=Verdict.UNKNOWN)
    return Running(
        note=status,
        done=None if passed is None or failed is None else int(passed + failed),
        total=None if total is None else int(total),
        entries=counts if len(entries) > 1 else {},
        outcomes=over,
        so_far={name: outcome for name, outcome in so_far.items() if outcome.cases},
    )


def outcomes(entries: Sequence[Entry], run: RemoteRun, body: JsonReader) -> dict[str, Outcome]:
    """What became of each entry of a run that ended."""
    promised = JsonReader(run.memo).get("results")
    elements = list(body.get("results").items_or_none())
    try:
        results = list(_once(_result(element, promised) for element in elements))
        doubt = _doubt(body, results, promised)
    except UnexpectedData as error:  # it is read again, unless a failure would be lost over it
        results = list(_once(_legible(element, promised) for element in elements))
        if all(result.verdict is not Verdict.FAILED for result in results):
            raise
        doubt = Verdict.UNKNOWN, str(error)
    cases, strays = _attribute(entries, results)
    alone = len(entries) == 1
    ending = _Ending(
        status=body.get("status").text() if alone else None,
        duration_s=body.get("duration_seconds").number_or_none() if alone else None,
        doubt=doubt,
    )
    return {entry.id: _outcome(entry, [*cases[entry.id], *strays], ending) for entry in entries}


# --- one result -------------------------------------------------------------------------------------------------------


class _Result(Struct, frozen=True, kw_only=True):
    id: str | None
    test: str | None
    name: str | None
    status: str | None
    duration_s: float | None
    url: str | None
    place: Destination
    error: str | None = None

    @property
    def said(self) -> tuple[object, ...]:
        return (self.status or "").strip().lower(), self.test, self.place, self.error

    @property
    def verdict(self) -> Verdict:
        verdict = answers.verdict_of(self.status or "", _VERDICTS) or Verdict.UNKNOWN
        return Verdict.UNKNOWN if self.error and verdict is Verdict.PASSED else verdict

    def __str__(self) -> str:
        where = " ".join(filter(None, self.place)) or "an unnamed destination"
        return f"result {self.id or '?'} ({self.status or 'no status'}) of test {self.test or '?'} on {where}"


def _result(element: JsonReader, promised: JsonReader) -> _Result:
    """Read leniently; the create's answer gives what is missing now."""
    result_id = element.get("result_id")
    key = result_id.identifier() if element.has("result_id") else None
    test = element.get("test_id")
    destination = promised.get(key or "")
    return _Result(
        id=key,
        test=test.identifier() if element.has("test_id") else destination.get("test_id").text_or(),
        name=element.get("test_name").text_or(),
        status=element.get("status").text_or(),
        duration_s=element.get("duration_seconds").number_or_none(),
        url=element.get("url").text_or(destination.get("url").text_or()),
        place=_place(element.get("destination")),
        error=answers.error_beside(element),
    )


def _legible(element: JsonReader, promised: JsonReader) -> _Result:
    """A result with invalid ids may be any entry's, and has no verdict."""
    try:
        return _result(element, promised)
    except UnexpectedData:
        return _Result(id=None, test=None, name=None, status=None, duration_s=None, url=None, place=_place(element))


def _once(results: Iterable[_Result]) -> Iterator[_Result]:
    """Each result once, by its id. Two of one id that say different things are no verdict."""
    by_id: dict[str, _Result] = {}
    for number, result in enumerate(results):
        key = result.id or f"#{number}"
        first = by_id.setdefault(key, result)
        if first.said != result.said:
            by_id[key] = replace(first, status=f"{first.status} and {result.status}")
    yield from by_id.values()


def _place(element: JsonReader) -> Destination:
    """A result's destination. assumed: only the platform of an Android result can be relied on."""
    platform = answers.word(element.get("platform"))
    url = element.get("web_url").text_or()
    if url is None or platform not in {"", "web"}:
        return Destination(platform, None)
    return Destination("web", address(url))


def _case(result: _Result, message: str | None = None) -> Case:
    """A result as it counts; one with a message belongs to no certain entry, and is no verdict."""
    verdict = Verdict.UNKNOWN if message else result.verdict
    if verdict is Verdict.UNKNOWN and message is None and result.error:
        message = f"Doksi says {result.status!r}, but with an error: {result.error}"
    elif verdict is Verdict.UNKNOWN and message is None:
        message = f"the run is over, but this test's status is {result.status!r}" if result.status else "no status"
    return Case(
        id=result.test or result.id or "?",
        verdict=verdict,
        name=result.name,
        raw_status=result.status,
        duration_s=result.duration_s,
        url=result.url,
        message=message,
    )


# --- whose it is ------------------------------------------------------------------------------------------------------


def _attribute(entries: Sequence[Entry], results: Sequence[_Result]) -> tuple[dict[str, list[Case]], list[Case]]:
    """The cases of each entry, and those that count against every entry because they belong to no certain one."""
    owners = _Owners(entries)
    cases: dict[str, list[Case]] = defaultdict(list)
    strays: list[_Result] = []
    for result in results:
        candidates = owners.of(result)
        if len(candidates) == 1 and result.test:
            cases[candidates[0].id].append(_case(result))
        elif candidates:
            names = ", ".join(entry.id for entry in candidates)
            for entry in candidates:
                cases[entry.id].append(_case(result, f"{result} may belong to {names}"))
        else:
            strays.append(result)
    return cases, _stray_cases(strays)


def _stray_cases(strays: Sequence[_Result]) -> list[Case]:
    shown = [_case(result, f"no entry of the run asked for {result}") for result in strays[:_MOST_STRAYS]]
    if more := len(strays) - len(shown):
        shown.append(Case(id="?", verdict=Verdict.UNKNOWN, message=f"no entry asked for {more} more results"))
    return shown


class _Owners:
    """Who may have asked for a result: entries by the test that they name, categories under None."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._by_test: dict[str | None, list[tuple[Destination, Entry]]] = defaultdict(list)
        self._secret: dict[str | None, list[tuple[Destination, Entry]]] = defaultdict(list)
        self._exact: dict[tuple[str | None, Destination], list[Entry]] = defaultdict(list)
        for entry in entries:
            place, tests = destination(entry), asked(entry)
            for test in (None,) if tests is None else tests:
                self._by_test[test].append((place, entry))
                self._exact[test, place].append(entry)
                if place.secret:
                    self._secret[test].append((place, entry))

    def of(self, result: _Result) -> list[Entry]:
        """The entries that a result may belong to: one, if it says enough; each once."""
        tests = (without_encoding(result.test), None) if result.test else tuple(self._by_test)
        exact = result.place.address is not None and not result.place.secret
        entries = [entry for test in tests for entry in self._exact.get((test, result.place), ())] if exact else []
        # Else the destination is missing or partial, or a secret in it may stand for any text.
        rest = self._secret if exact else self._by_test
        rows = [row for test in tests for row in rest.get(test, ())]
        entries += [entry for place, entry in rows if _may_be(place, result.place)]
        return list({entry.id: entry for entry in entries}.values())


def _may_be(place: Destination, reported: Destination) -> bool:
    if reported.platform and reported.platform != place.platform:
        return False
    return not (place.address and reported.address) or alike(place.address, reported.address)


# --- verdicts ---------------------------------------------------------------------------------------------------------


class _Ending(Struct, frozen=True, kw_only=True):
    """What the run as a whole says; its word and duration are an entry's own only where it is alone.

    `doubt` is the verdict, and why, where an entry would pass otherwise.
    """

    status: str | None = None
    duration_s: float | None = None
    doubt: tuple[Verdict, str] | None = None


def _outcome(entry: Entry, cases: list[Case], ending: _Ending) -> Outcome:
    cases = [*cases, *_missing(entry, cases)]
    verdict = _worst(cases)
    message = None if cases else "no result came back"
    if ending.doubt and verdict is Verdict.PASSED:
        verdict, message = ending.doubt
    durations = [case.duration_s for case in cases if case.duration_s is not None]
    return Outcome(
        verdict=verdict,
        cases=tuple(cases),
        message=message,
        url=cases[0].url if len(cases) == 1 else None,
        raw_status=ending.status,
        duration_s=max(durations, default=None) if ending.duration_s is None else ending.duration_s,
    )


def _missing(entry: Entry, cases: Sequence[Case]) -> Iterator[Case]:
    """A case for each test that the entry names and that no result tells of."""
    if asked(entry) is None or entry.selection is None:
        return
    seen = {without_encoding(case.id) for case in cases}
    for test in dict.fromkeys(entry.selection.ids):
        if without_encoding(test) not in seen:
            yield Case(id=test, verdict=Verdict.UNKNOWN, message="no result came back")


def _worst(cases: Sequence[Case]) -> Verdict:
    """A failure wins: it is never hidden; then whatever is no pass; nothing at all is no pass either."""
    verdicts = {case.verdict for case in cases}
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED
    return Verdict.PASSED if verdicts == {Verdict.PASSED} else Verdict.UNKNOWN


def _doubt(body: JsonReader, results: Sequence[_Result], promised: JsonReader) -> tuple[Verdict, str] | None:
    """Why entries whose results all passed do not pass: the run says something else than its results."""
    verdicts = Counter(result.verdict for result in results)
    if answers.word(body.get("status")) == "failed" and set(verdicts) == {Verdict.PASSED}:
        return Verdict.FAILED, "Doksi reports the run as failed although every result passed"
    doubt = next(_contradictions(body, verdicts, tests=len({result.test or result.id for result in results})), None)
    if not _is_about(body, results, promised):
        doubt = "Doksi's answer names neither the run nor a result of its create"
    if doubt is None and (error := answers.error_beside(body)):
        doubt = f"Doksi reports the run as passed, but with an error: {error}"
    if doubt is None and body.get("has_more").value not in (None, False):
        doubt = "Doksi says that there are more results than it told"
    if not doubt and (lost := _lost(promised, results)):
        doubt = f"the create named result {lost[0]}, which did not come back"
    return (Verdict.UNKNOWN, doubt) if doubt else None


def _is_about(body: JsonReader, results: Sequence[_Result], promised: JsonReader) -> bool:
    """Whether an answer says which run it is about. A result's id that the create named says it as well."""
    return body.has("run_id") or any(result.id is not None and promised.has(result.id) for result in results)


def _lost(promised: JsonReader, results: Sequence[_Result]) -> list[str]:
    """The results that the create named and that do not come back."""
    came = {result.id for result in results}
    return [key for key in (promised.value if isinstance(promised.value, dict) else ()) if key not in came]


def _contradictions(body: JsonReader, verdicts: Counter[Verdict], tests: int) -> Iterator[str]:
    """assumed: the counters count results, or at most tests, and a test may have several results."""
    names = ("total", "passed", "failed", "running")
    total, passed, failed, running = (answers.count(body.get(f"tests_{name}")) or 0 for name in names)
    if running:
        yield f"Doksi reports the run as {body.get('status').value}, but counts {running} running tests"
    if total > verdicts.total():
        yield f"Doksi counts {total} tests, but {verdicts.total()} results came back"
    if answers.count(body.get("tests_total")) is not None and total < tests:
        yield f"Doksi counts {plural(total, 'test')}, but results of {tests} came back"
    if failed > verdicts[Verdict.FAILED]:
        yield f"Doksi counts {failed} failed tests, but {verdicts[Verdict.FAILED]} results failed"
    if passed > verdicts[Verdict.PASSED] + verdicts[Verdict.UNKNOWN]:
        yield f"Doksi counts {passed} passed tests, but {verdicts[Verdict.PASSED]} results passed"
    if body.has("tests_passed") and total - passed - failed > verdicts[Verdict.UNKNOWN]:
        yield f"Doksi counts {total} tests, but {passed} passed and {failed} failed"

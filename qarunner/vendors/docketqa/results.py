"""What a test run of DocketQA says: its own word is the verdict, and its steps must not contradict a pass.

Source: docs.docketqa.com/api-reference/get-test-run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from qarunner.decode import JsonReader
from qarunner.text import plural
from qarunner.vendors import replies as answers
from qarunner.vendors.api import GOOD, Case, Finished, Outcome, RemoteRun, Running, Step, Verdict
from qarunner.vendors.docketqa.requests import LOGIN, group_page, same_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.entry import Entry


_VERDICTS = {
    "passed": Verdict.PASSED,
    "failed": Verdict.FAILED,
    # Client: both end a run without a verdict of its test.
    "stopped": Verdict.CANCELLED,
    "error": Verdict.ERROR,
}


_WORDS = {"stopped": "stopped at DocketQA", "error": "an error at DocketQA, and no verdict"}


_NEVER_REACHED = "step not completed"


def status(entry: Entry, run: RemoteRun, body: JsonReader) -> Running | Finished:
    """A test run's status.

    assumed: a word that no page knows is a queued state or the like; no page documents one. It is waited for
    until the entry's time is up: it never passes, and a run that was paid for is not given up.
    """
    _same(body.get("id"), run.id)
    word, test = body.get("status"), JsonReader(run.memo).get("test").text_or()
    if test is not None:
        _same(body.get("test_blueprint_id"), test)
    if (group := JsonReader(run.memo).get("group").text_or()) is not None:
        _same(body.get("test_group_run_id"), group)
    if word.text() and answers.word(word) not in _VERDICTS:
        waiting = Case(
            id=_test(run, body),
            verdict=Verdict.UNKNOWN,
            name=body.get("blueprint_metadata").get("title").text_or(),
            raw_status=word.text(),
            url=run.url,
        )
        lost = tuple(_lost(JsonReader(run.memo).get("lost")))
        known = Outcome(verdict=Verdict.UNKNOWN, cases=(waiting, *lost), url=group_page(run))
        return Running(note=word.text(), so_far={entry.id: known})
    run_status = _outcome(run, _case(run, body))
    return Finished(outcomes={} if run_status is None else {entry.id: run_status})


def _same(value: JsonReader, expected: str) -> None:
    """An answer about another run or test must not be taken for this one's."""
    if value.value is not None and same_number(value.identifier()) != same_number(expected):
        raise value.fail(expected)


# --- the entry's part -------------------------------------------------------------------------------------------------


def _outcome(run: RemoteRun, case: Case) -> Outcome | None:
    """What a run means for its entry; None of a run that nobody asked for and that went well."""
    memo = JsonReader(run.memo)
    lost = tuple(_lost(memo.get("lost")))
    extra = memo.get("extra").text_or()
    if extra is not None:
        return _extra(run, case, lost, login=extra == LOGIN)
    verdict, message = case.verdict, None
    if lost and verdict in GOOD:
        verdict, message = Verdict.UNKNOWN, lost[0].message
    return Outcome(
        verdict=verdict,
        cases=(case, *lost),
        message=message,
        url=group_page(run),
        raw_status=case.raw_status,
        duration_s=case.duration_s,
    )


def _extra(run: RemoteRun, case: Case, lost: Sequence[Case], *, login: bool) -> Outcome | None:
    """Of a login, or of a test that no entry asked for.

    Its pass counts for nothing. Anything else closes the gate: the tests asked for may have run without what it was to
    make, such as a session. It is no failure of theirs, so that `failed` becomes `blocked`.
    """
    if case.verdict in GOOD:
        if not lost:
            return None
        return Outcome(verdict=Verdict.UNKNOWN, cases=tuple(lost), message=lost[0].message, url=group_page(run))
    verdict = Verdict.BLOCKED if case.verdict is Verdict.FAILED else case.verdict
    what = "a login run that DocketQA added" if login else "a run of a test that no entry asked for"
    shown = replace(case, verdict=verdict, message=f"{what}: {case.message}")
    return Outcome(
        verdict=verdict,
        cases=(shown, *lost),
        message=f"{what} did not pass",
        url=group_page(run),
        raw_status=case.raw_status,
        duration_s=case.duration_s,
    )


def _lost(messages: JsonReader) -> Iterator[Case]:
    """Tests that were asked for and have no run; see `docketqa_creates`."""
    for test, message in messages.value.items() if isinstance(messages.value, dict) else ():
        yield Case(id=test, verdict=Verdict.UNKNOWN, message=str(message))


# --- one test run -----------------------------------------------------------------------------------------------------


def _case(run: RemoteRun, body: JsonReader) -> Case:
    results = list(body.get("results").items_or_none())
    steps = tuple(map(_step, results))
    word = body.get("status").text()
    attempts = [_attempt(element) for element in body.get("additional_attempts").items_or_none()]
    verdict, message = _verdict(word, steps, attempts)
    if verdict in GOOD and (doubt := _doubt(body)):
        verdict, message = Verdict.UNKNOWN, f"DocketQA reports the test as passed, but {doubt}"
    return Case(
        id=_test(run, body),
        verdict=verdict,
        name=body.get("blueprint_metadata").get("title").text_or(),
        raw_status=word,
        duration_s=_duration(results),
        url=run.url,
        message=message,
        video_url=body.get("test_video_url").text_or(body.get("test_video_download_url").text_or()),
        steps=(
            *steps,
            *(_numbered(step, number) for number, element in enumerate(attempts, 1) for step in element.steps),
        ),
    )


def _doubt(body: JsonReader) -> str | None:
    """Why a pass does not count: it may be another run's, an error stands beside it, or its steps cannot be read."""
    if not body.has("id"):
        return "its answer does not say which run it is about"
    if error := answers.error_beside(body, *body.get("results").items_or_none()):
        return f"with an error: {error}"
    return answers.not_a_list(body.get("results"), body.get("additional_attempts"))


class _Attempt(Struct, frozen=True, kw_only=True):
    """One of the vendor's own retries. assumed: it has the fields of a test run; what it does not have is left out."""

    word: str | None
    steps: tuple[Step, ...]


def _attempt(element: JsonReader) -> _Attempt:
    return _Attempt(
        word=element.get("status").text_or(), steps=tuple(map(_step, element.get("results").items_or_none()))
    )


def _numbered(step: Step, number: int) -> Step:
    return replace(step, title=f"attempt {number}: {step.title}")


def _duration(results: Sequence[JsonReader]) -> float | None:
    """That of all steps; None where none tells its own, or where the sum is no number any more."""
    durations = [seconds for result in results if (seconds := result.get("duration").number_or_none()) is not None]
    return JsonReader(sum(durations)).number_or_none() if durations else None


def _test(run: RemoteRun, body: JsonReader) -> str:
    known = JsonReader(run.memo).get("test").text_or()
    identifier = body.get("test_blueprint_id")
    if known is not None or identifier.value is None:
        return known or run.id
    return same_number(identifier.identifier())


def _verdict(word: str, steps: Sequence[Step], attempts: Sequence[_Attempt]) -> tuple[Verdict, str | None]:
    verdict = answers.verdict_of(word, _VERDICTS)
    if verdict is None:
        return Verdict.UNKNOWN, f"DocketQA's word for the run is {word!r}"
    if verdict is Verdict.PASSED:
        return _passed(steps, attempts)
    again = f" (with {_worded_attempts(attempts)})" if attempts else ""
    return verdict, f"{_reason(word, steps)}{again}"


def _passed(steps: Sequence[Step], attempts: Sequence[_Attempt]) -> tuple[Verdict, str | None]:
    """assumed: the steps may be those of an attempt that failed, so that retries explain one that did not pass."""
    if attempts:
        return Verdict.FLAKY, f"passed with {_worded_attempts(attempts)}"
    bad = next((step for step in steps if step.verdict is not Verdict.PASSED), None)
    if bad is not None:
        return Verdict.UNKNOWN, f"DocketQA reports the test as passed, but not its step {bad.title!r}"
    return Verdict.PASSED, None


def _worded_attempts(attempts: Sequence[_Attempt]) -> str:
    """How many, and the words of those that have one: `2 more attempts of DocketQA's own: failed: Pay; passed`."""
    number = f"{plural(len(attempts), 'more attempt')} of DocketQA's own"
    words = "; ".join(_worded(attempt.word, attempt.steps) for attempt in attempts if attempt.word is not None)
    return f"{number}: {words}" if words else number


def _worded(word: str, steps: Sequence[Step]) -> str:
    failed = next((step for step in steps if step.verdict is Verdict.FAILED), None)
    return ": ".join(filter(None, (word, failed.title, failed.message))) if failed is not None else word


def _reason(word: str, steps: Sequence[Step]) -> str:
    """The step that did not succeed, in the vendor's words, after what the run's own word says beyond a failure."""
    failed = next((step for step in steps if step.verdict is Verdict.FAILED), None)
    details = (failed.title, failed.message) if failed is not None else ()
    return ": ".join(filter(None, (_WORDS.get(word.strip().lower()), *details))) or "failed, but no step says why"


def _step(result: JsonReader) -> Step:
    message = result.get("result").text_or()
    actions = list(result.get("actions").items_or_none())
    number = result.get("step_number").number_or_none()
    screenshots = [text for action in actions if (text := action.get("screenshot_url").text_or())]
    kinds = dict.fromkeys(text for action in actions if (text := action.get("type").text_or()))
    return Step(
        title=result.get("task").text_or() or (f"step {number:g}" if number is not None else "step"),
        verdict=_of_step(result.get("is_successful").value, message, performed=bool(actions)),
        message=message,
        screenshot_url=screenshots[-1] if screenshots else None,
        kind=", ".join(kinds) or None,
        duration_s=result.get("duration").number_or_none(),
    )


def _of_step(successful: object, message: str | None, *, performed: bool) -> Verdict:
    if successful is True:
        return Verdict.PASSED
    if successful is not False:
        return Verdict.UNKNOWN
    # Documented: such a step was never reached.
    never_reached = message is not None and message.strip().lower() == _NEVER_REACHED
    return Verdict.SKIPPED if never_reached and not performed else Verdict.FAILED

"""What a TesterArmy run says of its one test. `completed` only says that the agent finished; a pass needs its PASS.

Sources: docs.tester.army and the vendor's OpenAPI file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qarunner.decode import JsonReader
from qarunner.vendors import replies as answers
from qarunner.vendors.api import Case, Cause, Outcome, RemoteRun, Step, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


IN_PROGRESS = frozenset({"queued", "running"})


ENDED = frozenset({"completed", "failed", "cancelled"})


_STEPS = {"passed": Verdict.PASSED, "failed": Verdict.FAILED}


_MOST_SHOWN = 3
"""So many issues stand in a message; the steps show all of them."""


# assumed: read off the codes, which are documented without an explanation.
HINTS = {
    "AUTH_CREDENTIAL_UNAVAILABLE": "the test signs in, but TesterArmy has no credential for it: save one there",
    "AUTH_CREDENTIAL_INVALID": "the credential that is saved at TesterArmy was not accepted: renew it",
    "AUTH_BASIC_REQUIRED": "the site asks for HTTP basic authentication: save its credential at TesterArmy",
    "VERCEL_BYPASS_REQUIRED": "the Vercel deployment is protected: give TesterArmy its bypass secret",
    "MOBILE_RELEASE_BUILD_REQUIRED": "the app is no release build: build one",
    "VIEWPORT_RESIZE_UNSUPPORTED": "the viewport cannot be resized there: take the resize out of the test",
    "STEP_TOOL_LIMIT_EXHAUSTED": "the agent used up the step's actions: split it into smaller ones",
    "STEP_DEADLINE_EXHAUSTED": "the step's time was up: split it into smaller ones",
    "STEP_NO_CONCLUSION": "the agent came to no conclusion: say more exactly what the step must show",
}


def never_seen(run: RemoteRun) -> Outcome:
    """A run that the create's answer named as cancelled, and that cannot be asked for."""
    message = "TesterArmy cancelled the run when it was created"
    case = Case(id=_test(run) or run.id, verdict=Verdict.CANCELLED, raw_status="cancelled", message=message)
    return _with_doubt(case, run)


def status_word(body: JsonReader) -> str:
    """The status; client (mobile-github-action): the vendor's tools take it in any case."""
    return body.get("status").text().strip().lower()


def waiting(run: RemoteRun, body: JsonReader) -> Outcome:
    """What is known of a run that goes on: whose result is awaited."""
    case = Case(
        id=_test(run) or _text(body.get("testId")) or run.id,
        verdict=Verdict.UNKNOWN,
        raw_status=body.get("status").text(),
    )
    return Outcome(verdict=Verdict.UNKNOWN, cases=(case,))


def outcome(run: RemoteRun, body: JsonReader) -> Outcome:
    """The outcome of a run that ended: one case, and one more for what the create's answer left in doubt."""
    seconds = _seconds(body.get("durationMs"))
    judged = _judged(run, body)
    case = Case(
        id=_test(run) or _text(body.get("testId")) or run.id,
        verdict=judged.verdict,
        name=_text(body.get("output").get("featureName")),
        raw_status=_word(body),
        duration_s=seconds,
        message=_joined([judged.message, _text(JsonReader(run.memo).get("comment"))]),
        steps=tuple(_shown(body)),
    )
    return _with_doubt(case, run)


def _with_doubt(case: Case, run: RemoteRun) -> Outcome:
    doubt = _text(JsonReader(run.memo).get("doubt"))
    others = (Case(id="?", verdict=Verdict.UNKNOWN, message=doubt),) if doubt else ()
    good = case.verdict in {Verdict.PASSED, Verdict.SKIPPED}
    verdict = Verdict.UNKNOWN if doubt and good else case.verdict
    return Outcome(
        verdict=verdict,
        cases=(case, *others),
        message=doubt if verdict is not case.verdict else case.message,
        raw_status=case.raw_status,
        duration_s=case.duration_s,
        # Documented: such a failure is the vendor's infrastructure, and worth one retry.
        cause=Cause.INFRASTRUCTURE if verdict is Verdict.ERROR else None,
    )


def _test(run: RemoteRun) -> str | None:
    return _text(JsonReader(run.memo).get("test"))


def _text(reader: JsonReader) -> str | None:
    text = (reader.text_or() or "").strip()
    return text or None


def _seconds(milliseconds: JsonReader) -> float | None:
    number = milliseconds.number_or_none()
    return None if number is None else number / 1000


def _word(body: JsonReader) -> str:
    """The vendor's own words: the status, and the result where there is one."""
    output = body.get("output")
    result = _text(output.get("result")) or _text(output.get("kind"))
    status = body.get("status").text()
    return f"{status} {result}" if result else status


# --- the verdict ------------------------------------------------------------------------------------------------------


class _Judged(NamedTuple):
    verdict: Verdict
    message: str | None


def _judged(run: RemoteRun, body: JsonReader) -> _Judged:
    match status_word(body):
        case "failed":
            return _Judged(Verdict.ERROR, _infrastructure(body))
        case "cancelled":
            return _Judged(Verdict.CANCELLED, _cancelled(body))
        case "completed":
            return _completed(run, body)
        case _:
            word = body.get("status").text()[:60]
            return _Judged(Verdict.UNKNOWN, f"the run has ended with the word {word!r}, which no page explains")


def _infrastructure(body: JsonReader) -> str:
    """Documented: `failed` is the vendor's infrastructure, not the product."""
    why = _error(body) or _text(body.get("output").get("description"))
    return "TesterArmy could not run the test" + (f": {why}" if why else "")


def _cancelled(body: JsonReader) -> str:
    why = _error(body) or _text(body.get("output").get("reason"))
    return "the run was cancelled at TesterArmy" + (f": {why}" if why else "")


def _result(output: JsonReader) -> str | None:
    """The result in capitals; client (mobile-github-action): the vendor's tools take it in any case."""
    return answers.word(output.get("result")).upper() or None


def _error(body: JsonReader) -> str | None:
    error = body.get("error")
    if isinstance(error.value, str):
        return _text(error)
    parts = [text for name in ("code", "message") if (text := _text(error.get(name)))]
    return ": ".join(parts) or answers.error_beside(body, body.get("output"))


def _completed(run: RemoteRun, body: JsonReader) -> _Judged:
    """Documented: passed is `completed` with the result PASS, and nothing else."""
    output = body.get("output")
    result = _result(output)
    if result == "FAILED":
        return _Judged(Verdict.FAILED, _reasons(body))
    if doubt := next(_contradictions(run, body), None):
        return _Judged(Verdict.UNKNOWN, doubt)
    if answers.word(output.get("kind")) == "planner_skipped":
        why = _text(output.get("reason")) or "no reason given"
        return _Judged(Verdict.SKIPPED, f"TesterArmy's planner skipped the run: {why}")
    if result == "PASS":
        return _Judged(Verdict.PASSED, _remarks(body))
    result_text = "without a result" if result is None else f"with the result {str(output.get('result').value)[:60]!r}"
    return _Judged(Verdict.UNKNOWN, f"the run is completed, but {result_text}")


def _contradictions(run: RemoteRun, body: JsonReader) -> Iterator[str]:
    """Why a completed run is no pass although its result might say so."""
    output, memo = body.get("output"), JsonReader(run.memo)
    if not body.has("id"):
        yield "the answer does not say which run it is about"
    if memo.get("cancelled").value is True:
        yield "the create's answer names this run as cancelled, its status as completed"
    asked, reported = _test(run), _text(body.get("testId"))
    if asked is not None and reported is not None and not answers.same_id(asked, reported):
        yield f"TesterArmy tells of test {reported} instead"
    if error := _error(body):
        yield f"the run is completed, but with an error: {error}"
    if _result(output) == "PASS":
        yield from _against_pass(body)
    if answers.word(output.get("kind")) == "planner_skipped" and output.get("result").value is not None:
        yield "the run is completed and skipped at once"


def _against_pass(body: JsonReader) -> Iterator[str]:
    """Client (spec): a PASS has no issues but warnings, and each of its steps passed."""
    issues, steps, free = body.get("output").get("issues"), body.get("output").get("steps"), body.get("stepResults")
    if odd := answers.not_a_list(issues, steps, free):
        yield f"the result is PASS, but {odd}"
    bad = [issue for issue in issues.items_or_none() if not _is_warning(issue)]
    if bad:
        yield f"the result is PASS, but TesterArmy tells of an issue: {_issue_title(bad[0])}"
    failed = [step for step in steps.items_or_none() if _step_verdict(step) is not Verdict.PASSED or _has_error(step)]
    for step in [*failed, *filter(_is_bad, free.items_or_none())]:
        what, why = _text(step.get("title")) or "without a title", _failure(step)
        yield f"the result is PASS, but a step failed: {what}" + (f": {why}" if why else "")


def _has_error(step: JsonReader) -> bool:
    return answers.error_beside(step) is not None or _text(step.get("errorCode")) is not None


_WORDS, _FLAGS = ("status", "result", "outcome", "verdict"), ("success", "passed", "ok")


def _is_bad(step: JsonReader) -> bool:
    """Client (spec): `stepResults` are free objects. assumed: such a name, if any, is how one says how it went."""
    is_pass = all(answers.word(step.get(name)) in {"passed", "pass"} for name in _WORDS if step.has(name))
    return not is_pass or any(step.get(name).value is False for name in _FLAGS) or _has_error(step)


def _is_warning(issue: JsonReader) -> bool:
    return answers.word(issue.get("type")) == "warning"


def _step_verdict(step: JsonReader) -> Verdict:
    return _STEPS.get(answers.word(step.get("status")), Verdict.UNKNOWN)


def _reasons(body: JsonReader) -> str | None:
    """Why a test failed: the vendor's summary, the steps that failed, the issues, and what to do about set-up."""
    output = body.get("output")
    texts = [_text(output.get("description")), _error(body)]
    texts += [text for step in _steps(body) if _step_verdict(step) is not Verdict.PASSED and (text := _failure(step))]
    texts += [_issue_title(issue) for issue in list(output.get("issues").items_or_none())[:_MOST_SHOWN]]
    return _joined(texts)


def _remarks(body: JsonReader) -> str | None:
    """What is worth knowing of a test that passed: its warnings, and the vendor's own retries."""
    issues = list(body.get("output").get("issues").items_or_none())
    retried = body.get("autoRetryCount").number_or_none()
    texts: list[str | None] = [_issue_title(issue) for issue in issues[:_MOST_SHOWN]]
    if retried:
        texts.append(f"after {retried:g} {'retry' if retried == 1 else 'retries'} of TesterArmy's own")
    return _joined(texts)


def _joined(parts: Sequence[str | None]) -> str | None:
    """The texts, without those that another one repeats: a step's summary is often its error word for word."""
    texts = list(dict.fromkeys(filter(None, (text.rstrip(" .;") for text in parts if text))))
    return "; ".join(text for text in texts if not any(text in other for other in texts if other != text)) or None


# --- steps ------------------------------------------------------------------------------------------------------------


def _steps(body: JsonReader) -> list[JsonReader]:
    """assumed: `stepResults` holds the same steps, for runs whose output lacks them."""
    return list(body.get("output").get("steps").items_or_none()) or list(body.get("stepResults").items_or_none())


def _failure(step: JsonReader) -> str | None:
    """What went wrong in a step; a code of set-up or runtime with what to do about it."""
    what = _text(step.get("error")) or _text(step.get("summary"))
    code = _text(step.get("errorCode"))
    if code is None:
        return what
    code_text = f"{code}: {HINTS[code]}" if code in HINTS else code
    return f"{what} ({code_text})" if what else code_text


def _shown(body: JsonReader) -> Iterator[Step]:
    for index, step in enumerate(_steps(body), 1):
        verdict = _step_verdict(step)
        message = _text(step.get("summary")) if verdict is Verdict.PASSED else _failed_step(step)
        yield Step(
            title=_text(step.get("title")) or f"Step {index}",
            verdict=verdict,
            message=message,
            kind=_text(step.get("type")),
            duration_s=_step_seconds(step),
        )
    output = body.get("output")
    for issue in output.get("issues").items_or_none():
        # An issue is shown where its screenshot can be: among the steps, which never decide a verdict.
        verdict = Verdict.PASSED if _is_warning(issue) else Verdict.FAILED
        shot = _text(issue.get("screenshotUrl"))
        yield Step(title=_issue_title(issue), verdict=verdict, message=_issue_text(issue), screenshot_url=shot)
    for index, shot in enumerate(_screenshots(output), 1):
        yield Step(title=f"Screenshot {index}", verdict=Verdict.PASSED, screenshot_url=shot)


def _step_seconds(step: JsonReader) -> float | None:
    """Client (spec): both times are milliseconds since the recording began."""
    began, ended = (step.get(name).number_or_none() for name in ("startedAtMs", "completedAtMs"))
    return None if began is None or ended is None or ended < began else (ended - began) / 1000


def _failed_step(step: JsonReader) -> str | None:
    return _joined([_text(step.get("summary")), _failure(step)])


def _screenshots(output: JsonReader) -> Iterator[str]:
    """assumed: addresses; anything else in the list is not known to be one."""
    for element in output.get("screenshots").items_or_none():
        if (text := _text(element)) and text.startswith(("https://", "http://")):
            yield text


def _issue_title(issue: JsonReader) -> str:
    severity = issue.get("severity").number_or_none()
    level = "" if severity is None else f" (severity {severity:g})"
    name = _text(issue.get("name")) or _text(issue.get("description")) or "without a name"
    return f"{_text(issue.get('type')) or 'issue'}{level}: {name}"


def _issue_text(issue: JsonReader) -> str | None:
    named = [(name, _text(issue.get(key))) for name, key in _ISSUE]
    how = [text for element in issue.get("reproductionSteps").items_or_none() if (text := _text(element))]
    parts = [f"{name}: {text}" if name else text for name, text in named if text]
    numbered = " ".join(f"{index}. {text}" for index, text in enumerate(how, 1))
    return _joined([*parts, f"to reproduce: {numbered}" if numbered else None])


_ISSUE = (("", "description"), ("expected", "expectedBehavior"), ("actual", "actualBehavior"), ("at", "url"))

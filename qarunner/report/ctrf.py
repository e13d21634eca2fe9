"""The report in the Common Test Report Format (ctrf.io, specification 0.0.0), which many viewers read."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from qarunner import __version__
from qarunner.report.json import json_text
from qarunner.report.summary import GATE, CaseKind, EntrySummary, GateFailure, Summary
from qarunner.vendors.api import GOOD, Case, Step, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator


_STATUS = {
    CaseKind.PASSED: "passed",
    CaseKind.SKIPPED: "skipped",
    CaseKind.FAILURE: "failed",
    CaseKind.ERROR: "failed",
}
"""A reader that fails builds looks at `failed` alone: whatever fails this build is that, too."""
_STEP_STATUS = {
    Verdict.PASSED: "passed",
    Verdict.FLAKY: "passed",
    Verdict.FAILED: "failed",
    Verdict.BLOCKED: "failed",
    Verdict.SKIPPED: "skipped",
}
_MOST_STAND_INS = 1000
"""So many tests of an entry that are known as a number alone get an element each; the rest get one together."""


def render(summary: Summary) -> str:
    """The report as JSON text; no secret and no placeholder in it."""
    tests = [test for row in summary.entries for test in _tests(row)]
    tests += [_gate(failure) for failure in summary.gate]
    counts = dict.fromkeys(("passed", "failed", "pending", "skipped", "other"), 0)
    for test in tests:
        counts[str(test["status"])] += 1
    results = {
        "tool": {"name": "qarunner", "version": __version__},
        "summary": {
            "tests": len(tests),
            **counts,
            "start": _milliseconds(summary.started_at),
            "stop": _milliseconds(summary.finished_at),
        },
        "tests": tests,
        "environment": _environment(summary),
    }
    document = {"reportFormat": "CTRF", "specVersion": "0.0.0", "results": results}
    return json_text(document) + "\n"


def _milliseconds(timestamp: str) -> int:
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def _environment(summary: Summary) -> dict[str, str]:
    known = {
        "reportName": summary.name,
        "buildName": summary.run_id,
        "buildUrl": summary.ci.get("url"),
        "branchName": summary.git.get("branch"),
        "commit": summary.git.get("sha"),
        "repositoryName": summary.git.get("repository"),
    }
    return {name: value for name, value in known.items() if value}


def _tests(row: EntrySummary) -> Iterator[dict[str, object]]:
    """Those that are known one by one; of an entry that has numbers alone, one for each."""
    if row.cases:
        for case in row.cases:
            yield _test(row, case)
        return
    for verdict, number in row.counts.items():
        shown = range(1, min(number, _MOST_STAND_INS) + 1)
        names = [f"{row.entry.id} {verdict} {index}" if number > 1 else row.entry.id for index in shown]
        names += [f"{row.entry.id} {verdict}: {number - len(names)} more"] if number > len(names) else []
        yield from (_named(row, name, verdict, str(verdict), row.reason) for name in names)


def _test(row: EntrySummary, case: Case) -> dict[str, object]:
    message = None if case.verdict in GOOD else row.message(case)
    test = _named(row, case.name or case.id, case.verdict, case.raw_status or str(case.verdict), message)
    test["duration"] = round((case.duration_s or 0.0) * 1000)
    test["steps"] = [_step(step) for step in case.steps]
    pictures = [(step.title, "image/*", step.screenshot_url) for step in case.steps]
    test["attachments"] = [
        {"name": title, "contentType": kind, "path": path}
        for title, kind, path in (*pictures, ("video", "video/*", case.video_url))
        if path
    ]
    test["extra"] = {"id": case.id, **_extra(row, case.url), **case.ids}
    return {name: value for name, value in test.items() if value not in (None, [])}


def _named(row: EntrySummary, name: str, verdict: Verdict, raw: str, message: str | None) -> dict[str, object]:
    test: dict[str, object] = {
        "name": name or row.entry.id,
        "status": _STATUS[row.kind(verdict)],
        "duration": 0,
        "rawStatus": raw,
        "suite": [row.entry.id],
        "filePath": row.entry.origin.file,
        "line": row.entry.origin.line,
        "tags": list(row.entry.labels),
        "flaky": verdict is Verdict.FLAKY,
        "retries": max(0, row.attempt - 1),
        "extra": _extra(row, None),
    }
    return test if message is None or verdict in GOOD else {**test, "message": message}


def _extra(row: EntrySummary, url: str | None) -> dict[str, object]:
    """What CTRF has no field for."""
    extra = {
        "vendor": row.entry.vendor,
        "platform": row.entry.platform,
        "url": url or row.url,
        "attempt": row.attempt,
        "gating": row.gating,
    }
    return {name: value for name, value in extra.items() if value is not None}


def _gate(failure: GateFailure) -> dict[str, object]:
    return {"name": failure.name, "status": "failed", "duration": 0, "suite": [GATE], "message": failure.message}


def _step(step: Step) -> dict[str, str]:
    return {"name": step.title, "status": _STEP_STATUS.get(step.verdict, "other")}

"""The report in the Common Test Report Format (ctrf.io, specification 0.0.0), which many viewers read."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from qarunner import __version__
from qarunner.secret import mask
from qarunner.vendors.api import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.report.summary import EntrySummary, Summary
    from qarunner.vendors.api import Case, Step

_STATUS = {
    Verdict.PASSED: "passed",
    Verdict.FLAKY: "passed",
    Verdict.FAILED: "failed",
    Verdict.BLOCKED: "failed",
    Verdict.SKIPPED: "skipped",
}
"""What is neither is `other`, which no viewer counts as passed."""


def render(summary: Summary) -> str:
    """The report as JSON text; no secret and no placeholder in it."""
    tests = [test for row in summary.entries for test in _tests(row)]
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
    return mask(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


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
        for index in range(1, number + 1):
            name = f"{row.entry.id} {verdict} {index}" if number > 1 else row.entry.id
            yield _named(row, name, verdict, str(verdict))


def _test(row: EntrySummary, case: Case) -> dict[str, object]:
    found = _named(row, case.name or case.id, case.verdict, case.raw_status or str(case.verdict))
    found["duration"] = round((case.duration_s or 0.0) * 1000)
    found["message"] = case.message
    found["steps"] = [_step(step) for step in case.steps]
    found["extra"] = {"id": case.id, "url": case.url, "attempt": row.attempt}
    return {name: value for name, value in found.items() if value not in (None, [])}


def _named(row: EntrySummary, name: str, verdict: Verdict, raw: str) -> dict[str, object]:
    return {
        "name": name,
        "status": _STATUS.get(verdict, "other"),
        "duration": 0,
        "rawStatus": raw,
        "suite": row.entry.id,
        "filePath": row.entry.origin.file,
        "line": row.entry.origin.line,
        "tags": list(row.entry.labels),
        "flaky": verdict is Verdict.FLAKY,
        "retries": max(0, row.attempt - 1),
    }


def _step(step: Step) -> dict[str, str]:
    return {"name": step.title, "status": _STATUS.get(step.verdict, "other")}

"""Timeouts, retries and quarantines; a quarantine ends by itself, and people are told."""

from __future__ import annotations

from datetime import date

import pytest

from qarunner.diagnostics import Severity
from qarunner.entry import Quarantine, Retries
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import check_rows, expand
from qarunner.manifest.load import entry_of
from qarunner.manifest.rules import RuleResults, check_quarantines
from tests.matrices import manifest, only, rendered

TODAY = date(2026, 6, 10)
ENTRY = "matrix:\n  - { id: a, vendor: certyn, category_ids: [c], %s }\n"
QUARANTINE = "quarantine: { reason: flaky, owner: qa, until: %s }"


def quarantined(until: str, top: str = "") -> RuleResults:
    subject = manifest(top + ENTRY % (QUARANTINE % until))
    return check_quarantines(subject, expand(subject), TODAY)


def test_retries_have_defaults_one_by_one() -> None:
    subject = manifest(
        "vars: { n: 3 }\ndefaults: { retries: { infra: 0 } }\nmatrix:\n"
        "  - { id: a, vendor: certyn, category_ids: [c] }\n"
        '  - { id: b, vendor: certyn, category_ids: [c], retries: { failed: "{{ vars.n }}" } }\n'
    )
    result = [entry_of(subject, row, today=TODAY).policy.retries for row in rendered(subject).rows]
    assert result == [Retries(failed=0, infra=0), Retries(failed=3, infra=0)]
    plain = manifest(ENTRY % "name: x")
    assert entry_of(plain, expand(plain)[0], today=TODAY).policy.retries == Retries(failed=0, infra=1)


def test_an_estimate_reaches_the_entry() -> None:
    subject = manifest(ENTRY % "estimate: 12")
    assert entry_of(subject, expand(subject)[0], today=TODAY).estimate == 12


@pytest.mark.parametrize(
    ("until", "holds"), [("2026-06-11", True), ("2027-01-01", True), ("2026-06-10", False), ("2020-02-29", False)]
)
def test_a_quarantine_holds_before_its_day(until: str, holds: bool) -> None:  # noqa: FBT001  a table
    subject = manifest(ENTRY % (QUARANTINE % until))
    policy = entry_of(subject, expand(subject)[0], today=TODAY).policy
    assert policy.quarantine == (Quarantine(reason="flaky", owner="qa", until=until) if holds else None)
    assert policy.gating is not holds


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ("2026-06-17", "the quarantine ends in 7 days, on 2026-06-17: from then on it gates again"),
        ("2026-06-11", "the quarantine ends in 1 day, on 2026-06-11: from then on it gates again"),
        ("2026-06-10", "the quarantine ended on 2026-06-10: from then on it gates again"),
        ("2020-01-01", "the quarantine ended on 2020-01-01: from then on it gates again"),
    ],
)
def test_people_are_told_a_week_before_and_afterwards(until: str, message: str) -> None:
    results = quarantined(until)
    assert results.errors == ()
    warning = only(results.warnings)
    assert (warning.severity, warning.code, warning.message) == (Severity.WARNING, Code.QUARANTINE_ENDS, message)
    assert warning.place.line == 4
    assert warning.source is not None
    assert warning.source[warning.place.column - 1 :].startswith(until)


def test_nobody_is_told_earlier() -> None:
    assert quarantined("2026-06-18") == RuleResults((), ())


@pytest.mark.parametrize("until", ["2026-02-30", "2026-13-01", "0000-01-01"])
def test_a_day_that_does_not_exist_is_an_error(until: str) -> None:
    results = quarantined(until)
    assert only(results.errors).code == Code.NO_DAY
    assert results.warnings == ()


def test_more_quarantines_than_allowed_are_an_error_that_names_them() -> None:
    entries = "".join(
        f"  - {{ id: {name}, vendor: certyn, category_ids: [c], {QUARANTINE % until} }}\n"
        for name, until in (("a", "2026-12-31"), ("b", "2026-06-01"), ("c", "2027-01-01"))
    )
    for limit, wanted in ((2, None), (1, "2 entries are in quarantine, at most 1 may be: a, c")):
        subject = manifest(f"gate: {{ max_quarantined: {limit} }}\nmatrix:\n{entries}")
        errors = check_quarantines(subject, expand(subject), TODAY).errors
        assert [problem.message for problem in errors] == ([wanted] if wanted else [])
        assert [(str(place), text) for problem in errors for place, text in problem.related] == (
            [("qa-matrix.yml:5:49", "a is in quarantine"), ("qa-matrix.yml:7:49", "c is in quarantine")]
            if wanted
            else []
        )
        assert all(str(problem.place) == "qa-matrix.yml:3:26" for problem in errors)


def test_all_of_a_quarantine_is_required_wherever_it_comes_from() -> None:
    subject = manifest(
        "defaults: { quarantine: { owner: qa } }\nmatrix:\n"
        "  - id: a\n    vendor: certyn\n    category_ids: [c]\n    quarantine: { reason: flaky }\n"
        "    variants: { x: { quarantine: { until: 2026-12-31 } }, y: {} }\n"
    )
    problem = only(check_rows(subject, expand(subject)))
    assert problem.message == "missing key 'until'"
    assert problem.place.line == 8

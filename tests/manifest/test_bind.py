from __future__ import annotations

from datetime import date

from qarunner.diagnostics import Place
from qarunner.entry import Authentication, Platform, SelectionKind, Strategy, TargetKind
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import expand
from qarunner.manifest.load import entry_of
from tests.matrices import manifest, only, refusal, rendered

TODAY = date(2026, 6, 1)


def test_a_full_row_becomes_an_entry() -> None:
    subject = manifest("""
vars: { account: acc_1, minutes: 20 }
gate: { min_tests: 3 }
matrix:
  - id: checkout
    vendor: doksi
    name: Checkout
    labels: [smoke]
    test_ids: [abc, "12"]
    timeout: "{{ vars.minutes }}m"
    allow_failure: true
    variants:
      web:
        platform: web
        target: { web_url: "https://example.com" }
        artifacts: [{ type: authentication, strategy: specific, account_id: "{{ vars.account }}" }]
""")
    entry = entry_of(subject, rendered(subject).rows[0], today=TODAY)
    assert (entry.id, entry.vendor, entry.name, entry.labels) == ("checkout/web", "doksi", "Checkout", ("smoke",))
    assert (entry.policy.timeout_s, entry.policy.allow_failure) == (1200, True)
    assert entry.platform is Platform.WEB
    assert entry.target is not None
    assert (entry.target.kind, entry.target.value) == (TargetKind.WEB_URL, "https://example.com")
    assert entry.selection is not None
    assert (entry.selection.kind, entry.selection.ids) == (SelectionKind.TEST_IDS, ("abc", "12"))
    assert entry.artifacts == (Authentication(strategy=Strategy.SPECIFIC, account_id="acc_1"),)
    assert entry.origin == Place(file="qa-matrix.yml", line=15, column=7)
    assert subject.gate.min_tests == 3


def test_what_a_row_leaves_out_has_its_default() -> None:
    subject = manifest("matrix:\n  - { id: a, vendor: certyn, category_ids: [c] }\n")
    entry = entry_of(subject, expand(subject)[0], today=TODAY)
    assert (entry.name, entry.labels, entry.platform, entry.target, entry.artifacts) == (None, (), None, None, ())
    assert (entry.policy.timeout_s, entry.policy.allow_failure, entry.options) == (3600, False, {})
    assert entry.origin.line == 4
    assert subject.gate.min_tests == 1


def test_problems_of_the_schema_and_of_cross_references_come_together() -> None:
    problems = refusal(
        lambda: manifest(
            "env: { API_TOKEN: {} }\nnonsense: 1\n"
            "matrix:\n  - { id: a, vendor: doksi, test_ids: [x] }\n  - { id: a, vendor: doksi, test_ids: [y] }\n"
        )
    )
    codes = [problem.code for problem in problems]
    assert Code.SECRET_NAME in codes
    assert Code.DUPLICATE_ID in codes
    assert len(codes) == 3
    assert [problem.place.line for problem in problems] == [3, 4, 7]


def test_sections_of_the_wrong_type_are_left_to_the_schema() -> None:
    for text in ("env: [a]\nmatrix: 3", "env: { A: 3, B_TOKEN: [] }\nvendors: x\nmatrix: [1, { id: [] }, null]"):
        problems = refusal(lambda text=text: manifest(text))  # type: ignore[misc]
        assert problems
        assert not [problem for problem in problems if problem.code.startswith(("E3", "E4"))]


def test_the_brackets_of_placeholders_cannot_be_written() -> None:
    entry = "matrix:\n  - { id: a, vendor: doksi, test_ids: [x], name: %s }\n"
    for name in ("⟦secret:DOKSI_API_KEY⟧", r'"\u27e6secret:DOKSI_API_KEY\u27e7"'):
        problem = only(refusal(lambda name=name: manifest(entry % name)))  # type: ignore[misc]
        assert (problem.code, problem.place.line) == (Code.RESERVED, 4)
    problem = only(refusal(lambda: manifest(f"vars: {{ m: {{ ⟦: 1 }} }}\n{entry % 'n'}")))
    assert (problem.code, problem.place.line) == (Code.RESERVED, 3)

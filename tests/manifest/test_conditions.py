"""`if`: computed with values, true or false, and never by a secret."""

from __future__ import annotations

import json

import pytest

from qarunner.errors import ManifestError
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import check_rows, expand
from qarunner.manifest.rules import check_conditions, conditions
from qarunner.manifest.templates.env import Values, nothing_set
from qarunner.manifest.templates.evaluate import check_templates, evaluate
from tests.matrices import manifest, only, refusal

TOP = """env:
  LANG_: { default: en }
  SLOW: { format: boolean, default: "false" }
  TOKEN: { secret: true }
  UNSET: {}
vars: { wanted: "true", hidden: "{{ env.TOKEN }}" }
"""
BUILD = Values(git={"branch": "main", "tag": None}, ci={"event": "push", "pr_number": None})


def holds(condition: str, values: Values = BUILD) -> bool:
    subject = manifest(TOP + f"matrix:\n  - {{ id: a, vendor: certyn, category_ids: [c], if: {condition} }}\n")
    rows = expand(subject)
    assert check_rows(subject, rows) == ()
    assert check_templates(subject, rows) == ()
    if problems := check_conditions(subject, rows, evaluate(subject, rows, nothing_set(1))):
        raise ManifestError(problems)
    return conditions(subject, rows, values)["a"].holds


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("true", True),
        ("false", False),
        ("{{ git.branch == 'main' }}", True),
        ("{{ git.branch in ['main', 'next'] and env.LANG_ != 'de' }}", True),
        ("{{ env.SLOW }}", False),
        ("{{ not env.SLOW }}", True),
        ("{{ vars.wanted }}", True),
        ("{% if git.branch == 'main' %} True {% else %}false{% endif %}", True),
        ("{{ matrix.entry == 'a' }}", True),
        ("{{ git.tag == 'v1' }}", False),
        ("{{ git.tag != 'v1' }}", True),
        ("{{ git.tag is defined }}", False),
        ("{{ ci.pr_number and true }}", None),
        ("{{ matrix.variant == 'web' }}", False),
    ],
)
def test_conditions(condition: str, expected: bool | None) -> None:  # noqa: FBT001  a table
    written = condition if condition in {"true", "false"} else json.dumps(condition)
    if expected is None:
        assert only(refusal(lambda: holds(written))).code == Code.NO_VALUE
    else:
        assert holds(written) is expected


def test_a_tag_build_has_no_branch_and_is_not_main() -> None:
    tagged = Values(git={"branch": None, "tag": "v1"})
    assert holds("\"{{ git.branch == 'main' }}\"", tagged) is False
    assert holds('"{{ git.tag is defined }}"', tagged) is True


@pytest.mark.parametrize("condition", ["{{ git.branch }}", "{{ 1 }}", "{{ '' }}", "yes {{ git.branch }}"])
def test_what_is_neither_true_nor_false_is_an_error(condition: str) -> None:
    problem = only(refusal(lambda: holds(json.dumps(condition))))
    assert problem.code == Code.NO_CONDITION
    assert problem.message.startswith("if: expected true or false, got ")
    assert problem.place.line == 10


@pytest.mark.parametrize("condition", ["{{ env.TOKEN }}", "{{ env.TOKEN == 'x' }}", "{{ vars.hidden }}"])
def test_no_secret_decides(condition: str) -> None:
    subject = manifest(
        TOP + f"matrix:\n  - {{ id: a, vendor: certyn, category_ids: [c], if: {json.dumps(condition)} }}\n"
    )
    rows = expand(subject)
    problems = check_conditions(subject, rows, evaluate(subject, rows, nothing_set(1)))
    assert only(problems).code == Code.SECRET_CHANGED


def test_a_variable_that_is_not_set_is_told_at_the_condition() -> None:
    problem = only(refusal(lambda: holds("\"{{ env.UNSET == 'x' }}\"")))
    assert (problem.code, problem.related[0][0].line) == (Code.MISSING, 10)


@pytest.mark.parametrize("condition", ["git.branch == 'main'", "[true]", "1", '"true"'])
def test_what_is_no_template_is_refused_by_the_schema(condition: str) -> None:
    problem = only(
        refusal(
            lambda: manifest(TOP + f"matrix:\n  - {{ id: a, vendor: certyn, category_ids: [c], if: {condition} }}\n")
        )
    )
    assert "if: expected a template that is true or false" in problem.message
    assert problem.hint is not None

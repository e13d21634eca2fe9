from __future__ import annotations

import pytest

from qarunner.errors import UserError
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import expand, place_of
from qarunner.manifest.load import check_select, with_profile
from qarunner.manifest.templates.env import Values
from qarunner.manifest.templates.evaluate import check_templates
from tests.matrices import manifest, only, refusal, rendered

SHOP = """
env: { HOST: { default: a.example } }
vars: { t: 5m, m: { a: 1, b: 2 } }
gate: { min_tests: 5, on_skipped: fail }
defaults: { vendor: acme, timeout: "{{ vars.t }}", test_ids: [t], options: { a: 1 } }
profiles:
  nightly:
    select: [label:nightly, "id:b"]
    vars: { t: 1h, m: { b: 3 }, host: "{{ env.HOST }}" }
    defaults:
      category_ids: [all]
      options: { b: "{{ vars.m.a }}{{ vars.m.b }}" }
      name: "{{ vars.host }}"
    gate: { min_tests: 2 }
  plain: {}
matrix:
  - { id: a, labels: [nightly] }
  - { id: b, timeout: 2m }
  - { id: c }
"""


def test_a_profile_lies_over_the_top_and_an_entry_over_both() -> None:
    subject = with_profile(manifest(SHOP), "nightly")
    a, b, _ = rendered(subject).rows
    assert a.data["timeout"] == "1h"
    assert b.data["timeout"] == "2m"
    assert a.data["options"] == {"a": 1, "b": "13"}
    assert a.data["name"] == "a.example"
    assert "test_ids" not in a.data
    assert (subject.gate.min_tests, subject.gate.on_skipped) == (2, "fail")
    assert subject.select == ("label:nightly", "id:b")


def test_without_it_nothing_of_it_is_there() -> None:
    for subject in (manifest(SHOP), with_profile(manifest(SHOP), "plain")):
        a = rendered(subject).rows[0]
        assert (a.data["timeout"], a.data["options"], a.data["test_ids"]) == ("5m", {"a": 1}, ["t"])
        assert (subject.gate.min_tests, subject.select) == (5, ())


def test_values_are_found_in_the_profile() -> None:
    subject = with_profile(manifest(SHOP), "nightly")
    a = expand(subject)[0]
    assert a.layers == (("matrix", 0), ("profiles", "nightly", "defaults"), ("defaults",))
    lines = [
        place_of(subject, a, path).line for path in (("category_ids",), ("options", "b"), ("options", "a"), ("id",))
    ]
    assert lines == [13, 14, 7, 19]


def test_problems_in_the_vars_of_a_profile_stand_there() -> None:
    text = SHOP.replace("{{ env.HOST }}", "{{ env.HSOT }}")
    assert check_templates(manifest(text), expand(manifest(text))) == ()
    subject = with_profile(manifest(text), "nightly")
    problem = only(check_templates(subject, expand(subject)))
    assert str(problem.place) == "qa-matrix.yml:11:39"
    unset = with_profile(manifest(SHOP.replace("{ default: a.example }", "{}")), "nightly")
    missing = only(refusal(lambda: rendered(unset, Values())))
    assert [place.line for place, _ in missing.related] == [11]


def test_an_unknown_profile_offers_the_closest() -> None:
    with pytest.raises(UserError, match=r"--profile nigthly: qa-matrix\.yml has no such profile") as caught:
        with_profile(manifest(SHOP), "nigthly")
    assert caught.value.hint == "did you mean 'nightly'? Valid: nightly, plain"
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("select", "said", "place"),
    [
        ("[label:nightly, label:nigthly]", "select: 'label:nigthly' matches no entry", "10:29"),
        ("['foo:x']", "select 'foo:x': unknown term 'foo'", "10:14"),
        ("['!id:*']", "select chooses none of 3 entries", "10:13"),
    ],
)
def test_a_choice_of_nothing_is_a_problem(select: str, said: str, place: str) -> None:
    text = SHOP.replace('[label:nightly, "id:b"]', select)
    subject = with_profile(manifest(text), "nightly")
    problem = only(tuple(check_select(subject, expand(subject))))
    assert (problem.code, problem.message, str(problem.place)) == (Code.PROFILE, said, f"qa-matrix.yml:{place}")


def test_what_is_left_out_may_be_gone_already() -> None:
    subject = with_profile(manifest(SHOP.replace('[label:nightly, "id:b"]', "['!label:flaky']")), "nightly")
    assert list(check_select(subject, expand(subject))) == []


@pytest.mark.parametrize("key", ["env: { A: {} }", "vendors: {}", "matrix: []", "include: [a]", "selct: [a]"])
def test_a_profile_declares_nothing(key: str) -> None:
    refusal(lambda: manifest(SHOP.replace("plain: {}", f"plain: {{ {key} }}")))


def test_a_secret_stays_one_in_the_vars_of_a_profile() -> None:
    subject = with_profile(
        manifest(
            "env: { TOKEN: { secret: true } }\nvars: { a: x }\nprofiles: { p: { vars: { a: '{{ env.TOKEN }}' } } }\n"
            "matrix: [{ id: a, vendor: acme, tags: [t], name: '{{ vars.a | upper }}' }]"
        ),
        "p",
    )
    assert only(check_templates(subject, expand(subject))).code == Code.SECRET_CHANGED

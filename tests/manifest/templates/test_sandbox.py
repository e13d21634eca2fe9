from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.errors import ManifestError
from qarunner.manifest.codes import Code
from qarunner.manifest.templates.env import Resolved, Values
from qarunner.manifest.templates.evaluate import Computing
from qarunner.manifest.templates.expression import LONGEST_TEXT, TemplateError
from qarunner.manifest.templates.parse import parse
from qarunner.secret import placeholder
from tests.amount import examples, no_long_time
from tests.matrices import checked, name_of, only, refusal

TOP = "env: { A: { default: x }, KEY: { secret: true } }\nvars: { l: [a], m: { a: 1 } }"


@pytest.mark.parametrize(
    "template",
    [
        *("{% for i in [1] %}{% endfor %}", "{% set x = 1 %}", "{% include 'a' %}", "{% import 'a' as b %}"),
        *(
            "{% from 'a' import b %}",
            "{% extends 'a' %}",
            "{% macro m() %}{% endmacro %}",
            "{% block b %}{% endblock %}",
        ),
        *("{% call m() %}{% endcall %}", "{% filter upper %}x{% endfilter %}", "{% with a = 1 %}{% endwith %}"),
        *("{% autoescape true %}x{% endautoescape %}", "{{ range(3) }}", "{{ lipsum() }}", "{{ cycler('a') }}"),
        *("{{ joiner() }}", "{{ namespace() }}", "{{ dict(a=1) }}", "{{ self }}", "{{ loop }}", "{{ super() }}"),
        *("{{ 'a'.format(1) }}", "{{ 'a'.join(vars.l) }}", "{{ 'a'.center(9) }}", "{{ 'a'.split(*[1]) }}"),
        *("{{ vars.l.append(1) }}", "{{ vars.m.items() }}", "{{ vars.m.get('a') }}", "{{ ''.__class__ }}"),
        *("{{ ''.__class__.__mro__ }}", "{{ ('' | upper).__class__ }}", "{{ ''|attr('x') }}", "{{ 'a' | format }}"),
        *("{{ 'a' | center(9) }}", "{{ 'a' | indent(9) }}", "{{ vars.l | map('upper') }}", "{{ [1] | batch(1) }}"),
        *(
            "{{ 'a' | pprint }}",
            "{{ vars.l | random }}",
            "{{ env.A.__class__ }}",
            "{{ env.A._x }}",
            "{{ vars.l.__len__() }}",
        ),
    ],
)
def test_what_templates_do_not_have_is_refused_without_being_computed(template: str) -> None:
    assert checked(template, TOP)


@pytest.mark.parametrize(
    "template",
    [
        *(
            "{{ 'a' * 10**9 }}",
            "{{ 10**9 * 'a' }}",
            "{{ [1] * 10**9 }}",
            "{{ 9**9**9 }}",
            "{{ 2 ** 1000000000 }}",
            "{{ 2**999 }}",
        ),
        *("{{ 10**50 * 10**50 }}", "{{ '%c' % 10214 }}", "{{ '%1000000000d' % 1 }}", "{{ 1.5 | round(10**9) }}"),
        *("{{ ''['__class__'] }}", "{{ vars.l['append'] }}", "{{ vars.m['a']['real'] }}", "{{ 'x'['upper']() }}"),
    ],
)
def test_what_would_take_for_ever_or_lead_outside_fails_at_once(template: str) -> None:
    with no_long_time():
        assert refusal(lambda: name_of(template, TOP))


@pytest.mark.parametrize(
    "template",
    [
        *("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "{{ " + "-" * 5000 + "1 }}", "{{ " + "[" * 3000),
        *("{{ 1" + "+1" * 3000 + " }}", "{{ 1" + " | abs" * 1000 + " }}", "{{" * 4000, "{%" * 4000, "{{ '" * 2000),
        *(
            "{{ " + "9" * 7000 + " }}",
            "{{ x" * 4000 + "}}" * 4000,
            "{{ a" + ".b" * 3000 + " }}",
            "x" * 9000 + "{{ 1 }}",
        ),
    ],
)
def test_monsters_are_refused(template: str) -> None:
    with no_long_time():
        assert parse(template).expressions[0].flaws


def test_a_text_cannot_grow_beyond_its_bound() -> None:
    top = "env: { BIG: {} }"
    big = "b" * (LONGEST_TEXT // 2)
    assert name_of("{{ env.BIG ~ env.BIG }}", top, BIG=big) == big * 2
    for template in (
        "{{ env.BIG }}{{ env.BIG }}x",
        "{{ env.BIG + env.BIG + 'x' }}",
        "{{ env.BIG ~ env.BIG ~ 'x' }}",
        "{{ env.BIG | replace('b', 'xxx') }}",
        "{{ env.BIG | urlencode }}",
        "{{ [env.BIG, env.BIG] | join('-') }}",
        "{{ env.BIG | regex_replace('b', 'xxx') }}",
    ):
        problem = only(refusal(lambda template=template: name_of(template, top, BIG=big)))  # type: ignore[misc]
        assert problem.code == Code.TOO_MUCH


def test_a_variable_cannot_be_longer_than_a_text() -> None:
    problem = only(refusal(lambda: name_of("{{ env.BIG }}", "env: { BIG: {} }", BIG="x" * (LONGEST_TEXT + 1))))
    assert (problem.code, problem.place.line) == (Code.TOO_MUCH, 3)


FRAGMENTS = [
    *(
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        " ",
        "env.A",
        "env.KEY",
        "vars.l",
        "vars.m",
        "git.tag",
        "matrix.id",
        "'x'",
        "1",
    ),
    *(
        "|",
        "upper",
        "default('d')",
        "join",
        "urlencode",
        "b64encode",
        "replace('x','y')",
        "~",
        "+",
        "*",
        "==",
        "is",
        "defined",
    ),
    *(
        "if",
        "else",
        "endif",
        "(",
        ")",
        "[",
        "]",
        ".",
        ",",
        "not",
        "and",
        "-",
        "text",
        "0",
        ":",
        "{",
        "}",
        "raw",
        "endraw",
    ),
]


@examples(4)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(" ".join))
def test_any_text_gives_a_value_or_a_problem_and_never_shows_a_secret(text: str) -> None:
    try:
        value = name_of(text + " ", TOP, KEY="pssst-secret")
    except ManifestError as error:
        value = " ".join(f"{problem.message} {problem.hint}" for problem in error.diagnostics)
    assert "pssst" not in str(value)


@examples(2)
@given(st.text(alphabet=st.characters(exclude_characters="⟦⟧", exclude_categories=["Cs"]), min_size=1))
def test_any_value_of_a_variable_is_inserted_literally(value: str) -> None:
    top = "env: { B: {} }"
    assert name_of("<{{ env.B }}>", top, B=value) == f"<{value}>"
    assert name_of("<{{ env.B ~ '' }}>", top, B=value) == f"<{value}>"


@pytest.mark.parametrize(
    "template", ["{{ env.KEY | upper }}", "{{ env.KEY[:4] }}", "{{ env.KEY | lower }}", "{{ env.KEY.upper() }}"]
)
def test_a_changed_secret_is_noticed_even_if_nobody_checked_the_template(template: str) -> None:
    computing = Computing(
        Resolved({"KEY": placeholder("KEY")}, {"KEY": "pssst"}, (), placeholders=frozenset({"KEY"})), Values()
    )
    with pytest.raises(TemplateError, match="inserted whole"):
        computing.value(template, None)

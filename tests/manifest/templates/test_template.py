from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qarunner.manifest.codes import Code
from qarunner.manifest.expand import expand
from qarunner.manifest.load import examine, load
from qarunner.manifest.templates.env import Values
from qarunner.manifest.templates.evaluate import check_templates
from tests.matrices import checked, manifest, name_of, named, only, refusal, rendered, values

HERE = Path(__file__).parent
TOP = """
env: { URL: { format: uri }, LOCALE: { default: en }, KEY: { secret: true } }
vars: { account: acc_1, list: [a, b], deep: { er: x, ar: y }, auth: "Bearer {{ env.KEY }}" }
"""


# --- without values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        *("{{ env.URL }}", "{{env.URL}}/x", "{{ env['URL'] }}", "{{ vars.deep.er }}", "{{ vars.list[0] }}"),
        *(
            "{{ git.sha[:7] }}",
            "{{ git.tag | default('none') }}",
            "{{ matrix.id }}-{{ matrix.entry }}",
            "{{ ci.event }}",
        ),
        *("{% if git.branch == 'main' %}a{% elif git.tag is defined %}b{% else %}c{% endif %}", "{# nothing #}x"),
        *("{% raw %}{{ as it is }}{% endraw %}", "{{ git.branch.startswith('release/') }}", "{{ '}}' }}", "a }} b"),
        *("{{ 'a' if env.LOCALE == 'en' else 'b' }}", "{{ env.LOCALE ~ '-' ~ 1 }}", "{{- env.LOCALE -}}", "{ {x} }"),
    ],
)
def test_good_templates(template: str) -> None:
    assert checked(template, TOP) == ()


@pytest.mark.parametrize(
    ("template", "code", "said"),
    [
        ("{{ env.URL", Code.SYNTAX, "every `{{` needs its `}}`"),
        ("{{ }}", Code.SYNTAX, "Expected an expression"),
        ("{% if env.URL %}x", Code.SYNTAX, "endif"),
        ("{% foo %}", Code.SYNTAX, "unknown tag 'foo'"),
        ("{{ env.URLL }}", Code.UNDECLARED, "did you mean env.URL"),
        ("{{ env.HOME }}", Code.UNDECLARED, "declare it"),
        ("{{ env['HOME'] }}", Code.UNDECLARED, "env.HOME is not declared"),
        ("{{ vars.acount }}", Code.UNDEFINED_VAR, "did you mean 'account'?"),
        ("{{ vars.deep.el }}", Code.UNDEFINED_VAR, "valid: er, ar"),
        ("{{ vars.account.x }}", Code.UNDEFINED_VAR, "vars.account has no part 'x'"),
        ("{{ git.commit }}", Code.UNKNOWN_FIELD, "sha, short_sha, branch, tag, repository"),
        ("{{ ci.pr }}", Code.UNKNOWN_FIELD, "pr_number"),
        ("{{ matrix.locale }}", Code.UNKNOWN_FIELD, "id, entry, variant"),
        ("{{ git.sha.short }}", Code.UNKNOWN_FIELD, "git.sha is a single value"),
        ("{{ URL }}", Code.UNKNOWN_NAME, "env.URL"),
        ("{{ vasr.account }}", Code.UNKNOWN_NAME, "did you mean 'vars'?"),
        ("{{ env }}", Code.UNKNOWN_NAME, "env.NAME"),
        ("{{ git[env.LOCALE] }}", Code.UNKNOWN_NAME, "git.NAME"),
        ("{{ env.URL | uper }}", Code.UNKNOWN_FILTER, "did you mean 'upper'?"),
        ("{{ env.URL is odder }}", Code.UNKNOWN_FILTER, "did you mean 'odd'?"),
        ("{{ env.URL.starts('x') }}", Code.UNKNOWN_FILTER, "did you mean 'startswith'?"),
        ("{{ env.KEY | upper }}", Code.SECRET_CHANGED, "env.KEY is secret"),
        ("{{ vars.auth | lower }}", Code.SECRET_CHANGED, "vars.auth is secret"),
    ],
)
def test_bad_templates(template: str, code: Code, said: str) -> None:
    problem = only(checked(template, TOP))
    assert problem.code == code
    assert said in f"{problem.message} {problem.hint}"
    assert problem.place.line == 7


def test_all_problems_of_a_template_are_told_at_once() -> None:
    codes = {problem.code for problem in checked("{{ env.A }} {{ vars.b }} {{ git.sha | d2 }}", TOP)}
    assert codes == {Code.UNDECLARED, Code.UNDEFINED_VAR, Code.UNKNOWN_FILTER}


def test_a_problem_that_several_variants_share_is_told_once() -> None:
    subject = manifest(
        "matrix:\n  - { id: a, vendor: doksi, test_ids: [x], name: '{{ env.X }}', variants: { v: {}, w: {} } }\n"
    )
    assert only(check_templates(subject, expand(subject))).code == Code.UNDECLARED


def test_vars_can_use_the_environment_and_the_build_but_not_each_other() -> None:
    subject = named(
        "x", "env: { A: {} }\nvars: { a: '{{ env.A }}{{ git.sha }}', b: '{{ vars.a }}', c: '{{ matrix.id }}' }"
    )
    problems = check_templates(subject, expand(subject))
    assert [problem.code for problem in problems] == [Code.UNKNOWN_NAME, Code.UNKNOWN_NAME]
    assert "usable here: env, git, ci" in str(problems[0].hint)


def test_settings_of_vendors_do_not_know_the_row() -> None:
    subject = named(
        "x", "vars: { a: p }\nvendors: { certyn: { project: '{{ matrix.id }}', environment: '{{ vars.a }}' } }"
    )
    problem = only(check_templates(subject, expand(subject)))
    assert "matrix cannot be used in settings of vendors" in problem.message


def test_declarations_are_literal() -> None:
    subject = named("x", "env: { A: { default: '{{ git.sha }}' }, B: { pattern: 'x{{2}' } }")
    assert only(check_templates(subject, expand(subject))).code == Code.NO_TEMPLATE_HERE


def test_keys_are_literal() -> None:
    subject = manifest("""
vars: { m: { "{{ git.sha }}": 1 } }
matrix:
  - id: a
    vendor: acme
    test_ids: [x]
    options: { a: [{ "{{ x }}": 1 }] }
""")
    problems = check_templates(subject, expand(subject))
    assert [(problem.code, problem.place.line) for problem in problems] == [
        (Code.NO_TEMPLATE_HERE, 4),
        (Code.NO_TEMPLATE_HERE, 9),
    ]


# --- with values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ env.LOCALE }}", "en"),
        ("<{{ env.LOCALE }}|{{ vars.account }}>", "<en|acc_1>"),
        ("{{ vars.deep['er'] }}", "x"),
        ("{{ vars.list | join('+') }}", "a+b"),
        ("{{ git.tag | default('none') }}", "none"),
        ("{{ git.sha[:7] }}", "0123456"),
        ("pr {{ ci.pr_number }}", "pr 7"),
        ("{{ matrix.id }}", "a"),
        ("{{ matrix.variant | default('-') }}", "-"),
        ("{{ git.branch | slug }}", "release-1-2"),
        ("{{ 'a b/c?ü' | urlencode }}", "a%20b%2Fc%3F%C3%BC"),
        ("{{ 'a' | b64encode }}", "YQ=="),
        ("{{ git.branch | regex_replace('^release/(\\\\d+).*$', 'v\\\\1') }}", "v1"),
        ("{{ git.branch | replace('/', '-') | upper }}", "RELEASE-1.2"),
        ("{% if git.branch.startswith('release/') %}yes{% else %}no{% endif %}", "yes"),
        ("x{{ 1 == 1 }}y", "xtruey"),
        ("x{{ 'a' ~ true }}", "xatrue"),
        ("{{ vars.list | tojson }}", '["a", "b"]'),
        ("{{ 'x' }}\n", "x\n"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{{ 2.5 | round }} {{ 2.567 | round(2) }} {{ '3' | int + 1 }} {{ '1.5' | float }}", "2 2.57 4 1.5"),
        ("{{ ['b', 'a', 'b'] | unique | sort | join }}{{ 'abc' | reverse }}", "abcba"),
        ("{{ vars.list | first }}{{ vars.list | last }}{{ vars.list | length }}", "ab2"),
        ("{{ ' a ' | trim | title }}", "A"),
    ],
)
def test_results(template: str, expected: str) -> None:
    assert name_of(template, TOP, URL="https://example.com", KEY="abcdefgh") == expected


@pytest.mark.parametrize(
    ("template", "code", "said"),
    [
        ("{{ git.tag }}", Code.NO_VALUE, "{{ git.tag | default('…') }}"),
        ("v{{ git.tag }}", Code.NO_VALUE, "git.tag has no value here"),
        ("{{ git.tag | upper }}", Code.NO_VALUE, "git.tag has no value here"),
        ("{{ git.tag == 'v1' }}", Code.NO_VALUE, "git.tag has no value here"),
        ("{{ 'x' ~ git.repository }}", Code.NO_VALUE, "git.repository has no value here"),
        ("{{ matrix.variant }}", Code.NO_VALUE, "matrix.variant has no value here"),
        ("{{ vars.list[7] }}", Code.NO_VALUE, "no value"),
        ("{{ none }}", Code.NO_VALUE, "no value"),
        ("{{ 'x' if false }}", Code.NO_VALUE, "no else section"),
        ("{{ vars.list }}", Code.NOT_TEXT, "a list cannot stand in a text"),
        ("x{{ vars.deep }}", Code.NOT_TEXT, "an object cannot stand in a text"),
        ("{{ 'x' ~ vars.list }}", Code.NOT_TEXT, "a list cannot stand in a text"),
        ("{{ 'x'.upper }}", Code.NOT_TEXT, "parentheses"),
        ("{{ 1 / 0 }}", Code.FAILED, "division by zero"),
        ("{{ 'a' + 1 }}", Code.FAILED, "two texts"),
        ("{{ 'abc' | int }}", Code.FAILED, "not a whole number"),
        ("{{ 1e308 * 10 }}", Code.NOT_TEXT, "finite"),
        ("{{ git.branch | regex_replace('x', '\\1') }}", Code.FAILED, "write the backslash twice"),
        ("{{ git.branch | regex_replace('x', '\\\\1') }}", Code.FAILED, "invalid group reference"),
        ("{{ git.branch | regex_replace('(x+)+', '') }}", Code.TOO_MUCH, "repeated"),
    ],
)
def test_failures(template: str, code: Code, said: str) -> None:
    problem = only(refusal(lambda: name_of(template, TOP, URL="https://example.com", KEY="abcdefgh")))
    assert problem.code == code
    assert said in f"{problem.message} {problem.hint}"


@pytest.mark.parametrize("value", ["{{ 7*7 }}", "{% raw %}", "{# x #}", "'\"\\", "a\nb: c", "- x", "{{ env.KEY }}"])
def test_a_value_is_inserted_as_it_is(value: str) -> None:
    top = "env: { A: {}, KEY: { secret: true } }\nvars: { v: '<{{ env.A }}>' }"
    assert name_of("{{ env.A }}", top, A=value) == value
    assert name_of("x{{ env.A }}{{ vars.v }}", top, A=value) == f"x{value}<{value}>"
    assert name_of("{{ env.A ~ vars.v }}", top, A=value) == f"{value}<{value}>"
    assert name_of("{% if true %}{{ env.A }}{% endif %}", top, A=value) == value


def test_a_lone_expression_keeps_its_type() -> None:
    subject = manifest("""
vars: { yes: true, n: 3, f: 1.5, text: "3" }
matrix:
  - id: a
    vendor: acme
    test_ids: [x]
    options: { yes: "{{ vars.yes }}", n: "{{ vars.n }}", f: "{{vars.f}}", text: "{{ vars.text }}" }
""")
    assert rendered(subject).rows[0].data["options"] == {"yes": True, "n": 3, "f": 1.5, "text": "3"}


def test_rendering_leaves_everything_else_alone() -> None:
    subject = manifest("""
env: { A: { default: one } }
matrix:
  - id: a
    vendor: doksi
    labels: [x, y]
    test_ids: [t]
    name: "{{ env.A }} {{ matrix.variant }}"
    variants: { v: {}, w: { name: "plain" } }
  - { id: b, vendor: doksi, test_ids: [u] }
""")
    before = repr(subject.document.data)
    rows = expand(subject)
    done = rendered(subject).rows
    assert [row.data.get("name") for row in done] == ["one v", "plain", None]
    assert done[0].data["labels"] is rows[0].data["labels"]
    assert repr(subject.document.data) == before


def test_a_rendered_row_is_checked_again_where_it_was_written() -> None:
    subject = manifest("""
env: { PLATFORM: {} }
matrix:
  - id: a
    vendor: doksi
    test_ids: [t]
    platform: "{{ env.PLATFORM }}"
    target: { web_url: "https://example.com" }
""")
    problems = refusal(lambda: rendered(subject, values({"PLATFORM": "symbian"})))
    assert {problem.place.line for problem in problems} == {9}
    assert any("symbian" in problem.message for problem in problems)


def test_a_value_with_braces_is_no_template_for_the_second_check_either() -> None:
    subject = manifest("""
env: { URL: {} }
matrix:
  - { id: a, vendor: doksi, test_ids: [t], platform: web, target: { web_url: "{{ env.URL }}" } }
""")
    assert refusal(lambda: rendered(subject, Values(env={"URL": "{{x}}"})))


def test_settings_are_rendered_for_the_vendors_that_are_used() -> None:
    subject = manifest("""
env: { PROJECT: { default: shop }, OTHER: {} }
vendors: { certyn: { project: "{{ env.PROJECT }}" }, testerarmy: { project: "{{ env.OTHER }}" } }
matrix:
  - { id: a, vendor: certyn, category_ids: [c] }
""")
    assert rendered(subject).vendors == {"certyn": {"project": "shop"}}


def test_rendered_settings_are_checked_again() -> None:
    subject = manifest("""
env: { EVERY: {} }
vendors: { certyn: { poll: { every: "{{ env.EVERY }}" } } }
matrix:
  - { id: a, vendor: certyn, category_ids: [c] }
""")
    assert rendered(subject, values({"EVERY": "10s"})).vendors == {"certyn": {"poll": {"every": "10s"}}}
    problem = only(refusal(lambda: rendered(subject, values({"EVERY": "often"}))))
    assert problem.place.line == 5
    assert "often" in problem.message


def test_jinja2_is_imported_only_for_more_than_names() -> None:
    program = (
        "import sys; sys.path[:0] = ['..', '../..']; from matrices import *; "
        "name_of('{{ env.A }}/{{ vars.b.c }}{{ matrix.id }}', 'env: { A: { default: x } }\\nvars: { b: { c: 1 } }');"
        "print('jinja2' in sys.modules); name_of('{{ 1 }}x'); print('jinja2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=HERE)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("text", ['"{{ git.sha }}"', r'"\u007b{ git.sha }}"', '"{{ git.sha\n      }}"'])
def test_templates_are_found_however_they_are_written(text: str) -> None:
    file = f"version: 1\nname: shop\nmatrix:\n  - {{ id: a, vendor: doksi, test_ids: [x], name: {text} }}\n"
    for inputs in (file, file.encode()):
        done = rendered(load("qa-matrix.yml", inputs), Values(git={"sha": "0123"}))
        assert done.rows[0].data["name"] == "0123"


def test_a_file_without_templates_is_not_searched_for_them() -> None:
    subject = load("qa-matrix.yml", b"version: 1\nname: shop\nmatrix: [{ id: a, vendor: doksi, test_ids: [x] }]\n")
    assert not subject.templated
    assert rendered(subject).rows == expand(subject)


@pytest.mark.parametrize(
    "template", ["{{ 1/0 }}", "{{ 'x'.y }}", "{{ [1] }}", "x {{ 'abc' | int }}", "{{ 'a' * 10**9 }}"]
)
def test_what_reads_nothing_is_computed_before_any_value_is_known(template: str) -> None:
    assert only(checked(template)).code in {Code.FAILED, Code.NO_VALUE, Code.NOT_TEXT, Code.TOO_MUCH}


def test_what_reads_something_is_not() -> None:
    assert checked("{{ 1 / (vars.n - 1) }}", "vars: { n: 1 }") == ()


def test_numbers_are_text_where_only_text_can_stand() -> None:
    subject = manifest(
        "vars: { n: 3 }\nmatrix:\n  - { id: a, vendor: acme, test_ids: ['{{ vars.n }}'], name: '{{ vars.n }}', "
        "labels: ['{{ vars.n }}'], target: { target_id: '{{ vars.n }}' }, options: { n: '{{ vars.n }}' } }\n"
    )
    data = rendered(subject).rows[0].data
    assert (data["name"], data["labels"], data["target"]) == ("3", ["3"], {"target_id": "3"})
    assert (data["options"], data["test_ids"]) == ({"n": 3}, ["3"])


def test_a_section_that_is_a_template_is_a_problem_and_no_crash() -> None:
    for section in ("env", "vars", "vendors", "defaults", "profiles", "gate"):
        loaded = examine("qa-matrix.yml", f"version: 1\nname: a\n{section}: '{{{{ x }}}}'\nmatrix: [{{ id: a }}]\n")
        assert {problem.place.line for problem in loaded.problems} == {3}
        assert all(problem.place.line == 3 for problem in check_templates(loaded.manifest, ()))

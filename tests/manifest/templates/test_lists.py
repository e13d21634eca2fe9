"""Lists from outside: what a text becomes, where a list can stand, and that its items are never templates."""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace

from qarunner.diagnostics import Place
from qarunner.manifest import codes
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import expand
from qarunner.manifest.load import examine
from qarunner.manifest.rules import check_quarantines
from qarunner.manifest.templates.env import NoList, Values, listed, nothing_set
from qarunner.manifest.templates.evaluate import check_templates, evaluate, with_known
from qarunner.manifest.templates.expression import Steps
from tests.matrices import GIT, manifest, only, refusal, rendered, values

TOP = """
env: { TAGS: { format: list }, WORD: {}, SMOKE: { format: list, default: [a, b] }, TOKEN: { secret: true } }
vars: { two: [x, y], open: [x, "{{ env.WORD }}"], word: x, more: "{{ env.TAGS }}", map: { a: b } }
vendors: { certyn: { project: shop } }
"""


def tagged(tags: str, **keys: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return f"{TOP}matrix:\n  - {{ id: a, vendor: certyn, tags: {tags}{more} }}\n"


def tags_of(tags: str, **env: str) -> object:
    return rendered(manifest(tagged(tags)), values(env)).rows[0].data["tags"]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("smoke", ["smoke"]),
        ("smoke, login ,", ["smoke", "login"]),
        ("smoke\n\nlog in\r\n", ["smoke", "log in"]),
        (",,", []),
        ("", []),
        ('["a, b", "c"]', ["a, b", "c"]),
        (' [1, true, "x", 0.5]\n', [1, True, "x", 0.5]),
        ("[]", []),
        ("a[0]", ["a[0]"]),
    ],
)
def test_what_a_text_becomes(text: str, items: list[object]) -> None:
    assert listed(text) == items


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[smoke]", "no JSON list"),
        ('["a"', "no JSON list"),
        ('[["a"]]', "an item that is a list"),
        ('[{"a": 1}]', "no text, number, true or false"),
        ("[null]", "no text, number, true or false"),
        ("[NaN]", "no text, number, true or false"),
        ("[1e999]", "no text, number, true or false"),
        ("[" * 100_000, "no JSON list"),
        (f"[{'9' * 10_000}]", "no JSON list"),
    ],
)
def test_what_is_no_list(text: str, said: str) -> None:
    with pytest.raises(NoList, match=said):
        listed(text)


def test_a_list_stands_where_the_schema_takes_one() -> None:
    assert tags_of('"{{ env.TAGS }}"', TAGS="smoke,login") == ["smoke", "login"]
    assert tags_of('"{{ vars.two }}"') == ["x", "y"]
    assert tags_of('"{{ vars.more }}"', TAGS='["smoke"]') == ["smoke"]
    assert tags_of('"{{ env.TAGS if git.tag is defined else vars.two }}"', TAGS="z") == ["x", "y"]
    assert tags_of("\"{{ ['p', 'q'] }}\"") == ["p", "q"]
    assert tags_of("\"{{ 'p-q'.split('-') }}\"") == ["p", "q"]


def test_a_list_in_a_condition_and_in_filters() -> None:
    subject = manifest(tagged("[\"{{ env.TAGS | join('+') }}\"]", **{"if": "\"{{ 'smoke' in env.TAGS }}\""}))
    row = rendered(subject, values({"TAGS": "smoke,login"})).rows[0].data
    assert (row["tags"], row["if"]) == (["smoke+login"], True)


@pytest.mark.parametrize(
    ("keys", "code", "said"),
    [
        ({"tags": '["{{ env.TAGS }}"]'}, Code.NOT_TEXT, "without the brackets"),
        ({"tags": '["{{ vars.two }}"]'}, Code.NOT_TEXT, "without the brackets"),
        ({"name": '"{{ env.TAGS }}"'}, Code.NOT_TEXT, "join"),
        ({"name": '"{{ env.TAGS }} x"'}, Code.NOT_TEXT, "join"),
        ({"name": '"{{ vars.two }}"'}, Code.NOT_TEXT, "join"),
        ({"timeout": '"{{ vars.more }}"'}, Code.NOT_TEXT, "join"),
        ({"tags": '"{{ env.WORD }}"'}, Code.NO_LIST, "declare WORD: { format: list }"),
        ({"tags": '"{{ vars.word }}"'}, Code.NO_LIST, "a list around it"),
        ({"tags": '"{{ env.TOKEN }}"'}, Code.NO_LIST, "a list around it"),
        ({"tags": '"{{ matrix.id }}"'}, Code.NO_LIST, "a list around it"),
        ({"tags": '"{{ vars.map }}"'}, Code.NOT_TEXT, "tojson"),
        ({"if": '"{{ env.TAGS }}"'}, Code.NO_CONDITION, "'smoke' in env.NAME"),
        ({"quarantine": '"{{ env.WORD }}"'}, Code.NO_LIST, "vars.NAME"),
        ({"quarantine": '"{{ vars.two }}"'}, Code.NOT_TEXT, "cannot stand here"),
    ],
)
def test_what_stands_in_the_wrong_place_is_said_without_a_value(keys: dict[str, str], code: Code, said: str) -> None:
    tags = keys.pop("tags", "[a]")
    subject = manifest(tagged(tags, **keys))
    problem = only(evaluate(subject, expand(subject), nothing_set(1)).problems)
    assert problem.code == code
    assert said in f"{problem.message} {problem.hint}"
    assert problem.place.line == 8
    inputs = values({"TAGS": "smoke", "WORD": "w", "TOKEN": "s3cr3t-t0ken"}, "TOKEN@certyn")
    assert problem in evaluate(subject, expand(subject), inputs, later=False).problems


def test_the_items_of_a_whole_list_are_no_templates() -> None:
    subject = manifest(tagged('"{{ vars.open }}"'))
    problem = only(check_templates(subject, expand(subject)))
    assert (problem.code, problem.place.line, problem.place.column) == (Code.NO_TEMPLATE_HERE, 5, 32)
    assert problem.related[0][0].line == 8
    assert tags_of('["{{ vars.open[1] }}"]', WORD="w") == ["w"], "one of its items can be one"


@pytest.mark.parametrize("inputs", ["a,{{ env.WORD }}", '["{% raw %}"]', '["\\u007b{ x }}"]'])
def test_an_item_from_outside_is_no_template(inputs: str) -> None:
    problem = only(refusal(lambda: tags_of('"{{ env.TAGS }}"', TAGS=inputs)))
    assert problem.code == Code.BAD_VALUE
    assert "literal" in problem.message


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ('["\\ud800"]', Code.BAD_VALUE),
        ('["\\u27e6secret:TOKEN\\u27e7"]', Code.RESERVED),
        ('["\\u0067hp_0123456789abcdef0123"]', Code.LOOKS_SECRET),
        (f"[{'1,' * 40_000}1]", Code.TOO_MUCH),
    ],
)
def test_an_item_is_looked_at_like_a_text(inputs: str, code: Code) -> None:
    assert only(refusal(lambda: tags_of('"{{ env.TAGS }}"', TAGS=inputs))).code == code


@pytest.mark.parametrize(
    ("inputs", "code", "said"),
    [
        ("", codes.WRONG_SIZE, "an empty list"),
        ("a,a", codes.REPEATED, "twice"),
        ("[1]", codes.WRONG_TYPE, "got the number 1"),
    ],
)
def test_a_list_is_checked_as_if_it_stood_there(inputs: str, code: str, said: str) -> None:
    subject = manifest(tagged('"{{ env.TAGS }}"'))
    problem = only(refusal(lambda: rendered(subject, Values(overrides={"TAGS": inputs}))))
    assert (problem.code, problem.place) == (code, Place("qa-matrix.yml", 8, 36))
    assert said in problem.message
    assert "it is the value of {{ env.TAGS }}" in str(problem.hint)


def test_a_default_that_does_not_fit_is_found_without_a_value() -> None:
    text = "version: 1\nenv: { A: { format: list, default: %s, pattern: '[a-z]+' } }\nmatrix: [{ id: a }]\n"
    assert examine("m.yml", text % "[a, b]").problems == ()
    assert only(examine("m.yml", text % "'a,B'").problems).code == Code.BAD_DEFAULT
    assert only(examine("m.yml", text % "['{{ env.A }}']").problems).code == Code.BAD_DEFAULT


def test_what_var_gives_takes_the_place_of_a_list() -> None:
    subject = manifest(tagged('"{{ vars.two }}"'))
    assert rendered(subject, Values(overrides={"two": "p,q"})).rows[0].data["tags"] == ["p", "q"]
    place = Place("v.yml", 3, 6)
    wrong = Values(overrides={"two": "[p"}, places={"two": place})
    assert only(refusal(lambda: rendered(subject, wrong))).place == place


@pytest.mark.parametrize("name", ["WORD", "word"])
def test_a_list_of_a_file_is_no_text(name: str) -> None:
    subject = manifest(tagged("[a]"))
    inputs = Values(overrides={name: '["a"]'}, lists=frozenset({name}), places={name: Place("v.yml", 1, 7)})
    problem = only(refusal(lambda: rendered(subject, inputs)))
    assert (problem.code, problem.place.file) == (Code.BAD_VALUE, "v.yml")


def test_long_lists_in_many_rows_cost_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Steps, "BASE", Steps.BASE // 100)
    items = ", ".join(f"t{number}" for number in range(1000))
    axes = ", ".join(str(number) for number in range(60))
    subject = manifest(
        f"vars: {{ all: [{items}] }}\nvendors: {{ certyn: {{ project: shop }} }}\n"
        f"matrix:\n  - {{ id: a, vendor: certyn, tags: '{{{{ vars.all }}}}', axes: {{ n: [{axes}] }} }}\n"
    )
    rows = expand(subject)
    problems = evaluate(subject, rows, nothing_set(len(rows))).problems
    assert only(problems).code == Code.TOO_MUCH


# --- quarantine and allow_failure by expression -----------------------------------------------------------------------

FLAKY = """
env: { DAY: {}, WHO: { default: me } }
vars:
  flaky: { reason: r, owner: "{{ env.WHO }}", until: 2030-01-01 }
  open: { reason: r, owner: o, until: "{{ env.DAY }}" }
  half: { reason: r, until: 2030-01-01 }
gate: { max_quarantined: 1 }
matrix:
  - { id: a, vendor: docketqa, test_ids: [1], quarantine: "%s" }
  - { id: b, vendor: docketqa, test_ids: [2], quarantine: "%s" }
"""
BY_BRANCH = "{{ vars.flaky if git.branch == 'release/1.2' else false }}"


def test_a_quarantine_is_a_mapping_of_vars_or_false() -> None:
    subject = manifest(FLAKY % (BY_BRANCH, "{{ false }}"))
    rows = rendered(subject, replace(values({}), git=GIT)).rows
    assert rows[0].data["quarantine"] == {"reason": "r", "owner": "me", "until": "2030-01-01"}
    assert "quarantine" not in rows[1].data


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{ vars.open }}", Code.NO_TEMPLATE_HERE),
        ("{{ vars.half }}", codes.MISSING_KEY),
        ("{{ {'reason': 'r', 'owner': 'o', 'until': env.DAY} }}", codes.WRONG_TYPE),
        ("{{ vars.flaky.until }}", Code.NO_LIST),
        ("{{ true }}", codes.WRONG_TYPE),
    ],
)
def test_the_day_of_a_quarantine_stays_literal(text: str, code: str) -> None:
    loaded = examine("qa-matrix.yml", "version: 1\n" + FLAKY % (text, "{{ vars.flaky }}"))
    rows = evaluate(loaded.manifest, expand(loaded.manifest), replace(values({"DAY": "2099-01-01"}), git=GIT))
    assert code in {problem.code for problem in (*loaded.problems, *rows.problems)}


def test_quarantines_by_expression_are_counted_as_far_as_they_are_known() -> None:
    subject = manifest(FLAKY % (BY_BRANCH, "{{ vars.flaky }}"))
    rows, today = expand(subject), date(2029, 12, 30)
    known = with_known(subject, rows, replace(values({}), git=GIT), "quarantine")
    assert [problem.code for problem in check_quarantines(subject, known, today).errors] == [Code.QUARANTINED]
    unknown = check_quarantines(subject, evaluate(subject, rows, nothing_set(2)).rows, today)
    assert unknown.errors == ()
    assert [problem.code for problem in unknown.warnings] == [Code.QUARANTINE_ENDS]

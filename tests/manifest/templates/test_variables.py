from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from qarunner.diagnostics import Severity
from qarunner.manifest.advice import check_spending
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import expand
from qarunner.manifest.rules import conditions
from qarunner.manifest.templates.env import (
    Names,
    Values,
    check_key_names,
    misspelt,
    named_like_secret,
    shaped_like_secret,
)
from qarunner.manifest.templates.evaluate import render
from tests.amount import no_long_time
from tests.matrices import checked, manifest, name_of, named, only, refusal, rendered, values

KEYS = {"doksi": "DOKSI_API_KEY", "docketqa": "DOCKET_API_KEY", "certyn": "CERTYN_API_KEY"}


# --- values -----------------------------------------------------------------------------------------------------------


SOURCES = ["overrides", "QARUNNER_VAR_A", "A, which is named", "files", "default"]


@pytest.mark.parametrize("first", range(len(SOURCES)))
def test_the_first_source_that_has_a_value_wins(first: int) -> None:
    """Each source has a value of its own name; those before `first` have none."""
    there = SOURCES[first:]
    subject = named("{{ env.A }}", "env: { A: { default: default } }")
    env = {name.partition(",")[0]: name for name in there if "A" in name}
    inputs = Values(
        env=env,
        names=Names(("A",)),
        files={"A": "files"} if "files" in there else {},
        overrides={"A": "overrides"} if "overrides" in there else {},
    )
    assert rendered(subject, inputs).rows[0].data["name"] == there[0]


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{ env.A }}", "new"),
        ("{{ env.B }}", "b"),
        ("{{ env.A }} {{ env.B }}", "new b"),
        ("{{ vars.a }}", "<new>"),
        ("{{ vars.b }}", "<b>"),
        ("{{ vars.c }}", "other"),
        ("{{ vars[env.B] }}", "<b>"),
        ("{{ vars[env.B ~ env.B] }}", "other"),
        ("{{ env.FLAG }}", "true"),
        ("{{ env.SECRET }}", "⟦secret:SECRET⟧"),
        ("{{ git.branch | default('none') }}", "none"),
    ],
)
def test_a_value_takes_the_place_of_one_that_the_file_alone_gives(template: str, name: str) -> None:
    subject = named(
        template,
        """
env: { A: { default: old }, B: { default: b }, FLAG: { format: boolean, default: "false" }, SECRET: { secret: true } }
vars: { a: "<{{ env.A }}>", b: "<{{ env.B }}>", c: here, bb: same }
""",
    )
    inputs = values({"SECRET": "s3cr3t-value"}, "SECRET@doksi")
    overrides = {"A": "new", "c": "other", "bb": "other", "FLAG": "true"}
    assert rendered(subject, replace(inputs, overrides=overrides)).rows[0].data["name"] == name


@pytest.mark.parametrize("empty", [{"A": ""}, {"QARUNNER_VAR_A": ""}])
def test_an_empty_variable_of_the_environment_is_not_set(empty: dict[str, str]) -> None:
    subject = named("<{{ env.A }}>", "env: { A: { default: d } }")
    assert rendered(subject, values(empty)).rows[0].data["name"] == "<d>"


@pytest.mark.parametrize("inputs", [Values(overrides={"A": ""}), Values(files={"A": ""})])
def test_an_empty_value_that_somebody_gives_is_a_value(inputs: Values) -> None:
    subject = named("<{{ env.A }}>", "env: { A: { default: d } }")
    assert rendered(subject, inputs).rows[0].data["name"] == "<>"


def test_an_empty_default_is_a_default() -> None:
    assert name_of("<{{ env.A }}>", "env: { A: { default: '' } }") == "<>"


# --- what the pipeline names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("default", [None, "d", "''"])
def test_a_variable_that_nobody_names_is_not_read(default: str | None) -> None:
    subject = named("{{ env.DB_PW }}", f"env: {{ DB_PW: {{ {'' if default is None else f'default: {default}'} }} }}")
    problem = only(refusal(lambda: rendered(subject, Values(env={"DB_PW": "pssst"}))))
    assert (problem.code, problem.place.line) == (Code.NOT_NAMED, 3)
    assert "pssst" not in f"{problem.message}{problem.hint}"
    for way in ("--env DB_PW", "QARUNNER_ENV=DB_PW", "QARUNNER_VAR_DB_PW=", "--var DB_PW="):
        assert way in str(problem.hint)
    assert ("--env '!DB_PW'" in str(problem.hint)) is (default is not None)


def test_what_the_pipeline_gives_permits_that_value_alone() -> None:
    subject = named("{{ env.A }}", "env: { A: {} }")
    for inputs in (
        Values(env={"A": "not meant"}, overrides={"A": "meant"}),
        Values(env={"A": "not meant"}, files={"A": "meant"}),
        Values(env={"A": "not meant", "QARUNNER_VAR_A": "meant"}),
    ):
        assert rendered(subject, inputs).rows[0].data["name"] == "meant"


def test_a_variable_that_is_not_meant_is_as_if_it_were_not_set() -> None:
    inputs = Values(env={"A": "x"}, names=Names(("A", "!A")))
    assert rendered(named("{{ env.A }}", "env: { A: { default: d } }"), inputs).rows[0].data["name"] == "d"
    assert only(refusal(lambda: rendered(named("{{ env.A }}", "env: { A: {} }"), inputs))).code == Code.MISSING
    secret = values({"TOKEN": "t"}, "TOKEN@doksi")
    left_out = replace(secret, names=Names(("!TOKEN",)))
    subject = named("{{ env.TOKEN }}", "env: { TOKEN: { secret: true } }")
    assert only(refusal(lambda: rendered(subject, left_out))).code == Code.MISSING


def test_only_what_the_rows_use_has_to_be_named() -> None:
    assert rendered(named("x", "env: { A: {} }"), Values(env={"A": "x"})).env == {}


@pytest.mark.parametrize(
    ("words", "named_ones"),
    [
        (("A",), {"A"}),
        (("SHOP_*",), {"SHOP_A", "SHOP_B"}),
        (("SHOP_*", "!SHOP_B"), {"SHOP_A"}),
        (("!SHOP_*", "SHOP_A", "A"), {"A"}),
        (("SHOP_?", "a"), {"SHOP_A", "SHOP_B"}),
        ((), set()),
    ],
)
def test_names_and_globs(words: tuple[str, ...], named_ones: set[str]) -> None:
    names = Names(words)
    assert {name for name in ("A", "SHOP_A", "SHOP_B", "SHOPS") if names.named(name)} == named_ones


def test_a_variable_that_is_a_condition_has_to_be_named_as_well() -> None:
    subject = manifest("""
env: { DEEP: { format: boolean, default: false } }
matrix:
  - { id: a, vendor: doksi, test_ids: [x], if: "{{ env.DEEP }}" }
""")
    rows = expand(subject)
    assert only(refusal(lambda: conditions(subject, rows, Values(env={"DEEP": "true"})))).code == Code.NOT_NAMED
    assert conditions(subject, rows, values({"DEEP": "true"}))["a"].holds


@pytest.mark.parametrize("name", ["QARUNNER_SEAL_KEY", "QARUNNER_ENV", "qarunner_x"])
def test_no_template_reads_a_variable_of_qarunner_itself(name: str) -> None:
    assert only(refusal(lambda: named("x", f"env: {{ {name}: {{ secret: true }} }}"))).code == Code.OWN_VARIABLE


def test_an_entry_of_vars_takes_its_value_from_the_pipeline_too() -> None:
    subject = named("{{ vars.host }}", "vars: { host: staging }")
    assert rendered(subject, Values(env={"QARUNNER_VAR_host": "de"})).rows[0].data["name"] == "de"
    bad = Values(env={"QARUNNER_VAR_host": "ghp_" + "a1B2" * 9})
    assert only(refusal(lambda: rendered(subject, bad))).code == Code.LOOKS_SECRET


def test_a_misspelt_value_is_remarked_and_another_project_s_is_not() -> None:
    environ = {"QARUNNER_VAR_STAGNG_URL": "x", "QARUNNER_VAR_OTHER": "y", "QARUNNER_VAR_STAGING_URL": "z"}
    remark = list(misspelt(["STAGING_URL"], environ))
    assert len(remark) == 1
    assert "QARUNNER_VAR_STAGNG_URL" in remark[0]
    assert "did you mean QARUNNER_VAR_STAGING_URL?" in remark[0]


def test_every_missing_variable_is_told_at_its_declaration_with_its_use() -> None:
    subject = named("{{ env.A }}{{ env.B }}{{ env.C }}", "env:\n  A: {}\n  B:\n  C: { description: the shop }\n  D: {}")
    problems = refusal(lambda: rendered(subject, Values(env={"B": ""})))
    assert [(problem.message, problem.place.line) for problem in problems] == [
        ("A is not set", 4),
        ("B is set but empty", 5),
        ("C is not set (the shop)", 6),
    ]
    assert "QARUNNER_VAR_A=…" in str(problems[0].hint)
    assert "--var A=…" in str(problems[0].hint)
    assert problems[0].related[0][0].line == 9
    assert all(problem.severity is Severity.ERROR for problem in problems)


def test_only_what_the_chosen_rows_use_has_to_be_set() -> None:
    subject = manifest("""
env: { A: {}, B: {}, C: {}, D: {} }
vars: { b: "{{ env.B }}", c: "{{ env.C }}" }
matrix:
  - { id: a, vendor: doksi, test_ids: [x], name: "{{ vars.b }}" }
  - { id: d, vendor: doksi, test_ids: [x], name: "{{ env.D }}" }
""")
    done = render(subject, expand(subject)[:1], values({"B": "b"}))
    assert done.rows[0].data["name"] == "b"


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (
            "format: uri",
            ["https://a.b/c?d=e", "http://localhost:8080", "app://x"],
            ["a.b", "https://", "http://a b", "http://a:x"],
        ),
        ("format: hostname", ["a", "a-b.example.com"], ["-a", "a..b", "a_b", "a" * 64]),
        ("format: date", ["2026-01-31"], ["2026-02-30", "20260131", "2026-1-1"]),
        ("format: integer", ["0", "-12"], ["1.0", "01", "x", "1_0", "9" * 30]),
        ("format: number", ["1.5", "1e3", "-2"], ["1.", ".5", "nan", "1e999"]),
        ("format: boolean", ["true", "false"], ["True", "1", "yes"]),
        ("enum: [en, 1]", ["en", "1"], ["de", "e"]),
        ("pattern: 'v[0-9]+'", ["v12"], ["v", "xv1", "v1x", "v1\n"]),
    ],
)
def test_values_are_checked_against_their_declaration(rule: str, good: list[str], bad: list[str]) -> None:
    top = f"env: {{ A: {{ {rule} }} }}"
    for text in good:
        assert str(name_of("<{{ env.A }}>", top, A=text))
    for text in bad:
        problem = only(refusal(lambda text=text: name_of("<{{ env.A }}>", top, A=text)))  # type: ignore[misc]
        assert (problem.code, problem.place.line) == (Code.BAD_VALUE, 3)
        assert repr(text)[1:10] in problem.message


def test_formats_give_templates_their_type() -> None:
    top = "env: { N: { format: integer }, F: { format: number }, B: { format: boolean } }"
    values = {"N": "41", "F": "1.5", "B": "false"}
    assert name_of("<{{ env.N + 1 }}|{{ env.F * 2 }}|{{ 'on' if env.B else 'off' }}|{{ env.B }}>", top, **values) == (
        "<42|3.0|off|false>"
    )


def test_overrides_have_to_be_declared() -> None:
    subject = named("{{ env.STAGING_URL }}", "env: { STAGING_URL: { default: x } }")
    problem = only(refusal(lambda: rendered(subject, Values(overrides={"STAGING_ULR": "y"}))))
    assert problem.code == Code.UNKNOWN_OVERRIDE
    assert "did you mean 'STAGING_URL'?" in str(problem.hint)


@pytest.mark.parametrize("rule", ["default: x, enum: [en]", "default: x, format: integer", "default: x, pattern: y"])
def test_a_default_has_to_fit(rule: str) -> None:
    assert only(refusal(lambda: named("x", f"env: {{ A: {{ {rule} }} }}"))).code == Code.BAD_DEFAULT


def test_a_dangerous_pattern_is_refused() -> None:
    assert only(refusal(lambda: named("x", "env: { A: { pattern: '(a+)+' } }"))).code == Code.BAD_PATTERN


def test_defaults_are_text_as_yaml_writes_them() -> None:
    assert name_of("<{{ env.A }}{{ env.B }}>", "env: { A: { default: 3 }, B: { default: true } }") == "<3true>"


# --- secrets ----------------------------------------------------------------------------------------------------------

SECRET = "env: { PREVIEW: { secret: true } }"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ env.PREVIEW }}", "⟦secret:PREVIEW⟧"),
        ("?t={{ env.PREVIEW | urlencode }}", "?t=⟦secret:PREVIEW:urlencode⟧"),
        ("Basic {{ env.PREVIEW | b64encode }}", "Basic ⟦secret:PREVIEW:b64encode⟧"),
        ("{{ 'a b' ~ env.PREVIEW }}", "a b⟦secret:PREVIEW⟧"),
        ("{{ ('a b' ~ env.PREVIEW) | urlencode }}", "a%20b⟦secret:PREVIEW:urlencode⟧"),
        ("{{ env.PREVIEW | default('x') }}", "⟦secret:PREVIEW⟧"),
        ("{{ env.PREVIEW if true else 'x' }}", "⟦secret:PREVIEW⟧"),
        ("{% if true %}{{ env.PREVIEW }}{% endif %}", "⟦secret:PREVIEW⟧"),
    ],
)
def test_a_secret_is_a_placeholder(template: str, expected: str) -> None:
    assert name_of(template, SECRET, PREVIEW="s3cr3t") == expected


@pytest.mark.parametrize(
    "template",
    [
        *("{{ env.PREVIEW | upper }}", "{{ env.PREVIEW | lower }}", "{{ env.PREVIEW[0] }}", "{{ env.PREVIEW[:3] }}"),
        *(
            "{{ env.PREVIEW == 'x' }}",
            "{{ 'x' in env.PREVIEW }}",
            "{{ 'a' if env.PREVIEW else 'b' }}",
            "{{ env.PREVIEW is defined }}",
        ),
        *("{{ [env.PREVIEW] | join }}", "{{ env.PREVIEW | replace('s', 't') }}", "{{ env.PREVIEW | length }}"),
        *("{{ env.PREVIEW | tojson }}", "{{ env.PREVIEW.lower() }}", "{{ env.PREVIEW | urlencode | upper }}"),
        *("{% if env.PREVIEW %}x{% endif %}", "{{ {'a': env.PREVIEW} | tojson }}", "{{ not env.PREVIEW }}"),
    ],
)
def test_a_secret_cannot_be_changed_or_looked_at(template: str) -> None:
    assert only(checked(template, SECRET)).code == Code.SECRET_CHANGED


@pytest.mark.parametrize(
    "template",
    [
        "{{ env.PREVIEW | b64encode | urlencode }}",
        "{{ ('u:' ~ env.PREVIEW) | b64encode }}",
        "{{ vars.auth | b64encode }}",
    ],
)
def test_two_encodings_of_a_secret_are_refused_at_the_latest_when_rendering(template: str) -> None:
    top = f"{SECRET}\nvars: {{ auth: 'u:{{{{ env.PREVIEW }}}}' }}"
    assert only(refusal(lambda: name_of(template, top, PREVIEW="s3cr3t"))).code == Code.SECRET_CHANGED


def test_the_text_of_used_secrets_is_handed_over() -> None:
    subject = named("{{ env.A_TOKEN }}", "env: { A_TOKEN: { secret: true }, B_TOKEN: { secret: true } }")
    inputs = values({"A_TOKEN": "a", "B_TOKEN": "b"}, "A_TOKEN@doksi", "B_TOKEN@doksi")
    assert rendered(subject, inputs).secrets == {"A_TOKEN": "a"}


@pytest.mark.parametrize("allow", ["X@doksi", "PREVIEW", "X"])
def test_a_secret_has_to_be_allowed_with_its_destination(allow: str) -> None:
    subject = named("{{ env.PREVIEW }}", SECRET)
    problem = only(refusal(lambda: rendered(subject, values({"PREVIEW": "s3cr3t"}, allow))))
    assert (problem.code, problem.place.line) == (Code.NOT_ALLOWED, 5)
    assert "--allow-secret PREVIEW@doksi" in str(problem.hint)
    assert "QARUNNER_ALLOW_SECRETS=PREVIEW@doksi" in str(problem.hint)
    assert ("permits an api_key_env alone" in str(problem.hint)) is (allow == "PREVIEW")


@pytest.mark.parametrize("allow", ["LOGIN@shop.example", "LOGIN@doksi", "LOGIN"])
@pytest.mark.parametrize(
    "inputs",
    [
        {"env": {"LOGIN": "s3cr3t"}, "names": Names(("LOGIN",))},
        {"env": {"QARUNNER_VAR_LOGIN": "s3cr3t"}},
        {"overrides": {"LOGIN": "s3cr3t"}},
        {"files": {"LOGIN": "s3cr3t"}},
    ],
)
def test_what_the_pipeline_allows_as_a_secret_is_one_whatever_the_manifest_says(
    allow: str, inputs: dict[str, Any]
) -> None:
    """Else the change of one line takes a secret out of its binding."""
    plain = Values(**inputs, allow_secrets=frozenset({allow}))
    problem = only(refusal(lambda: rendered(named("{{ env.LOGIN }}", "env: { LOGIN: {} }"), plain)))
    assert (problem.code, "write LOGIN: { secret: true }" in str(problem.hint)) == (Code.SECRET_NAME, True)
    if "files" not in inputs and "names" not in inputs:
        problem = only(refusal(lambda: rendered(named("{{ vars.LOGIN }}", "vars: { LOGIN: x }"), plain)))
        assert (problem.code, problem.place.line) == (Code.SECRET_NAME, 3)


@pytest.mark.parametrize(
    ("name", "env"),
    [("PREVIEW_TOKEN", ""), ("apiKey", ""), ("PREVIEW", "env: { PREVIEW: { secret: true } }\n")],
)
def test_an_entry_of_vars_takes_no_secret_from_the_pipeline(name: str, env: str) -> None:
    subject = named(f"{{{{ vars.{name} }}}}", f"{env}vars: {{ {name}: x }}")
    assert rendered(subject, Values()).rows[0].data["name"] == "x"
    for inputs in (Values(env={f"QARUNNER_VAR_{name}": "s3cr3t"}), Values(overrides={name: "s3cr3t"})):
        problems = refusal(lambda inputs=inputs: rendered(subject, inputs))  # type: ignore[misc]
        assert [problem.code for problem in problems] == [Code.SECRET_NAME]
        assert "s3cr3t" not in str(problems[0])


def test_a_secret_that_is_not_allowed_is_told_beside_other_problems() -> None:
    subject = named("{{ env.PREVIEW }}{{ env.A }}", "env: { PREVIEW: { secret: true }, A: {} }")
    problems = refusal(lambda: rendered(subject, values({"PREVIEW": "s3cr3t"})))
    assert {problem.code for problem in problems} == {Code.NOT_ALLOWED, Code.MISSING}


def test_a_secret_that_is_read_and_not_sent_has_to_be_allowed_too() -> None:
    subject = named("{{ 'x' if true else env.PREVIEW }}", SECRET)
    assert only(refusal(lambda: rendered(subject, values({"PREVIEW": "s3cr3t"})))).code == Code.NOT_ALLOWED


def test_many_rows_with_one_secret_make_one_problem() -> None:
    row = "  - {{ id: r{}, vendor: doksi, test_ids: [x], name: '{{{{ env.PREVIEW }}}}' }}\n"
    subject = manifest(f"{SECRET}\nmatrix:\n" + "".join(row.format(number) for number in range(50)))
    assert only(refusal(lambda: rendered(subject, values({"PREVIEW": "s3cr3t"})))).code == Code.NOT_ALLOWED


def test_the_value_of_a_secret_that_is_not_allowed_is_not_looked_at() -> None:
    subject = named("{{ env.PREVIEW }}", "env: { PREVIEW: { secret: true, pattern: 'a.*' } }")
    refusals = [refusal(lambda text=text: rendered(subject, Values(env={"PREVIEW": text}))) for text in ("abc", "xyz")]  # type: ignore[misc]
    assert refusals[0] == refusals[1]


def test_a_part_of_vars_is_as_secret_as_what_is_in_it() -> None:
    top = f"{SECRET}\nvars: {{ m: {{ a: 'x{{{{ env.PREVIEW }}}}', b: c }}, l: ['{{{{ env.PREVIEW }}}}'] }}"
    assert name_of("{{ vars.m.a }}{{ vars.m.b | upper }}", top, PREVIEW="s3cr3t") == "x⟦secret:PREVIEW⟧C"
    for template in ("{{ vars.m.a | upper }}", "{{ vars.m | tojson }}", "{{ vars.l | join }}", "{{ vars[matrix.id] }}"):
        assert only(checked(template, top)).code == Code.SECRET_CHANGED


@pytest.mark.parametrize("pair", [("{{ vars.b }}", "{{ vars.a }}"), ("{{ vars.a }}", "x"), ("{{ matrix.id }}", "x")])
def test_values_of_vars_that_read_each_other_are_named_and_no_circle(pair: tuple[str, str]) -> None:
    problems = checked("{{ vars.a }}", "vars: {{ a: '{}', b: '{}' }}".format(*pair))
    assert {problem.code for problem in problems} == {Code.UNKNOWN_NAME}


def test_a_secret_that_no_row_uses_needs_nothing() -> None:
    assert rendered(named("x {{ 1 }}", SECRET)).secrets == {}


def test_a_secret_that_reaches_a_row_through_vars_has_to_be_allowed() -> None:
    subject = named("{{ vars.auth }}", f"{SECRET}\nvars: {{ auth: 'Bearer {{{{ env.PREVIEW }}}}' }}")
    assert only(refusal(lambda: rendered(subject, values({"PREVIEW": "s"})))).code == Code.NOT_ALLOWED


@pytest.mark.parametrize("asked", ["pattern: 's.*'", "enum: [s3cr3t]", "format: integer", "format: uri"])
def test_nothing_in_a_manifest_asks_for_a_part_of_a_secret(asked: str) -> None:
    subject = named("{{ env.PREVIEW }}", f"env: {{ PREVIEW: {{ secret: true, {asked} }} }}")
    for text in ("s3cr3t", "other", "https://x.example", "7"):
        assert rendered(subject, values({"PREVIEW": text}, "PREVIEW@doksi")).secrets == {"PREVIEW": text}
    evaluated = rendered(subject, values({"PREVIEW": "x"}, "PREVIEW@doksi"))
    warned = only(check_spending(subject, expand(subject), evaluated))
    assert (warned.code, warned.severity) == (Code.UNREAD_VALUE, Severity.WARNING)
    assert warned.message.startswith(f"{asked.partition(':')[0]}: the text of a secret is compared with nothing")


@pytest.mark.parametrize("env", ["{ OURS: { secret: true } }", "{ OURS: { default: a-guess-of-it-and-more } }"])
def test_a_key_that_the_pipeline_does_not_let_go_is_compared_with_nothing(env: str) -> None:
    vendors = "vendors: { doksi: { api_key_env: DEPLOY_PASSWORD } }"
    subject = named("{{ env.OURS }}", f"env: {env}\n{vendors}")
    codes, allowed = [], ["OURS@doksi"] if "secret" in env else []
    for password in ("a-guess-of-it", "something else"):
        environ = {"DEPLOY_PASSWORD": password, "OURS": "a-guess-of-it-and-more"}
        problems = refusal(lambda environ=environ: rendered(subject, values(environ, *allowed)))  # type: ignore[misc]
        codes.append([problem.code for problem in problems])
    assert codes == [[Code.KEY_NOT_ALLOWED]] * 2


def test_a_whole_url_can_be_no_secret_as_its_host_is_not_certain() -> None:
    subject = manifest("""
env: { PREVIEW: { secret: true } }
matrix:
  - { id: a, vendor: doksi, test_ids: [x], platform: web, target: { web_url: "{{ env.PREVIEW }}" } }
""")
    inputs = values({"PREVIEW": "https://u:p@example.com"}, "PREVIEW@example.com", "PREVIEW@doksi")
    assert only(refusal(lambda: rendered(subject, inputs))).code == Code.ELSEWHERE


def test_a_secret_where_a_choice_belongs_is_refused_without_showing_it() -> None:
    subject = manifest("""
env: { PREVIEW: { secret: true } }
matrix:
  - { id: a, vendor: doksi, test_ids: [x], timeout: "{{ env.PREVIEW }}" }
""")
    inputs = values({"PREVIEW": "pssst-secret"}, "PREVIEW@doksi")
    problems = refusal(lambda: rendered(subject, inputs))
    assert "pssst" not in str([(problem.message, problem.hint) for problem in problems])


def test_a_secret_has_no_default() -> None:
    assert only(refusal(lambda: named("x", "env: { A: { secret: true, default: x } }"))).code == Code.SECRET_DEFAULT


@pytest.mark.parametrize(
    "name",
    [
        *(
            "API_TOKEN",
            "TOKEN",
            "TOKEN_2",
            "GH_TOKEN2",
            "DB_PASSWORD",
            "PASSWD",
            "X_SECRET_Y",
            "APIKEY",
            "MY_API_KEY",
            "PRIVATE_KEY",
        ),
        *(
            "AWS_SECRET_ACCESS_KEY",
            "CREDENTIALS",
            "SESSION_COOKIE",
            "BASIC_AUTH",
            "apiToken",
            "api_token",
            "AUTH_TOKEN",
        ),
    ],
)
def test_names_of_secrets_have_to_be_declared_so(name: str) -> None:
    assert named_like_secret(name)
    problem = only(refusal(lambda: named("x", f"env: {{ {name}: {{}} }}")))
    assert (problem.code, problem.place.line) == (Code.SECRET_NAME, 3)
    named("x", f"env: {{ {name}: {{ secret: true }} }}")


@pytest.mark.parametrize(
    "name", ["AUTHOR", "KEYBOARD", "TOKENIZER", "COMPASS", "SECRETARY", "URL", "AUTHORS_URL", "PASSENGERS"]
)
def test_other_names_do_not(name: str) -> None:
    assert not named_like_secret(name)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "ghp_" + "a1B2" * 9,
            "github_pat_" + "a1B2" * 6,
            "glpat-" + "a1B2" * 5,
            "AKIA" + "A1B2" * 4,
            "xoxb-123456789-abc",
        ),
        *("-----BEGIN RSA PRIVATE KEY-----\nabc", "dk_live_abcdefgh1", "cyn_live_abcdefgh1", "sk_live_abcdefgh1"),
        *("https://user:hunter2@staging.example.com", "postgres://a:b@db/x", "x eyJhbGciOiJI.eyJzdWIiOiIx.sig"),
        "https://user:ghp_" + "a1B2" * 9 + "@example.com",
    ],
)
def test_values_with_the_shape_of_a_secret_are_refused(value: str) -> None:
    assert shaped_like_secret(value)
    problem = only(refusal(lambda: name_of("{{ env.A }}", "env: { A: {} }", A=value)))
    assert problem.code == Code.LOOKS_SECRET
    assert value not in f"{problem.message}{problem.hint}"


@pytest.mark.parametrize(
    "value", ["https://example.com:8080/a@b", "mailto:a@b.c", "a:b@c", "ghp_short", "eyJ", "skeleton", "AKIA is a word"]
)
def test_other_values_do_not_look_like_secrets(value: str) -> None:
    assert not shaped_like_secret(value)


@pytest.mark.parametrize("part", ["a.", "-eyJaaaaaaaaaaaa", "a://", "-----BEGIN ", "a:b", "ghp_-", "sk-_"])
def test_looking_for_secrets_takes_no_longer_than_the_text(part: str) -> None:
    with no_long_time():
        shaped_like_secret(part * (2**20 // len(part)))


def test_a_default_with_the_shape_of_a_secret_is_refused() -> None:
    text = f"env: {{ A: {{ default: ghp_{'a1B2' * 9} }} }}"
    assert only(refusal(lambda: named("x", text))).code == Code.LOOKS_SECRET


@pytest.mark.parametrize("value", ["key-of-vendor-1", " key-of-vendor-1\n", "https://x/?k=key-of-vendor-1"])
def test_the_value_of_a_credential_is_refused_under_any_name(value: str) -> None:
    subject = named("{{ env.A }}", "env: { A: {} }")
    inputs = values({"A": value, "DOKSI_API_KEY": "key-of-vendor-1"})
    problem = only(refusal(lambda: rendered(subject, inputs)))
    assert problem.code == Code.LOOKS_SECRET
    assert "key-of" not in f"{problem.message}{problem.hint}"


@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize(
    "name", ["DOKSI_API_KEY", "DOCKET_API_KEY", "TESTERARMY_API_KEY", "CERTYN_API_KEY", "MY_DOKSI_X"]
)
def test_a_credential_cannot_be_declared(name: str, secret: bool) -> None:  # noqa: FBT001
    top = f"vendors: {{ doksi: {{ api_key_env: MY_DOKSI_X }} }}\nenv: {{ {name}: {{ secret: {str(secret).lower()} }} }}"
    assert only(refusal(lambda: named("x", top))).code == Code.CREDENTIAL


def test_a_credential_that_only_the_caller_knows_cannot_be_declared_either() -> None:
    subject = named("x", "env: { ACME_X: { secret: true } }")
    inputs = Values(credentials=frozenset({"ACME_X"}), allow_secrets=frozenset({"ACME_X@doksi"}))
    assert only(refusal(lambda: rendered(subject, inputs))).code == Code.CREDENTIAL


@pytest.mark.parametrize("value", ["⟦secret:DOKSI_API_KEY⟧", "⟦", "⟧"])
def test_no_value_can_forge_a_placeholder(value: str) -> None:
    assert only(refusal(lambda: name_of("{{ env.A }}", "env: { A: {} }", A=value))).code == Code.RESERVED
    for root, place in (("git", "branch"), ("ci", "url")):
        subject = named(f"{{{{ {root}.{place} }}}}")
        build = Values(**{root: {place: value}})  # type: ignore[arg-type]
        assert only(refusal(lambda s=subject, v=build: rendered(s, v))).code == Code.RESERVED  # type: ignore[misc]
    assert only(checked('{{ "\\u27e6secret:A\\u27e7" }}')).code == Code.RESERVED


def test_a_secret_in_the_build_is_not_inserted() -> None:
    subject = named("{{ git.repository }}")
    build = Values(git={"repository": "https://x:ghp_" + "a1B2" * 9 + "@github.com/a/b"})
    assert only(refusal(lambda: rendered(subject, build))).code == Code.LOOKS_SECRET


# --- api_key_env ------------------------------------------------------------------------------------------------------


def key_problems(vendor: str, name: str, *allowed: str) -> list[str]:
    subject = named("x", f"vendors: {{ {vendor}: {{ api_key_env: {name} }} }}")
    return [problem.code for problem in check_key_names(subject, KEYS, frozenset(allowed))]


@pytest.mark.parametrize(
    ("vendor", "name"),
    [
        *(
            ("doksi", "DOKSI_API_KEY"),
            ("doksi", "DOKSI_STAGING_KEY"),
            ("doksi", "MY_DOKSI_KEY"),
            ("docketqa", "DOCKET_KEY_2"),
        ),
        *(("docketqa", "DOCKETQA_KEY"), ("acme-qa", "ACME_QA_TOKEN"), ("acme", "X_ACME")),
    ],
)
def test_a_key_with_the_vendors_own_word_is_fine(vendor: str, name: str) -> None:
    assert key_problems(vendor, name) == []


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "DOKSIAN_KEY", "XDOKSI", "CERTYN_STAGING_KEY"])
def test_any_other_key_has_to_be_allowed(name: str) -> None:
    assert key_problems("doksi", name) == [Code.KEY_NOT_ALLOWED]
    assert key_problems("doksi", name, name) == []
    subject = named("x", f"vendors: {{ doksi: {{ api_key_env: {name} }} }}")
    assert check_key_names(subject, KEYS) == ()


@pytest.mark.parametrize("vendor", ["doksi", "api", "certyn-api", "key"])
def test_another_vendors_key_is_never_allowed(vendor: str) -> None:
    problem = only(refusal(lambda: named("x", f"vendors: {{ {vendor}: {{ api_key_env: CERTYN_API_KEY }} }}")))
    assert (problem.code, problem.place.line) == (Code.FOREIGN_KEY, 3)


def test_the_key_of_a_vendor_that_only_the_caller_knows_is_not_allowed_either() -> None:
    subject = named("x", "vendors: { doksi: { api_key_env: ACME_API_KEY } }")
    problem = only(check_key_names(subject, {"acme": "ACME_API_KEY"}, frozenset({"ACME_API_KEY"})))
    assert problem.code == Code.FOREIGN_KEY


def test_a_key_that_two_vendors_name_belongs_to_the_one_it_is_called_after() -> None:
    two = "vendors: { doksi: { api_key_env: MY_CERTYN_KEY }, certyn: { api_key_env: MY_CERTYN_KEY } }"
    problem = only(refusal(lambda: named("x", two)))
    assert (problem.code, problem.place.column) == (Code.FOREIGN_KEY, two.index("MY_CERTYN_KEY") + 1)


def test_the_rule_holds_when_rendering_and_its_name_is_literal() -> None:
    subject = named("x", "vendors: { doksi: { api_key_env: GITHUB_TOKEN } }")
    assert only(refusal(lambda: rendered(subject, Values(vendor_keys=KEYS)))).code == Code.KEY_NOT_ALLOWED
    assert refusal(lambda: rendered(named("x", "vendors: { doksi: { api_key_env: '{{ git.branch }}' } }"), Values()))


def test_a_var_option_replaces_an_entry_of_vars_and_is_no_template() -> None:
    subject = named("{{ vars.host }}", "vars: { host: 'staging of {{ env.A }}', other: x }\nenv: { A: }")
    result = rendered(subject, Values(overrides={"host": "{{ 7*7 }}"}))
    assert result.rows[0].data["name"] == "{{ 7*7 }}"


@pytest.mark.parametrize(
    ("template", "env", "overrides"),
    [
        ("{{ env.A }}", {"A": "k3y-of-doksi-123"}, {}),
        ("{{ env.B }}", {"B": "x k3y-of-doksi-123"}, {}),
        ("{{ env.B }}", {}, {"B": "k3y-of-doksi-123"}),
        ("{{ vars.v }}", {}, {"v": "k3y-of-doksi-123"}),
        ("{{ vars.v }}", {}, {"v": "ghp_0123456789abcdef0123"}),
    ],
)
def test_a_credential_comes_in_by_no_way(template: str, env: dict[str, str], overrides: dict[str, str]) -> None:
    top = "env: { A: { secret: true }, B: {} }\nvars: { v: x }\nvendors: { doksi: { api_key_env: DOKSI_CI_KEY } }"
    env = {"DOKSI_CI_KEY": "k3y-of-doksi-123", **env}
    inputs = values(env, "A@doksi", overrides=overrides)
    problem = only(refusal(lambda: rendered(named(template, top), inputs)))
    assert problem.code == Code.LOOKS_SECRET
    assert "k3y-of-doksi" not in problem.message

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from qarunner.entry import Platform
from qarunner.manifest.advice import check_facts, check_reach, check_spending
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import MOST_ROWS, check_rows, expand, layer_of, place_of
from qarunner.manifest.load import entry_of, examine
from qarunner.manifest.needs import resolve
from qarunner.manifest.templates.env import nothing_set
from qarunner.manifest.templates.evaluate import check_templates, evaluate
from tests.matrices import manifest, only, refusal, rendered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qarunner.manifest.model import Row

DAY = date(2026, 11, 22)
HEAD = "defaults: { vendor: acme, test_ids: [t] }\nmatrix:\n"
SHOP = (
    HEAD
    + """
  - id: checkout
    axes: { locale: [en, de], tier: [free, pro] }
    exclude: [{ locale: de, tier: free }, { variant: android, tier: pro }]
    variants:
      web: { platform: web, axes: { browser: [chrome, safari], tier: [pro] } }
      android: { platform: android }
"""
)


def ids(text: str) -> list[str]:
    return [row.id for row in expand(manifest(HEAD + text))]


def by_id(rows: Sequence[Row], row_id: str) -> Row:
    return next(row for row in rows if row.id == row_id)


def test_the_cross_product_stands_in_the_written_order() -> None:
    assert ids("  - { id: search, axes: { locale: [en, de], tier: [pro, free] } }") == [
        "search[locale=en,tier=pro]",
        "search[locale=en,tier=free]",
        "search[locale=de,tier=pro]",
        "search[locale=de,tier=free]",
    ]


def test_variants_times_axes_without_what_is_excluded() -> None:
    assert [row.id for row in expand(manifest(SHOP))] == [
        "checkout/web[locale=en,tier=pro,browser=chrome]",
        "checkout/web[locale=en,tier=pro,browser=safari]",
        "checkout/web[locale=de,tier=pro,browser=chrome]",
        "checkout/web[locale=de,tier=pro,browser=safari]",
        "checkout/android[locale=en,tier=free]",
    ]


def test_a_row_knows_its_values_and_where_its_keys_were_written() -> None:
    subject = manifest(SHOP)
    row = by_id(expand(subject), "checkout/web[locale=de,tier=pro,browser=chrome]")
    assert row.axes == (("locale", "de"), ("tier", "pro"), ("browser", "chrome"))
    assert (row.variant, row.entry_id) == ("web", "checkout")
    assert not row.data.keys() & {"axes", "exclude", "variants"}
    assert [str(place_of(subject, row, path)) for path in ((), ("platform",), ("vendor",))] == [
        "qa-matrix.yml:10:7",
        "qa-matrix.yml:10:24",
        "qa-matrix.yml:3:21",
    ]


def test_the_exclude_of_a_variant_replaces_that_of_its_entry() -> None:
    result = ids(
        "  - id: a\n    axes: { n: [1, 2] }\n    exclude: [{ n: 1 }]\n"
        "    variants: { x: {}, y: { exclude: [] }, z: { exclude: [{ n: 2 }] } }"
    )
    assert result == ["a/x[n=2]", "a/y[n=1]", "a/y[n=2]", "a/z[n=1]"]


def test_an_exclude_without_axes_takes_variants_out() -> None:
    text = "  - id: a\n    exclude: [{ variant: y }]\n    variants: { x: {}, y: {}, z: {} }\n  - { id: b, exclude: [] }"
    rows = expand(manifest(HEAD + text))
    assert [row.id for row in rows] == ["a/x", "a/z", "b"]
    assert [row.axes for row in rows] == [(), (), ()]
    assert all("exclude" not in row.data for row in rows)
    assert not check_rows(manifest(HEAD + text), rows)


def test_a_variant_without_axes_keeps_to_the_exclude_of_its_entry() -> None:
    text = "  - { id: a, exclude: [{ n: 1 }], variants: { x: {}, y: { axes: { n: [1, 2] } } } }"
    assert ids(text) == ["a/x", "a/y[n=2]"]


def test_values_read_in_ids_as_yaml_writes_them() -> None:
    assert ids("  - { id: a, axes: { v: [true, 1, 2.5, '3.10', iPhone 15, München, 'a/b:c'] } }") == [
        *("a[v=true]", "a[v=1]", "a[v=2.5]", "a[v=3.10]", "a[v=iPhone 15]", "a[v=München]", "a[v=a/b:c]"),
    ]
    assert expand(manifest(HEAD + "  - { id: a, axes: { v: ['a/b'] } }"))[0].entry_id == "a"


def test_templates_get_values_with_their_type() -> None:
    subject = manifest(
        HEAD
        + """
  - id: a
    axes: { platform: [web, ios], n: [1, 2.5, true], minutes: [5] }
    platform: "{{ matrix.platform }}"
    timeout: "{{ matrix.minutes }}m"
    options: { n: "{{ matrix.n }}", text: "{{ matrix.n }}!", next: "{{ matrix.minutes + 1 }}" }
"""
    )
    rows = rendered(subject).rows
    result = [(row.data["platform"], row.data["options"]) for row in rows]
    assert result[0] == ("web", {"n": 1, "text": "1!", "next": 6})
    assert result[2] == ("web", {"n": True, "text": "true!", "next": 6})
    assert result[4] == ("ios", {"n": 2.5, "text": "2.5!", "next": 6})
    assert entry_of(subject, rows[3], today=DAY).platform is Platform.IOS
    assert entry_of(subject, rows[0], today=DAY).policy.timeout_s == 300


def test_a_short_name_can_choose_a_long_text() -> None:
    subject = manifest(
        "vars: { urls: { de: 'https://shop.de/?a=b,c' } }\n"
        + HEAD
        + "  - { id: a, axes: { shop: [de] }, target: { web_url: '{{ vars.urls[matrix.shop] }}' } }"
    )
    assert rendered(subject).rows[0].data["target"] == {"web_url": "https://shop.de/?a=b,c"}


def test_a_value_is_no_template() -> None:
    problem = only(refusal(lambda: manifest(HEAD + "  - { id: a, axes: { x: ['{{ vars.b }}'] } }")))
    assert "templates are not rendered here" in str(problem.hint)


def test_an_axis_that_an_entry_does_not_have_cannot_be_read() -> None:
    subject = manifest(
        HEAD
        + "  - { id: a, axes: { locale: [en] }, name: '{{ matrix.local }}' }\n"
        + "  - { id: b, name: '{{ matrix.locale }}' }"
    )
    first, second = check_templates(subject, expand(subject))
    assert "did you mean 'locale'? Valid: locale, id, entry, variant" in str(first.hint)
    assert second.message == "template: matrix has no 'locale'"


# --- what is wrong ----------------------------------------------------------------------------------------------------

PROBLEMS: list[tuple[str, str, str]] = [
    ("axes: { id: [a] }", "cannot be called 'id'", "6:13"),
    ("axes: { x: [1, '1'] }", "'1' stands here twice", "6:20"),
    ('axes: { x: [é, "e\\u0301"] }', "stands here twice", "6:20"),
    ("axes: { x: [3.10] }", "3.10 is the number 3.1", "6:17"),
    ("axes: { x: [1, 0x1F] }", "0x1F is the number 31", "6:20"),
    ("axes: { x: [1e3] }", "1e3 is the number 1000.0", "6:17"),
    ('axes: { x: ["a\\u200Bb"] }', "invisible characters", "6:17"),
    ("axes: { x: [a] }\n    exclude: [{ y: a }]", "there is no axis 'y'", "7:17"),
    ("axes: { locale: [en] }\n    exclude: [{ locale: ne }]", "locale has no value 'ne'", "7:25"),
    ("axes: { x: [a] }\n    exclude: [{ variant: web }]", "the entry has no variants", "7:26"),
    ("axes: { x: [a] }\n    variants: { web: {} }\n    exclude: [{ variant: wbe }]", "no variant 'wbe'", "8:26"),
    (
        "variants: { a: { axes: { x: [1] } }, b: { axes: { y: [1] } } }\n    exclude: [{ x: 1, y: 1 }]",
        "no row has all of these values",
        "7:15",
    ),
    ("variants: { a: {}, b: { exclude: [{ z: 1 }] } }", "there is no axis 'z'", "6:41"),
    ("exclude: [{ z: 1 }]", "there is no axis 'z'", "6:17"),
    ("axes: { x: [a, b] }\n    exclude: [{ x: a }, { x: b }]", "leaves no row of 'e'", "7:5"),
    ("variants: { a: { exclude: [{ variant: a }] } }", "leaves no row of variant 'a'", "6:22"),
    (
        "axes: { x: [1] }\n    exclude: []\n    variants: { a: {}, b: { exclude: [{ x: 1 }] } }",
        "leaves no row of variant 'b'",
        "8:29",
    ),
]


@pytest.mark.parametrize(("text", "said", "place"), PROBLEMS)
def test_problems(text: str, said: str, place: str) -> None:
    problem = only(refusal(lambda: manifest(HEAD + f"  - id: e\n    {text}\n")))
    assert said in problem.message
    assert str(problem.place) == f"qa-matrix.yml:{place}"
    assert problem.hint


def test_the_closest_match_is_offered() -> None:
    problem = only(refusal(lambda: manifest(HEAD + "  - { id: e, axes: { locale: [en] }, exclude: [{ locals: en }] }")))
    assert problem.hint == "did you mean 'locale'? Valid: locale, variant"


def test_an_aliased_value_is_taken_as_it_is() -> None:
    assert ids("  - { id: a, labels: [&v v], axes: { x: [*v], y: [&n 2], z: [*n] } }") == ["a[x=v,y=2,z=2]"]


def test_too_many_rows_are_counted_and_not_built() -> None:
    axes = ", ".join(f"{name}: [{', '.join(map(str, range(100)))}]" for name in "abcdefgh")
    problem = only(refusal(lambda: manifest(HEAD + f"  - id: a\n  - id: e\n    axes: {{ {axes} }}\n")))
    assert problem.message == (
        "the matrix would have 10,000,000,000,000,001 rows, 10,000,000,000,000,000 of them from this entry; "
        "at most 100,000 are taken"
    )
    assert str(problem.place) == "qa-matrix.yml:7:5"


def test_as_many_rows_as_are_taken() -> None:
    values = ", ".join(map(str, range(100)))
    text = HEAD + f"  - {{ id: a, axes: {{ x: [{values}], y: [{values}], z: [{', '.join(map(str, range(10)))}] }} }}"
    assert len(expand(manifest(text))) == MOST_ROWS


@pytest.mark.parametrize(("profiles", "taken"), [(4, True), (5, False)])
def test_rows_are_counted_once_more_for_each_profile(profiles: int, taken: bool) -> None:  # noqa: FBT001  a table
    values = ", ".join(map(str, range(100)))
    text = HEAD + f"  - {{ id: a, axes: {{ x: [{values}], y: [{values}], z: [{', '.join(map(str, range(10)))}] }} }}\n"
    text += "profiles: { " + ", ".join(f"p{number}: {{ select: [a] }}" for number in range(profiles)) + " }\n"
    if taken:
        assert manifest(text).name == "shop"
        return
    problem = only(refusal(lambda: manifest(text)))
    assert (problem.code, problem.place.line) == ("E434", 6)
    assert "600,000 rows" in problem.message


def test_a_faulty_entry_hides_no_other() -> None:
    loaded = examine(
        "qa-matrix.yml",
        "version: 1\nname: a\n" + HEAD + "  - { id: a, axes: { x: [1, 1.0] } }\n  - { id: b, axes: { x: [2, '2'] } }\n"
        "  - { id: c, axes: { x: [3] } }\n",
    )
    assert [problem.code for problem in loaded.problems] == ["E209", Code.AXIS]
    assert loaded.sound == frozenset({2})


# --- keys of which there is one ---------------------------------------------------------------------------------------


def test_a_layer_that_names_a_target_or_tests_replaces_those_below() -> None:
    subject = manifest(
        """
defaults: { vendor: acme, category_ids: [all], target: { web_url: https://example.com } }
matrix:
  - id: a
    test_ids: [t]
    variants:
      app: { target: { binary: a.apk } }
      tagged: { tags: [smoke] }
      plain: { name: A }
  - id: b
"""
    )
    app, tagged, plain, b = expand(subject)
    assert app.data["target"] == {"binary": "a.apk"}
    assert [
        key for row in (app, tagged, plain, b) for key in row.data if key in {"test_ids", "category_ids", "tags"}
    ] == [
        *("test_ids", "tags", "test_ids", "category_ids"),
    ]
    assert str(place_of(subject, app, ("target", "binary"))) == "qa-matrix.yml:9:32"
    assert str(place_of(subject, plain, ("target", "web_url"))) == "qa-matrix.yml:4:67"
    assert place_of(subject, app, ("target", "web_url")).line == 9


def test_a_row_tells_which_layer_decides() -> None:
    subject = manifest(SHOP)
    row = by_id(expand(subject), "checkout/android[locale=en,tier=free]")
    layers = [layer_of(subject, row, path) for path in (("platform",), ("id",), ("vendor",))]
    assert layers == [("matrix", 0, "variants", "android"), ("matrix", 0), ("defaults",)]


# --- values with fields, and single combinations ----------------------------------------------------------------------

FIELDS = """
  - id: build
    axes: { os: [{ name: pixel, kind: android }, { name: mac, kind: macos }], l: [en, de] }
    exclude: [{ os: mac, l: de }]
    include: [{ os: mac, l: it }, { os: { name: nexus, kind: android }, l: en }]
    labels: ["{{ matrix.os.kind }}", "{{ matrix.l }}"]
  - id: test
    axes: { l: [en, de] }
    needs: ["build[l={{ matrix.l }},os=pixel]", "build[os=mac]"]
    labels: ["{{ matrix.l }}"]
"""


def test_a_mapping_stands_in_ids_by_its_name_and_include_adds_rows() -> None:
    subject = manifest(HEAD + FIELDS)
    rows = expand(subject)
    assert check_rows(subject, rows) == ()
    assert check_templates(subject, rows) == ()
    assert [row.id for row in rows][:5] == [
        "build[os=pixel,l=en]",
        "build[os=pixel,l=de]",
        "build[os=mac,l=en]",
        "build[os=mac,l=it]",
        "build[os=nexus,l=en]",
    ]
    labels = [tuple(entry_of(subject, row, today=DAY, needs=()).labels) for row in rendered(subject).rows]
    assert labels[3:5] == [("macos", "it"), ("android", "en")]


def test_needs_read_the_axes_of_their_own_row_and_may_leave_some_open() -> None:
    rows = resolve(expand(manifest(HEAD + FIELDS)))
    assert rows["test[l=de]"] == ("build[os=pixel,l=de]", "build[os=mac,l=en]", "build[os=mac,l=it]")


@pytest.mark.parametrize(
    ("axes", "include", "message"),
    [
        ("{ l: [en], t: [a] }", "{ l: it }", "include: a combination names every axis, and this one has no t"),
        ("{ l: [en] }", "{ l: en }", "include: there is a row [l=en] already, and both would have the same id"),
        ("{ l: [en] }", "{ l: it, x: 1 }", "include: there is no axis 'x'"),
        ("{ l: [en] }", "{ l: { name: it } }", "include: l is not as the other values of the axis are"),
        ("{ l: [en] }", "{ l: it, variant: web }", "include: there is no variant 'web' that takes it"),
    ],
)
def test_what_is_no_combination_is_said_at_its_place(axes: str, include: str, message: str) -> None:
    text = HEAD + f'  - {{ id: a, axes: {axes}, include: [{include}], labels: ["{{{{ matrix.l }}}}"] }}\n'
    problem = only(refusal(lambda: manifest(text)))
    assert (problem.code, problem.message) == (Code.COMBINATION, message)


def test_values_of_one_axis_have_the_same_fields() -> None:
    text = HEAD + '  - { id: a, axes: { d: [{ name: x, os: a }, { name: y }] }, labels: ["{{ matrix.d.os }}"] }\n'
    assert only(refusal(lambda: manifest(text))).code == Code.AXIS


# --- what is paid for without need ------------------------------------------------------------------------------------


def spending(text: str) -> list[str]:
    subject = manifest(text)
    rows = expand(subject)
    return [
        str(problem.code) for problem in check_spending(subject, rows, evaluate(subject, rows, nothing_set(len(rows))))
    ]


WEB = "{{ id: {}, vendor: doksi, platform: web, test_ids: [t], target: {{ web_url: '{}' }}{} }}"


@pytest.mark.parametrize(
    ("entries", "codes"),
    [
        ([WEB.format("a", "https://x.example", ", axes: { l: [en, de] }")], ["W421"]),
        ([WEB.format("a", "https://x.example/{{ matrix.l }}", ", axes: { l: [en, de] }")], []),
        ([WEB.format("a", "https://{{ env.U }}/{{ matrix.l }}", ", axes: { l: [en, de] }")], []),
        ([WEB.format("a", "https://x.example", ", name: '{{ matrix.l }}', axes: { l: [en, de] }")], ["W422"]),
        ([WEB.format("a", "https://x.example", ""), WEB.format("b", "https://x.example", "")], ["W422"]),
        (
            [WEB.replace("[t]", tests).format(tests[1], "https://x.example", "") for tests in ("[a, b]", "[b, a]")],
            ["W422"],
        ),
        (
            [WEB.format("a", "https://x.example", ", if: '{{ git.branch == matrix.l }}', axes: { l: [en, de] }")],
            [],
        ),
        ([WEB.format("a", "https://x.example", ""), WEB.format("b", "https://y.example", "")], []),
        ([WEB.format("a", "https://x.example", ""), WEB.format("b", "https://x.example", ", needs: [a]")], []),
    ],
)
def test_what_is_paid_for_without_need_is_warned_of(entries: list[str], codes: list[str]) -> None:
    top = "env: { U: {} }\n" if "env.U" in entries[0] else ""
    assert spending(top + "matrix:\n" + "".join(f"  - {entry}\n" for entry in entries)) == codes


def test_a_gate_that_nothing_can_pass_is_warned_of() -> None:
    entry = "  - { id: a, vendor: doksi, platform: web, test_ids: [t, u], target: { web_url: 'https://x.example' }"
    assert spending(f"gate: {{ min_tests: 3 }}\nmatrix:\n{entry} }}\n") == ["W423"]
    assert spending(f"gate: {{ min_tests: 2 }}\nmatrix:\n{entry} }}\n") == []
    category = entry.replace("test_ids: [t, u]", "category_ids: [c]")
    assert spending(f"gate: {{ min_tests: 9 }}\nmatrix:\n{category}, estimate: 9 }}\n") == []
    assert spending(f"gate: {{ min_tests: 9 }}\nmatrix:\n{category} }}\n") == []
    free = entry.replace("id: a", "id: b").replace("x.example", "y.example") + ", allow_failure: true }\n"
    assert spending(f"gate: {{ min_tests: 3 }}\nmatrix:\n{entry} }}\n{free}") == ["W423"]
    assert spending(f"matrix:\n{free}") == ["W423"]
    assert spending(f"gate: {{ min_tests: 0 }}\nmatrix:\n{free}") == []


@pytest.mark.parametrize(
    ("name", "unread"),
    [
        ("'{{ vars.host }} {{ env.B }}'", ["vars.more", "vars.hots"]),
        ("'{{ vars.host }} {{ vars.more.x }} {{ env.B | upper }}'", ["vars.hots"]),
        ("'{{ env.B }} {{ vars[matrix.id] }}'", []),
        ("plain", ["env.B", "vars.host", "vars.more", "vars.host", "vars.hots"]),
    ],
)
def test_values_that_no_template_reads_are_warned_of(name: str, unread: list[str]) -> None:
    """Wherever they stand: what a profile alone reads is read, and no description of a variable reads anything."""
    subject = manifest(f"""
env: {{ A: {{}}, B: {{ description: "{{{{ vars.host }}}}" }} }}
vars: {{ host: x, more: {{ x: y }} }}
profiles: {{ n: {{ vars: {{ host: z, hots: y }}, entries: {{ a: {{ name: "{{{{ env.A }}}}" }} }} }} }}
matrix:
  - {{ id: a, vendor: doksi, test_ids: [t], name: {name} }}
""")
    rows = expand(subject)
    problems = check_spending(subject, rows, evaluate(subject, rows, nothing_set(1)))
    named = [problem.message.removeprefix("no template reads ").partition(":")[0] for problem in problems]
    assert [problem.code for problem in problems] == ["W424"] * len(unread)
    assert named == unread


@pytest.mark.parametrize(
    ("url", "host"),
    [
        *(("http://localhost:8080/x", "localhost"), ("https://shop.LOCALHOST./", "shop.localhost")),
        *(("http://127.0.0.1", "127.0.0.1"), ("http://[::1]:80/", "::1"), ("http://10.1.2.3/", "10.1.2.3")),
        *(("http://me:pw@printer.local", "printer.local"), ("http://host.docker.internal:1", "host.docker.internal")),
        *(("https://localhost.example.com", None), ("https://127.0.0.1.nip.io", None), ("https://8.8.8.8", None)),
        *(("http://{{ env.H }}:8080", None), ("http://localhost:{{ env.H }}", None)),
    ],
)
def test_hosts_that_no_vendor_reaches(url: str, host: str | None) -> None:
    subject = manifest(f"env: {{ H: {{}} }}\nmatrix:\n  - {WEB.format('a', url, '')}\n")
    rows = expand(subject)
    problems = check_reach(subject, rows, ())
    assert [problem.message for problem in problems] == (
        [f"doksi runs elsewhere, and cannot reach {host}"] if host else []
    )
    assert check_reach(subject, rows, ("doksi",)) == ()


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ("if: \"{{ git.branch == 'main' }}\"", ["if"]),
        ("allow_failure: \"{{ git.branch != 'main' }}\"", ["allow_failure"]),
        ("if: \"{{ git.branch | default('') == 'main' }}\"", []),
        ("if: '{{ git.branch is defined }}'", []),
        ("if: \"{{ git.tag == 'v1' }}\"", []),
        ("if: true", []),
    ],
)
def test_a_fact_that_the_build_does_not_have_is_warned_of(keys: str, warned: list[str]) -> None:
    subject = manifest(f"matrix:\n  - {{ id: a, vendor: doksi, test_ids: [t], {keys} }}\n")
    git = {"branch": None, "tag": None, "sha": "0" * 40}
    problems = check_facts(subject, expand(subject), git)
    assert [problem.message.partition(":")[0] for problem in problems] == warned
    assert check_facts(subject, expand(subject), {**git, "branch": "main"}) == ()

"""`diff` compares what rows would send: whatever moves a value is a changed row, and what means the same is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qarunner.review.compare import compare
from qarunner.review.reasons import notices
from tests.review.test_golden import side

if TYPE_CHECKING:
    from pathlib import Path

    from qarunner.review.model import Difference
    from qarunner.review.reasons import Notice

TOP = """version: 1
name: shop
env: {{ HOST: {{ default: {host} }}, TOK: {{ secret: true }}, OPEN: {{ default: "yes" }} }}
vars: {{ hosts: {{ de: {german}, en: en.example.com }}, through: "{{{{ env.HOST }}}}", wait: {wait} }}
vendors: {{ certyn: {{ project: p, environment: {environment} }} }}
defaults: {{ timeout: {timeout}, labels: {labels} }}
matrix:
"""
USUAL = {
    "host": "staging.example.com",
    "german": "de.example.com",
    "wait": "10m",
    "environment": "staging",
    "timeout": "60m",
    "labels": "[a, b]",
}
WEB = "  - {{ id: {name}, vendor: doksi, platform: web, test_ids: [t], target: {{ web_url: '{url}' }}{more} }}\n"
URLS = {
    "default": "https://{{ env.HOST }}/?t={{ env.TOK | urlencode }}",
    "computed": "https://{{ vars.hosts['de'] }}/?t={{ env.TOK }}",
    "through": "https://{{ vars.through }}/{{ env.TOK }}",
    "statement": "https://{% if env.OPEN == 'yes' %}{{ env.HOST }}{% else %}x.example{% endif %}/?t={{ env.TOK }}",
}


def matrix(entries: str = "", **changed: str) -> str:
    rows = "".join(WEB.format(name=name, url=url.replace("'", "''"), more="") for name, url in URLS.items())
    certyn = "  - { id: smoke, vendor: certyn, category_ids: [s] }\n"
    return TOP.format(**{**USUAL, **changed}) + rows + certyn + entries


def difference(folder: Path, before: str, after: str) -> tuple[Difference, tuple[Notice, ...]]:
    for name, text in (("before", before), ("after", after)):
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    old, new = side(folder / "before.yml"), side(folder / "after.yml")
    assert old is not None
    assert new is not None
    changes = compare(old, new)
    return changes, notices(changes, old, new)


@pytest.mark.parametrize(
    ("edit", "rows"),
    [
        ({"host": "evil.example.net"}, ["default", "through", "statement"]),
        ({"german": "evil.example.net"}, ["computed"]),
    ],
)
def test_a_secret_that_moves_stands_first_whatever_moves_it(
    tmp_path: Path, edit: dict[str, str], rows: list[str]
) -> None:
    changes, notes = difference(tmp_path, matrix(), matrix(**edit))
    assert [change.after.id for change in changes.changed] == rows
    assert notes[0].message == "the secret TOK now goes to evil.example.net in a URL"
    assert list(notes[0].rows) == rows
    assert all(any("evil.example.net" in field.cause for field in change.fields) for change in changes.changed)


def test_a_secret_that_moves_in_a_setting_stands_first_too(tmp_path: Path) -> None:
    def with_hook(host: str) -> str:
        settings = f"vendors: {{ doksi: {{ extra: {{ hook: 'https://{host}/{{{{ env.TOK }}}}' }} }}, certyn:"
        return matrix().replace("vendors: { certyn:", settings)

    changes, notes = difference(tmp_path, with_hook("a.example.com"), with_hook("evil.example.net"))
    assert [change.after.id for change in changes.changed] == list(URLS)
    assert [note.message for note in notes] == [
        "the secret TOK now goes to evil.example.net in a URL",
        "vendors.doksi.extra.hook leads to evil.example.net now, before to a.example.com",
    ]


def test_settings_of_a_vendor_are_fields_of_its_rows(tmp_path: Path) -> None:
    changes, notes = difference(tmp_path, matrix(), matrix(environment="production"))
    assert [change.after.id for change in changes.changed] == ["smoke"]
    assert [note.message for note in notes] == ["runs elsewhere: vendors.certyn.environment staging → production"]


def test_new_vendors_are_named_in_their_order_with_their_credentials(tmp_path: Path) -> None:
    ids = {"testerarmy": "22222222-2222-4222-8222-222222222222", "docketqa": "1"}
    entries = "".join(f"  - {{ id: {name}, vendor: {name}, test_ids: [{test}] }}\n" for name, test in ids.items())
    _, notes = difference(tmp_path, matrix(), matrix(entries))
    keys = {"testerarmy": "TESTERARMY_API_KEY", "docketqa": "DOCKET_API_KEY"}
    assert [note.message for note in notes] == [
        f"{name} is new here: apply needs its key in {key}" for name, key in keys.items()
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (matrix(), matrix(timeout="1h")),
        (matrix(), matrix(labels="[b, a]")),
        (matrix("  - { id: n, vendor: docketqa, test_ids: [1] }\n"),) * 2,
        (
            matrix("  - { id: n, vendor: docketqa, test_ids: [1] }\n"),
            matrix("  - { id: n, vendor: docketqa, test_ids: [1], allow_failure: false, retries: { failed: 0 } }\n"),
        ),
        (
            matrix("  - { id: n, vendor: docketqa, test_ids: [1], name: '{{ git.branch }} {{ vars.wait }}' }\n"),
            matrix("  - { id: n, vendor: docketqa, test_ids: [1], name: '{{git.branch}} {{  vars.wait}}' }\n"),
        ),
    ],
)
def test_what_means_the_same_is_no_change(tmp_path: Path, before: str, after: str) -> None:
    changes, notes = difference(tmp_path, before, after)
    assert (bool(changes), notes) == (False, ())


@pytest.mark.parametrize("narrower", ["if: \"{{ env.OPEN == 'nope' }}\"", "paths: ['src/a/**']"])
def test_a_condition_that_changes_may_open_the_gate(tmp_path: Path, narrower: str) -> None:
    entry = "  - {{ id: n, vendor: docketqa, test_ids: [1], {} }}\n"
    wide = "if: \"{{ env.OPEN == 'yes' }}\"" if narrower.startswith("if") else "paths: ['src/**']"
    _, notes = difference(tmp_path, matrix(entry.format(wide)), matrix(entry.format(narrower)))
    key = narrower.partition(":")[0]
    assert [note.message for note in notes] == [f"may run less often: `{key}` was changed"]


@pytest.mark.parametrize(
    ("condition", "messages"), [("{{ 1 == 1 }}", []), ("{{ vars.wait == 'x' }}", ["never runs: `if` is false"])]
)
def test_a_condition_without_a_variable_says_what_it_comes_to(
    tmp_path: Path, condition: str, messages: list[str]
) -> None:
    entry = '  - {{ id: n, vendor: docketqa, test_ids: [1], if: "{}" }}\n'
    before, after = (matrix(entry.format(text)) for text in ("{{ git.branch == 'main' }}", condition))
    changes, notes = difference(tmp_path, before, after)
    assert [note.message for note in notes] == messages
    assert changes.before.tests - changes.after.tests == len(messages)


URL = "https://a.example.com"


@pytest.mark.parametrize(
    ("before", "after", "messages"),
    [
        ("", f"login_url: {URL}/in", []),
        ("", "login_url: https://b.example.com", ["reaches b.example.com now: options.login_url was added"]),
        (
            f"test_urls: {{ '7': {URL} }}",
            "test_urls: { '7': https://b.example.com }",
            ["options.test_urls.7 leads to b.example.com now, before to a.example.com"],
        ),
        (f"login_url: '{URL}:443'", f"login_url: '{URL}/x'", []),
        (
            f"login_url: {URL}",
            "login_url: http://a.example.com",
            ["options.login_url leads to http://a.example.com now, before to https://a.example.com"],
        ),
    ],
)
def test_each_url_of_a_row_is_a_place(tmp_path: Path, before: str, after: str, messages: list[str]) -> None:
    entry = (
        f"  - {{ id: n, vendor: docketqa, category_ids: [7], target: {{ web_url: {URL} }}, options: {{ OPTIONS }} }}\n"
    )
    one, two = (matrix(entry.replace("OPTIONS", options)) for options in (before, after))
    assert [note.message for note in difference(tmp_path, one, two)[1]] == messages


@pytest.mark.parametrize("key", ["environment_label", "project_environment_id"])
def test_an_environment_in_options_is_a_place(tmp_path: Path, key: str) -> None:
    uuid = "11111111-1111-4111-8111-11111111110"
    values = {"environment_label": ("staging", "production")}.get(key, (f"{uuid}1", f"{uuid}2"))
    entry = f"  - {{ id: n, vendor: testerarmy, platform: web, category_ids: [{uuid}1], target: {{ web_url: {URL} }}"
    one, two = (matrix(f"{entry}, options: {{ {key}: {value} }} }}\n") for value in values)
    messages = [note.message for note in difference(tmp_path, one, two)[1]]
    assert messages == [f"runs elsewhere: options.{key} {values[0]} → {values[1]}"]


GATES = [
    ("", "min_tests: 1", []),
    ("min_tests: 2", "", ["gate.min_tests 2 → 1; fewer tests are enough for a green build"]),
    ("on_skipped: fail", "on_skipped: pass", ["gate.on_skipped fail → pass; skipped tests fail fewer builds"]),
    ("max_quarantined: 1", "", ["gate.max_quarantined 1 → (none); more rows may be in quarantine"]),
]


@pytest.mark.parametrize(("before", "after", "messages"), GATES)
def test_the_gate_that_holds_is_compared(tmp_path: Path, before: str, after: str, messages: list[str]) -> None:
    one, two = (f"gate: {{ {keys} }}\n{matrix()}" for keys in (before, after))
    changes, notes = difference(tmp_path, one, two)
    assert ([note.message for note in notes], bool(changes)) == (messages, bool(messages))


EXPRESSION = "{{ vars.q if git.tag else false }}"
BY_BRANCH = "{{ git.branch != 'main' }}"


@pytest.mark.parametrize(
    ("before", "after", "messages"),
    [
        ("", f'allow_failure: "{BY_BRANCH}"', [f"may not gate: allow_failure is {BY_BRANCH}"]),
        ("allow_failure: true", f'allow_failure: "{BY_BRANCH}"', [f"may not gate: allow_failure is {BY_BRANCH}"]),
        (f'allow_failure: "{BY_BRANCH}"', "", ["gates again: allow_failure is gone"]),
        (f'allow_failure: "{BY_BRANCH}"', f'allow_failure: "{BY_BRANCH.replace("{{ ", "{{")}"', []),
        ("", "quarantine: '{{ vars.q }}'", ["quarantine begins: does not gate until 2030-01-01 (o: r)"]),
        ("", f"quarantine: '{EXPRESSION}'", [f"may not gate: quarantine is {EXPRESSION}"]),
        ("quarantine: '{{ vars.q }}'", f"quarantine: '{EXPRESSION}'", [f"may not gate: quarantine is {EXPRESSION}"]),
        (f"quarantine: '{EXPRESSION}'", "", ["quarantine ends: gates again"]),
    ],
)
def test_an_expression_that_may_open_the_gate_is_told(
    tmp_path: Path, before: str, after: str, messages: list[str]
) -> None:
    quarantine = "vars: { q: { reason: r, owner: o, until: 2030-01-01 },"
    one, two = (
        matrix(f"  - {{ id: n, vendor: docketqa, test_ids: [1], {keys} }}\n").replace("vars: {", quarantine)
        for keys in (before, after)
    )
    _, notes = difference(tmp_path, one, two)
    assert [note.message for note in notes] == messages


def test_a_list_that_is_edited_where_it_stands_is_a_changed_row(tmp_path: Path) -> None:
    entry = "  - { id: n, vendor: docketqa, test_ids: '{{ vars.ids }}' }\n"
    before, after = (matrix(entry).replace("vars: {", f"vars: {{ ids: {ids},") for ids in ("[1]", "[1, 2]"))
    changes, _ = difference(tmp_path, before, after)
    assert [(change.after.id, [field.path for field in change.fields]) for change in changes.changed] == [
        ("n", ["test_ids"])
    ]
    assert changes.after.tests == changes.before.tests + 1

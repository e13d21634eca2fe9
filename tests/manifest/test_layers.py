"""Layers of a row: defaults, those of its vendor, the entry, its variant, the profile; null takes away, append adds."""

from __future__ import annotations

import pytest

from qarunner.diagnostics import Place
from qarunner.errors import ManifestError
from qarunner.manifest.codes import WRONG_FORM, Code
from qarunner.manifest.expand import check_rows, expand, layer_of, place_of
from qarunner.manifest.load import check_changes, examine, with_profile
from qarunner.manifest.select import select
from tests.matrices import manifest, only, refusal

SHOP = """
defaults: { vendor: acme, timeout: 30m, labels: [all], retries: { failed: 1, infra: 2 }, owner: team-a }
vendors:
  acme: { defaults: { timeout: 20m, labels: { append: [acme] } } }
  other: { defaults: { owner: team-o, options: { region: eu } } }
profiles:
  smoke: { select: [label:smoke], vars: { t: 1s }, entries: { a: { timeout: 1m }, "c[l=de]": { owner: team-de } } }
  nightly: { extends: smoke, entries: { a/v: { labels: { append: [night] } }, a: { retries: { infra: 0 } } } }
matrix:
  - id: a
    labels: { append: [smoke] }
    test_ids: [x]
    variants:
      v: { labels: { append: [v] }, retries: { failed: null }, test_ids: { append: [y] } }
      w: { vendor: other, labels: null, owner: null, tags: [t] }
  - { id: b, tags: [t], timeout: 5m, vendor: other, paths: { append: [src] } }
  - { id: c, tags: [t], axes: { l: [en, de] } }
"""


def rows(profile: str | None = None) -> dict[str, dict[str, object]]:
    subject = manifest(SHOP)
    return {row.id: row.data for row in expand(with_profile(subject, profile) if profile else subject)}


def test_layers_lie_over_each_other_in_their_order() -> None:
    result = rows()
    a = result["a/v"]
    assert [a[key] for key in ("vendor", "timeout", "owner", "retries")] == ["acme", "20m", "team-a", {"infra": 2}]
    assert (a["labels"], a["test_ids"]) == (["all", "acme", "smoke", "v"], ["x", "y"])
    assert (result["b"]["timeout"], result["b"]["paths"], result["b"]["owner"]) == ("5m", ["src"], "team-o")


def test_the_vendor_of_a_variant_decides_whose_defaults_hold() -> None:
    result = rows()["a/w"]
    assert (result["vendor"], result["timeout"], result["options"]) == ("other", "30m", {"region": "eu"})
    assert "labels" not in result
    assert "owner" not in result
    assert "test_ids" not in result


def test_a_profile_changes_single_entries_variants_and_rows_and_those_of_what_it_extends() -> None:
    smoke, nightly = rows("smoke"), rows("nightly")
    assert [smoke[name]["timeout"] for name in ("a/v", "a/w", "b")] == ["1m", "1m", "5m"]
    assert [smoke[name]["owner"] for name in ("c[l=en]", "c[l=de]")] == ["team-a", "team-de"]
    assert nightly["a/v"]["labels"] == ["all", "acme", "smoke", "v", "night"]
    assert (nightly["a/v"]["timeout"], nightly["a/v"]["retries"]) == ("1m", {"infra": 0})
    subject = with_profile(manifest(SHOP), "nightly")
    assert subject.select == ("label:smoke",)
    assert subject.vars == {"t": "1s"}


def test_every_item_of_a_list_is_found_where_it_was_written() -> None:
    subject = with_profile(manifest(SHOP), "nightly")
    rows = {row.id: row for row in expand(subject)}
    lines = [place_of(subject, rows["a/v"], ("labels", index)).line for index in range(5)]
    assert lines == [4, 6, 13, 16, 10]
    assert place_of(subject, rows["a/v"], ("test_ids", 0)) == Place("qa-matrix.yml", 14, 16)
    assert place_of(subject, rows["a/v"], ("timeout",)).line == 9
    assert layer_of(subject, rows["a/w"], ("options", "region")) == ("vendors", "other", "defaults")


def test_what_a_null_took_away_is_missed_where_it_stands() -> None:
    subject = manifest(
        "defaults: { vendor: doksi, platform: web, target: { web_url: 'https://a.example' }, test_ids: [t] }\n"
        "matrix:\n  - { id: a, target: null }\n"
    )
    row = expand(subject)[0]
    assert "target" not in row.data
    assert str(place_of(subject, row, ("target",))) == "qa-matrix.yml:5:22"


def test_rows_are_selected_by_owner() -> None:
    rows = expand(manifest(SHOP))
    assert [row.id for row in select(rows, ["owner:team-o"])] == ["b"]
    assert [row.id for row in select(rows, ["!owner:team-*"])] == ["a/w"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("timeout:", "timeout: expected a value, got nothing"),
        ("retries: { failed: }", "failed: expected a value, got nothing"),
        ("variants: { v: { labels: } }", "labels: expected a value, got nothing"),
    ],
)
def test_a_key_that_was_left_empty_is_an_error_where_it_takes_nothing_away(entry: str, message: str) -> None:
    text = "matrix:\n  - id: a\n    vendor: acme\n    tags: [t]\n    "
    assert only(refusal(lambda: manifest(text + entry + "\n"))).message == message
    assert expand(manifest(text + entry.replace(": }", ": null }") + (" null\n" if entry.endswith(":") else "\n")))
    top = "defaults: { timeout: 1h, retries: { failed: 1 }, labels: [l] }\n"
    assert expand(manifest(top + text + entry + "\n"))


def test_nothing_can_be_added_to_an_expression() -> None:
    subject = manifest(
        "defaults: { labels: '{{ vars.l }}' }\nvars: { l: [a] }\n"
        "matrix: [{ id: a, vendor: acme, tags: [t], labels: { append: [b] } }]"
    )
    problem = only(check_rows(subject, expand(subject)))
    assert (problem.code, str(problem.place)) == (Code.LAYER, "qa-matrix.yml:5:54")


@pytest.mark.parametrize(
    ("profiles", "message", "hint"),
    [
        ("a: { extends: a }", "a profile cannot extend itself: a → a", "remove one of these"),
        ("a: { extends: b }, b: { extends: a }", "a profile cannot extend itself: a → b → a", "remove one of these"),
        (
            "a: { extends: smok }, smoke: {}",
            "extends: there is no profile 'smok'",
            "did you mean 'smoke'? Valid: smoke",
        ),
        ("a: { extends: b }", "extends: there is no profile 'b'", "remove it: there is no other profile"),
    ],
)
def test_a_profile_extends_one_that_exists_and_not_itself(profiles: str, message: str, hint: str) -> None:
    text = f"version: 1\nprofiles: {{ {profiles} }}\nmatrix: [{{ id: a, vendor: acme, tags: [t] }}]\n"
    loaded = examine("qa-matrix.yml", text)
    problem = loaded.problems[0]
    assert (problem.code, problem.message, problem.hint) == (Code.PROFILE, message, hint)
    assert all(with_profile(loaded.manifest, name) for name in loaded.profiles)


def test_a_profile_that_changes_no_entry_says_so() -> None:
    subject = with_profile(manifest(SHOP.replace("a/v: {", "a/x: {")), "nightly")
    problem = only(tuple(check_changes(subject, expand(subject))))
    assert (problem.message, problem.place.line) == ("entries: there is no entry 'a/x'", 10)
    assert problem.hint is not None
    assert problem.hint.startswith("did you mean 'a/w'?")


@pytest.mark.parametrize("required", [">=0.1", "==0.1", ">=0.1, <0.1.0", ">99"])
def test_a_manifest_says_which_versions_can_read_it(required: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qarunner.manifest.load.__version__", "0.1.0")
    text = f"requires: '{required}'\nmatrix: [{{ id: a, vendor: acme, tags: [t] }}]\n"
    if required in {">=0.1", "==0.1"}:
        manifest(text)
        return
    with pytest.raises(ManifestError) as caught:
        manifest(text)
    problem = only(caught.value.diagnostics)
    assert (problem.code, problem.place.line) == (Code.REQUIRES, 3)
    assert problem.message == f"this manifest requires qarunner {required}, and this is 0.1.0"
    with pytest.raises(ManifestError) as caught:
        manifest(f"novel: 1\n{text}")
    assert only(caught.value.diagnostics).code == Code.REQUIRES, "this version cannot judge what another one knows"


def test_a_range_of_versions_that_nobody_can_read_is_no_range() -> None:
    with pytest.raises(ManifestError) as caught:
        manifest("requires: '=>99'\nmatrix: [{ id: a, vendor: acme, tags: [t] }]\n")
    assert only(caught.value.diagnostics).code == WRONG_FORM

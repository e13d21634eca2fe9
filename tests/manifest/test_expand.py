from __future__ import annotations

from qarunner.manifest.codes import Code
from qarunner.manifest.expand import check_rows, expand, overlay, place_of
from qarunner.manifest.load import bind
from qarunner.manifest.model import Row
from qarunner.manifest.yaml.reader import read
from tests.matrices import manifest, only, refusal

SHOP = """
defaults: { vendor: acme, timeout: 30m, options: { a: 1, b: { c: 2 } } }
matrix:
  - id: checkout
    labels: [smoke, shop]
    test_ids: [abc]
    options:
      b: { d: 3 }
    variants:
      web:
        platform: web
        labels: [web]
        target: { web_url: https://example.com }
      android:
        platform: android
        timeout: 1h
        target: { binary: build/app.apk }
  - { id: search, category_ids: [x] }
"""


def test_rows_stand_in_the_order_of_the_file() -> None:
    assert [row.id for row in expand(manifest(SHOP))] == ["checkout/web", "checkout/android", "search"]


def test_mappings_merge_deeply_and_lists_replace() -> None:
    web, android, search = expand(manifest(SHOP))
    assert web.data["options"] == {"a": 1, "b": {"c": 2, "d": 3}}
    assert web.data["labels"] == ["web"]
    assert android.data["labels"] == ["smoke", "shop"]
    assert (web.data["timeout"], android.data["timeout"], search.data["timeout"]) == ("30m", "1h", "30m")
    assert search.data["vendor"] == "acme"


def test_a_row_knows_its_entry_and_variant() -> None:
    web, _, search = expand(manifest(SHOP))
    assert (web.variant, web.entry_id, web.path, "variants" in web.data) == ("web", "checkout", ("matrix", 0), False)
    assert (search.variant, search.entry_id, search.path) == (None, "search", ("matrix", 1))


def test_expanding_leaves_the_document_as_it_was() -> None:
    subject = manifest(SHOP)
    before = repr(subject.document.data)
    expand(subject)
    assert repr(subject.document.data) == before


def test_overlay_replaces_a_mapping_by_something_else() -> None:
    assert overlay({"a": {"b": 1}, "c": 1}, {"a": [1], "c": {"d": 2}}) == {"a": [1], "c": {"d": 2}}


def test_values_are_found_where_they_were_written() -> None:
    subject = manifest(SHOP)
    web, android, search = expand(subject)

    def line(row: Row, *path: str | int) -> int:
        return place_of(subject, row, path).line

    assert [line(row) for row in (web, android, search)] == [12, 16, 20]
    assert line(web, "labels", 0) == 14
    assert line(android, "labels", 0) == 7
    assert line(android, "timeout") == 18
    assert line(web, "timeout") == 4
    assert line(web, "options", "b", "c") == 4
    assert line(web, "options", "b", "d") == 10
    assert line(search, "options", "b") == 4
    assert line(web, "id") == 6


def test_an_element_that_a_list_lacks_is_not_looked_for_in_the_list_it_replaced() -> None:
    subject = manifest(SHOP)
    web = expand(subject)[0]
    assert place_of(subject, web, ("labels", 1)).line == 14


def test_two_entries_with_one_id_name_both_places() -> None:
    entry = "  - { id: a, vendor: doksi, test_ids: [x], variants: { v: {}, w: {} } }\n"
    text = f"matrix:\n{entry}{entry}"
    problem = only(refusal(lambda: manifest(text)))
    assert problem.code == Code.DUPLICATE_ID
    assert (problem.place.line, problem.place.column) == (5, 11)
    assert [place.line for place, _ in problem.related] == [4]


def test_the_same_problem_of_several_variants_is_told_once() -> None:
    variants = "variants: { v: { name: V }, w: { name: W }, x: { name: X } }"
    subject = manifest(
        f"matrix:\n  - {{ id: a, vendor: doksi, platform: web, test_ids: [x], timeout: 30m, {variants} }}\n"
    )
    several = [
        Row(row.id, {**row.data, "timeout": "soon"}, row.layers, row.path, row.variant) for row in expand(subject)
    ]
    problem = only(check_rows(subject, several))
    assert subject.document.source_line(problem.place) == problem.source
    assert problem.place.column == problem.source.index("30m") + 1 if problem.source else False


def test_a_row_without_a_selection_is_a_problem_at_its_own_line() -> None:
    subject = manifest(
        "matrix:\n  - id: a\n    vendor: doksi\n    variants:\n      v: { test_ids: [x] }\n      w: { platform: web }\n"
    )
    assert only(check_rows(subject, expand(subject))).place.line == 8


def test_good_rows_have_no_problems() -> None:
    subject = manifest(SHOP)
    assert check_rows(subject, expand(subject)) == ()


def test_ten_thousand_rows_share_what_they_have_in_common() -> None:
    entries = "".join(f"  - {{ id: e{n}, test_ids: [t{n}] }}\n" for n in range(1000))
    rows = expand(manifest(f"defaults: {{ vendor: acme, options: {{ deep: {{ er: 1 }} }} }}\nmatrix:\n{entries}"))
    assert len(rows) == 1000
    assert len({id(row.data["options"]) for row in rows}) == 1


def test_a_matrix_that_nobody_checked_is_refused_as_well() -> None:
    empty = bind(read("qa-matrix.yml", "version: 1\nmatrix: []\n"))
    assert only(refusal(lambda: expand(empty))).code == Code.NOTHING_TO_RUN
    twice = bind(read("qa-matrix.yml", "matrix: [{ id: a }, { id: a }]\n"))
    assert only(refusal(lambda: expand(twice))).code == Code.DUPLICATE_ID

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qarunner.manifest.codes import Code
from qarunner.manifest.expand import expand, place_of
from qarunner.manifest.load import BadGlob, NamedFile, examine, load
from tests.matrices import only, refusal, rendered

if TYPE_CHECKING:
    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.load import Finder

MAIN = """version: 1
name: shop
vars: { a: 1 }
defaults: { vendor: acme, test_ids: [t], timeout: 5m }
include: [%s]
matrix:
  - id: own
"""
B = """# comment
matrix:
  - id: b
    name: "{{ vars.a }}"
  - id: c
    variants: { x: { timeout: 1h } }
"""


def files(**texts: str) -> Finder:
    """A glob is a name without its ending, or `all`."""

    def find(glob: str) -> list[NamedFile]:
        if glob == "bad":
            raise BadGlob("is bad")
        names = sorted(texts) if glob == "all" else [glob] if glob in texts else []
        return [NamedFile(name=f"{name}.yml", key=name, text=texts[name].encode()) for name in names]

    return find


def problems(main: str, find: Finder) -> tuple[Diagnostic, ...]:
    return examine("qa-matrix.yml", main, find).problems


def test_the_entries_of_fragments_stand_behind_those_of_the_manifest() -> None:
    subject = load("qa-matrix.yml", MAIN % "b, d", files(b=B, d="matrix: [{ id: d }]", e="matrix: [{ id: e }]"))
    assert [row.id for row in expand(subject)] == ["own", "b", "c/x", "d"]


def test_everything_at_the_top_holds_for_them_and_places_name_their_file() -> None:
    subject = load("qa-matrix.yml", MAIN % "b", files(b=B))
    first, b, cx = rendered(subject).rows
    assert (b.data["name"], b.data["vendor"], cx.data["timeout"]) == ("1", "acme", "1h")
    places = [place_of(subject, row, path) for row in (first, b, cx) for path in ((), ("timeout",), ("name",))]
    assert [str(place) for place in places] == [
        *("qa-matrix.yml:7:5", "qa-matrix.yml:4:51", "qa-matrix.yml:7:5"),
        *("b.yml:3:5", "qa-matrix.yml:4:51", "b.yml:4:11"),
        *("b.yml:6:17", "b.yml:6:31", "b.yml:6:17"),
    ]
    assert subject.document.source_line(places[5]) == '    name: "{{ vars.a }}"'
    assert subject.document.source_line(places[0]) == "  - id: own"


def test_a_manifest_may_hold_no_entry_of_its_own() -> None:
    text = "version: 1\nname: shop\ndefaults: { vendor: acme }\ninclude: [all]\n"
    subject = load("qa-matrix.yml", text, files(a="matrix: [{ id: a, tags: [x] }]"))
    assert [row.id for row in expand(subject)] == ["a"]


def test_a_file_that_two_globs_name_is_taken_once() -> None:
    subject = load("qa-matrix.yml", MAIN % "b, all", files(b=B))
    assert [row.id for row in expand(subject)] == ["own", "b", "c/x"]


def test_ids_are_unique_over_all_files() -> None:
    find = files(b="matrix:\n  - id: x\n  - id: own\n", d="matrix:\n  - id: x\n")
    first, second = refusal(lambda: load("qa-matrix.yml", MAIN % "b, d", find))
    assert first.message == "the id 'own' is already used in qa-matrix.yml:7:9"
    assert str(first.place) == "b.yml:3:9"
    assert first.source == "  - id: own"
    assert [str(place) for place, _ in second.related] == ["b.yml:2:9"]
    assert str(second.place) == "d.yml:1:11" or str(second.place) == "d.yml:2:9"


def test_problems_of_all_files_are_told_at_once() -> None:
    result = problems(
        MAIN % "b, d, absent, bad",
        files(b="matrix:\n  - id: b\n    timeout: soon\n", d="matrix: [\n"),
    )
    assert [str(problem.place) for problem in result] == [
        *("b.yml:3:14", "d.yml:1:9", "qa-matrix.yml:5:17", "qa-matrix.yml:5:25"),
    ]
    assert result[2].message == "include: no file matches 'absent'"
    assert result[3].message == "include: 'bad' is bad"
    assert result[2].hint


@pytest.mark.parametrize(
    ("text", "said", "place"),
    [
        (
            "matrix: [{ id: a }]\nvars: { a: 1 }\n",
            "'vars' cannot stand in a fragment: it belongs into qa-matrix",
            "2:1",
        ),
        ("matrix: [{ id: a }]\ninclude: [x]\n", "'include' cannot stand in a fragment", "2:1"),
        ("matrix: [{ id: a }]\nfoo: 1\n", "unknown key 'foo'", "2:1"),
        ("matrix: []\n", "expected a list of entries", "1:9"),
        ("matrix: { id: a }\n", "expected a list of entries", "1:9"),
        ("x-a: 1\n", "no matrix at its top", "1:1"),
        ("version: 1\nname: b\nmatrix: [{ id: a }]\n", "a whole manifest", "1:1"),
        ("- id: a\n", "no matrix at its top", "1:1"),
        ("", "no matrix at its top", "1:1"),
        ("matrix: [{ id: a }]\nmatrix: []\n", "duplicate key 'matrix'", "2:1"),
        ('{"matrix": [{"id": "a"}], "b": }', "", "1:27"),
        ('matrix: [{ id: a, name: "⟦secret:A⟧" }]\n', "are reserved", "1:25"),
    ],
)
def test_a_fragment_holds_a_matrix_and_nothing_else(text: str, said: str, place: str) -> None:
    problem = only(problems(MAIN % "b", files(b=text)))
    assert said in problem.message
    assert str(problem.place) == f"b.yml:{place}"


def test_a_misspelt_matrix_is_recognised() -> None:
    problem = only(problems(MAIN % "b", files(b="matrx: [{ id: a }]\n")))
    assert str(problem.hint).startswith("did you mean 'matrix'?")


@pytest.mark.parametrize(
    "text",
    [
        *("PAYMENT_LOGIN=pssst\n", "pssst", "//registry.example/:_authToken=pssst", "- pssst\n", "a: &pssst [\n"),
        *("password: pssst\n", "matrx: pssst\n", "pssst: 1\npssst: 2\n", '{"auths": {"x": {"auth": "pssst"}}}'),
        *('{"type": "service_account", "private_key": "pssst"}', "\x00pssst", "%pssst\n", "a: !pssst 1\n"),
        *("jobs:\n  a:\n    strategy:\n      matrix: pssst\n     x: 1\n", "a: '⟦pssst'\n"),
    ],
)
def test_nothing_is_shown_of_a_file_that_is_no_fragment(text: str) -> None:
    problem = only(problems(MAIN % "b", files(b=text)))
    assert problem.code == Code.FRAGMENT
    assert problem.source is None
    assert "pssst" not in f"{problem.message}{problem.hint}{problem.related}"


def test_anchors_can_be_kept_in_a_fragment() -> None:
    find = files(b="x-a: &a { timeout: 1h }\nmatrix: [{ id: b, <<: *a }]\n")
    assert expand(load("qa-matrix.yml", MAIN % "b", find))[1].data["timeout"] == "1h"


def test_a_fragment_alone_is_recognised() -> None:
    problem = only(problems("matrix:\n  - { id: a, test_ids: [t] }\n", files()))
    assert (problem.code, str(problem.place)) == (Code.FRAGMENT, "qa-matrix.yml:1:1")
    assert "it is checked with the manifest that includes it" in problem.message


def test_without_include_a_matrix_is_needed() -> None:
    problem = only(problems("version: 1\nname: a\n", files()))
    assert problem.message == "missing key 'matrix'"
    assert problem.hint

"""Reading YAML: what becomes of scalars, keys, aliases and merges, where everything stands, and the bounds."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qarunner.diagnostics import Place
from qarunner.errors import ExitCode, ManifestError
from qarunner.manifest.yaml import reader as document
from qarunner.manifest.yaml import reader as source
from tests.amount import no_long_time

if TYPE_CHECKING:
    from qarunner.diagnostics import Diagnostic, Path
    from qarunner.manifest.yaml.reader import Document


def read(text: str | bytes) -> Document:
    return document.read("q.yml", text)


def data(text: str | bytes) -> dict[str, object]:
    return read(text).data


def problems(text: str | bytes) -> tuple[Diagnostic, ...]:
    with pytest.raises(ManifestError) as caught:
        read(text)
    return caught.value.diagnostics


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tests with it hold for libyaml and for PyYAML's own parser."""
    if request.param == "python":
        monkeypatch.setattr(yaml, "__with_libyaml__", False)
    return str(request.param)


# --- scalars ----------------------------------------------------------------------------------------------------------

STRINGS = [
    *("on", "off", "yes", "no", "y", "n", "12:30", "1:30:00", "2026-01-01", "1_000", "0b11", "017_", "0o8", "0xg"),
    *("1e", "e1", ".", "+", "-.", "1.2.3", "nan", "inf", ".Nan", "tRUE", "nULL", "+0x1f", "-0o7", "=", "\uff11"),
]
OTHERS: list[tuple[str, object]] = [
    *(("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False), ("FALSE", False)),
    *(("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None)),
    *(("0", 0), ("12", 12), ("-12", -12), ("+12", 12), ("012", 12), ("0o17", 15), ("0x1F", 31)),
    *(("1.5", 1.5), ("-.5", -0.5), ("1.", 1.0), ("1e3", 1000.0), ("1E-2", 0.01), ("+1.5e+1", 15.0)),
]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("text", STRINGS)
def test_what_looks_like_something_else_stays_text(text: str) -> None:
    assert data(f"a: {text}\n") == {"a": text}


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(("text", "value"), OTHERS)
def test_core_scalars(text: str, value: object) -> None:
    result = data(f"a: {text}\n")["a"]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.usefixtures("parser")
def test_quotes_blocks_and_the_tag_for_text_make_text() -> None:
    text = "a: '1'\nb: \"true\"\nc: !!str 5\nd: |\n  1\ne: >-\n  null\nf: !!str\n"
    assert data(text) == {"a": "1", "b": "true", "c": "5", "d": "1\n", "e": "null", "f": ""}


@pytest.mark.usefixtures("parser")
def test_keys_are_text() -> None:
    assert list(data("on: a\n1: b\n1.5: c\ntrue: d\n'': e\n'null': f\n!!str ~: g\n&x h: i\n'<<': j\n")) == [
        *("on", "1", "1.5", "true", "", "null", "~", "h", "<<")
    ]


def test_large_numbers_have_a_bound() -> None:
    assert data("a: " + "9" * 1000)["a"] == 10**1000 - 1
    assert [problem.message for problem in problems("a: " + "9" * 5000)] == ["a number of 5000 digits is too long"]


# --- aliases and merges -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("parser")
def test_explicit_keys_win_over_merged_ones_wherever_they_stand() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {x: 0, <<: [*a, *b, {w: 5}], z: 9}\nd: {<<: *a}\n"
    assert data(text)["c"] == {"x": 0, "y": 2, "z": 9, "w": 5}
    assert data(text)["d"] == {"x": 1, "y": 2}


@pytest.mark.usefixtures("parser")
def test_merged_mappings_merge_on() -> None:
    assert data("a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}\n")["c"] == {"y": 2, "x": 1}


@pytest.mark.usefixtures("parser")
def test_an_anchor_can_be_used_again() -> None:
    assert data("a: &x 1\nb: *x\nc: &x 2\nd: *x\n") == {"a": 1, "b": 1, "c": 2, "d": 2}


def chain(links: int) -> str:
    """Anchors that stand one inside of the other."""
    return "x0: &x0 [1]\n" + "".join(f"x{n}: &x{n} [*x{n - 1}]\n" for n in range(1, links))


def test_depth_counts_through_aliases() -> None:
    assert data(chain(63))
    assert [problem.code for problem in problems(chain(64))] == ["E116"]
    assert [problem.code for problem in problems("a: " + "[" * 64 + "]" * 64)] == ["E116"]
    assert data("a: " + "[" * 63 + "]" * 63)
    assert {problem.code for problem in problems("? " * 70 + "a")} == {"E110", "E116"}


def test_many_entries_can_share_much() -> None:
    common = ", ".join(f"k{n}: v" for n in range(30))
    text = f"x: &x {{ {common} }}\nmatrix:\n" + "".join(
        f"  - {{ <<: *x, id: e{n}, a: 1, b: 2 }}\n" for n in range(5000)
    )
    assert len(data(text)["matrix"]) == 5000  # type: ignore[arg-type]


def test_a_bomb_is_stopped_at_once() -> None:
    bomb = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 50)}]\n" for n in range(1, 60))
    with no_long_time():
        assert [problem.code for problem in problems(bomb)] == ["E117"]


# --- places -----------------------------------------------------------------------------------------------------------

PLACED = """\
version: 1
x-base: &base
  platform: web
  labels: [smoke, slow]

matrix:
  - id: checkout
    target: { web_url: "https://x" }
    <<: *base
    also: *base
  -   id:
      name: |
        text
"""


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        ((), False, "1:1"),
        (("version",), False, "1:10"),
        (("version",), True, "1:1"),
        (("matrix",), True, "6:1"),
        (("matrix",), False, "7:3"),
        (("matrix", 0), False, "7:5"),
        (("matrix", 0), True, "7:5"),
        (("matrix", 0, "id"), False, "7:9"),
        (("matrix", 0, "target", "web_url"), False, "8:24"),
        (("matrix", 0, "target", "web_url"), True, "8:15"),
        (("matrix", 0, "platform"), True, "3:3"),
        (("matrix", 0, "labels", 1), False, "4:19"),
        (("matrix", 0, "also"), False, "10:11"),
        (("matrix", 0, "also", "labels", 0), False, "4:12"),
        (("matrix", 1), False, "11:7"),
        (("matrix", 1, "id"), False, "11:10"),
        (("matrix", 1, "name"), False, "12:13"),
        # nearest ancestors
        (("matrix", 0, "nothing", "there"), False, "7:5"),
        (("matrix", 0, "nothing"), True, "7:5"),
        (("matrix", 7), False, "7:3"),
        (("matrix", -1), False, "7:3"),
        (("version", "x"), False, "1:10"),
        (("matrix", 0, "id", 0), False, "7:9"),
    ],
)
def test_places(path: Path, key: bool, place: str) -> None:  # noqa: FBT001
    assert str(read(PLACED).locate(path, key=key)) == f"q.yml:{place}"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_end_as_in_editors(line_end: str) -> None:
    document = read(line_end.join(["a: 1", "b: 'é\u2028\u0085'", "c: 😀", "d: {e: f}", ""]))
    assert str(document.locate(("d", "e"))) == "q.yml:4:8"
    assert document.source_line(Place("a", 4, 1)) == "d: {e: f}"
    assert [document.source_line(Place("a", line, 1)) for line in (0, -1, 5, 6)] == [None, None, "", None]


def test_a_byte_order_mark_does_not_count() -> None:
    assert str(read(b"\xef\xbb\xbfa: 1").locate(("a",))) == "q.yml:1:4"


def test_a_line_that_is_too_long_is_not_shown() -> None:
    document = read(json.dumps({"a": "x" * 3000, "b": 1}))
    assert document.source_line(Place("a", 1, 1)) is None
    assert document.locate(("b",)).line == 1


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
# JSON escapes characters beyond U+FFFF as two halves, which YAML does not know; unescaped they are fine.
texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff"))
plain = st.recursive(
    scalars | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(texts, plain, max_size=4), st.sampled_from([None, 1, "\t"]))
def test_json_reads_as_json(value: dict[str, object], indent: str | int | None) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    document = read(text)
    assert json.dumps(document.data) == json.dumps(value)


@given(st.dictionaries(texts, plain, max_size=4))
def test_what_a_dumper_writes_is_read_again(value: dict[str, object]) -> None:
    text = yaml.dump(value, Dumper=yaml.CSafeDumper, allow_unicode=True, default_flow_style=False)
    # YAML 1.1 and 1.2 differ in numbers such as 1e16: the dumper leaves out a dot or writes the tag !!float for it
    if "!!" not in text and not any(isinstance(leaf, float) for leaf in leaves(value)):
        assert read(text).data == value


def leaves(value: object) -> list[object]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if children is None else [leaf for child in children for leaf in leaves(child)]


# --- problems ---------------------------------------------------------------------------------------------------------


def test_a_problem_exits_with_2_and_all_are_told() -> None:
    with pytest.raises(ManifestError) as caught:
        read("a: 1\na: 2\nb: .nan\nc: !foo d\ne: [\n")
    assert caught.value.code is ExitCode.USAGE
    assert [problem.place.line for problem in caught.value.diagnostics] == [2, 3, 4, 5]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("", "E106", "1:1"),
        ("# only this\n", "E106", "1:1"),
        ("---\n", "E106", "1:1"),
        ("~\n", "E106", "1:1"),
        ("- a\n", "E107", "1:1"),
        ("text\n", "E107", "1:1"),
        ("a: 1\n---\nb: 1\n", "E108", "2:1"),
        ("a: 1\n\tb: 2\n", "E104", "2:1"),
        ("a:\n\t- b\n", "E104", "2:1"),
        ("a: {{ b }}\n", "E105", "1:4"),
        ("a: [x, {{ b }}]\n", "E105", "1:8"),
        ("a:\n  - {{ b }}\n", "E105", "2:5"),
        ("a: {{ b }}/c\n", "E105", "1:4"),
        ("a: {% b %}\n", "E105", "1:4"),
        ("a: {# b #}\n", "E105", "1:4"),
        ("a: 1\nb: 2\n'a': 3\n", "E109", "3:1"),
        ("~: 1\n", "E110", "1:1"),
        ("a: {~: 1}\n", "E110", "1:5"),
        ("[a]: 1\n", "E110", "1:1"),
        ("{a: b}: 1\n", "E110", "1:1"),
        ("a: &a 1\n*a : 1\n", "E110", "2:1"),
        ("a: !!int 1\n", "E111", "1:4"),
        ("!!str a: !!map {}\n", "E111", "1:10"),
        ("a: ! b\n", "E111", "1:4"),
        ("a: *b\n", "E113", "1:4"),
        ("a: &a {b: *a}\n", "E113", "1:11"),
        ("a: &a\n  <<: *a\n", "E113", "2:7"),
        ("a:\n  <<: 1\n", "E114", "2:7"),
        ("a:\n  <<:\n", "E114", "2:6"),
        ("b: &b 1\na:\n  <<: [*b]\n", "E114", "3:8"),
        ('a: "\\ud83d"\n', "E101", None),
        ("a: 'b\n", "E101", None),
        ("a: [b\n", "E101", None),
        ("a: b: c\n", "E101", None),
        ("%FOO\n", "E101", None),
    ],
)
def test_problems(text: str, code: str, place: str | None) -> None:
    (result,) = problems(text)
    assert result.code == code
    assert place is None or str(result.place) == f"q.yml:{place}"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"a: caf\xe9\n", "byte 0xE9 at offset 6"),
        (b"a: 1\nb: \xc3\x28\n", "byte 0xC3 at offset 8"),
        ("a: 1".encode("utf-16"), "UTF-16"),
        ("a: 1".encode("utf-32"), "UTF-32"),
        ("a: 1".encode("utf-16-le"), "a NUL character"),
        (b"a: \x1b[0m", "U+001B"),
        ("a: b\ufeff".encode(), "U+FEFF"),
    ],
)
def test_wrong_encodings(raw: bytes, words: str) -> None:
    assert words in problems(raw)[0].message


def test_a_surrogate_in_text_is_refused() -> None:
    assert problems("a: '\ud800'")[0].code == "E103"


def test_a_huge_file_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "LARGEST_MIB", 1)
    assert data(b"a: " + b"x" * 2**19)
    assert [problem.code for problem in problems(b"a: " + b"x" * 2**20)] == ["E115"]


def test_problems_without_end_are_cut_short() -> None:
    text = "".join(f"k: {n}\n" for n in range(20_000))
    with no_long_time():
        assert len(problems(text)) == 200


def test_the_collector_is_as_it_was() -> None:
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            read("a: 1")
            problems("a: [")
            assert gc.isenabled() == enabled
        finally:
            gc.enable()


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("version: 1\n<<<<<<< HEAD\nname: t\n=======\nname: u\n>>>>>>> x\n", 2, "a merge conflict is left here"),
        ("version: 1\nname: t\n=======\nname: u\n", 3, "a merge conflict is left here"),
        ("<<<<<<< HEAD\nversion: 1\n=======\nversion: 2\n>>>>>>> x\nname: t\n", 1, "a merge conflict is left here"),
        ("version: 1\nname:\N{NO-BREAK SPACE}t\nmatrix: []\n", 2, "a non-breaking space, which is no space in YAML"),
    ],
)
def test_what_git_or_an_editor_left_is_named_at_its_line(text: str, line: int, message: str) -> None:
    assert [(problem.place.line, problem.message) for problem in problems(text)] == [(line, message)]

"""Every folder of tests/golden/schema is a case: what is said of its manifest when it is read and checked."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qarunner.diagnostics import in_order
from qarunner.errors import ManifestError
from qarunner.manifest import codes as fault_codes
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.schema.urls import misfits
from qarunner.manifest.yaml import reader as document
from tests.amount import examples, no_long_time

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from qarunner.diagnostics import Diagnostic
    from qarunner.diagnostics import Path as Route

ROOT = Path(__file__).resolve().parents[2] / "golden" / "schema"
CASES = sorted(path.name for path in ROOT.iterdir())
FULL = (ROOT / "valid-full" / "qa-matrix.yml").read_text(encoding="utf-8")
FAULT_CODES = {
    code for code in vars(fault_codes).values() if isinstance(code, str) and re.fullmatch(r"E[12]\d\d", code)
}
PARTS: tuple[schema.Part, ...] = ("manifest", "entry", "variant", "defaults", "row")


def problems(text: bytes | str) -> tuple[Diagnostic, ...]:
    try:
        read = document.read("qa-matrix.yml", text)
        return in_order(schema.placed(read, schema.faults(read.data)))
    except ManifestError as error:
        return error.diagnostics


def shown(diagnostic: Diagnostic) -> str:
    lines = [f"{diagnostic} [{diagnostic.code}]"]
    if diagnostic.source is not None:
        lines += [f"    {diagnostic.source}", "    " + " " * (diagnostic.place.column - 1) + "^"]
    lines += [f"    {place}: {words}" for place, words in diagnostic.related]
    lines += [f"    hint: {diagnostic.hint}"] if diagnostic.hint else []
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, golden: Callable[[Path, str], None]) -> None:
    result = problems((ROOT / case / "qa-matrix.yml").read_bytes())
    golden(ROOT / case / "errors.txt", "\n".join(map(shown, result)))
    assert case.startswith("valid-") == (not result)
    assert not {problem.code for problem in result} - FAULT_CODES


def test_every_code_has_a_case() -> None:
    codes = {problem.code for case in CASES for problem in problems((ROOT / case / "qa-matrix.yml").read_bytes())}
    assert FAULT_CODES - codes == {fault_codes.TOO_LARGE, fault_codes.OTHER}


def test_every_refusal_has_a_case() -> None:
    messages = "\n".join((ROOT / case / "errors.txt").read_text(encoding="utf-8") for case in CASES)
    wanted = re.findall(r'"errorMessage": ("(?:[^"\\]|\\.)*")', schema.text())
    assert wanted
    assert [message for message in map(json.loads, wanted) if message not in messages] == []


# --- parts ------------------------------------------------------------------------------------------------------------


def row(**keys: object) -> dict[str, object]:
    return {"id": "checkout/web", "vendor": "doksi", "test_ids": ["a"], **keys}


def test_a_row_has_one_selection_and_a_vendor() -> None:
    assert schema.faults(row(), part="row") == ()
    assert [fault.message for fault in schema.faults({"id": "a[x=1]"}, part="row")] == [
        "missing key 'vendor'",
        "needs exactly one of test_ids, category_ids, tags, tests, categories",
    ]
    (fault,) = schema.faults(row(category_ids=["b"]), part="row")
    assert (fault.path, fault.key) == (("category_ids",), True)
    assert fault.message == "test_ids and category_ids exclude each other: give one of them"


def test_testerarmy_can_do_with_a_pull_request() -> None:
    for word, complete in ((True, True), ("{{ vars.x }}", True), (False, False)):
        data = {"id": "a", "vendor": "testerarmy", "options": {"pull_request": word}}
        assert (not schema.faults(data, part="row")) == complete
        assert schema.faults({**data, "vendor": "plug"}, part="row")


def test_an_id_may_be_a_secret_that_only_the_request_reveals() -> None:
    for vendor in ("docketqa", "testerarmy"):
        hidden = row(vendor=vendor, test_ids=["***"])
        assert schema.faults(hidden, part="row", templates=False) == ()
        assert schema.faults(hidden, part="row")


def test_certyn_can_do_with_an_instruction() -> None:
    row: dict[str, object] = {"id": "a", "vendor": "certyn", "options": {"instruction": "Buy a book"}}
    assert schema.faults(row, part="row") == ()
    assert schema.faults({**row, "tags": ["a"]}, part="row") == ()
    assert schema.faults({**row, "tags": ["a"], "category_ids": ["b"]}, part="row")
    assert schema.faults({**row, "vendor": "plug"}, part="row")


def test_rendered_rows_are_not_excused_by_braces() -> None:
    templated = row(platform="{{ vars.p }}", timeout="{{ vars.t }}", target={"web_url": "{{ env.U }}"})
    assert schema.faults(templated, part="row") == ()
    paths = [fault.path for fault in schema.faults(templated, part="row", templates=False)]
    assert paths == [("platform",), ("target", "web_url"), ("timeout",)]
    assert schema.faults(row(name="{{ literally }}"), part="row", templates=False) == ()


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\u2028"])
def test_no_line_end_slips_through_at_the_end_of_a_text(line_end: str) -> None:
    for keys in ({"timeout": f"30s{line_end}"}, {"id": f"a{line_end}"}, {"vendor": f"plug{line_end}"}):
        assert schema.faults(row(**keys), part="row"), keys


def test_text_that_is_no_unicode_is_a_problem_and_no_crash() -> None:
    (fault,) = schema.faults(row(target={"web_url": "https://x/\udcff"}), part="row")
    assert fault.path == ("target", "web_url")
    assert schema.faults(row(options={"\udcff": 1}), part="row")[0].path == ("options",)


def test_the_wrong_type_of_a_part_is_one_problem() -> None:
    for part in PARTS:
        data: object
        for data in (5, "text", [], True):
            assert len(schema.faults(data, part=part)) == 1, (part, data)


# --- many entries -----------------------------------------------------------------------------------------------------


def test_places_are_right_among_many_entries() -> None:
    entries = [f"  - {{ id: e{index}, platform: {'webb' if index in {3, 70} else 'web'} }}\n" for index in range(100)]
    result = problems("version: 1\nname: many\nmatrix:\n" + "".join(entries))
    assert [problem.place.line for problem in result] == [7, 74]


def test_one_problem_among_many_entries_costs_little() -> None:
    entries: list[object] = [{"id": f"e{index}", "vendor": "doksi", "test_ids": ["a"]} for index in range(20_000)]
    schema.faults({})
    with no_long_time():
        (fault,) = schema.faults({"version": 1, "name": "many", "matrix": [*entries, {"id": "X"}]})
        assert fault.path == ("matrix", 20_000, "id")


@pytest.mark.parametrize("many", ["entries of a base", "variants"])
def test_of_thousands_of_problems_the_first_are_explained(many: str) -> None:
    """A base of 8,000 wrong entries took 12 s when all of them were: a millisecond or more each."""
    wrong: dict[str, object] = {f"e{index}": {"timeout": "soon"} for index in range(2_000)}
    entry = {"id": "a", "vendor": "doksi", "test_ids": ["t"], "variants": wrong}
    *faults, last = (
        schema.faults({"version": 1, "name": "many", "matrix": [entry]})
        if many == "variants"
        else schema.faults({"entries": wrong}, part="base")
    )
    assert [fault.path[-2:] for fault in faults] == [(f"e{index}", "timeout") for index in range(1_000)]
    assert (last.path, last.message) == ((), "more than 1,000 problems")


# --- what is imported -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("from qarunner.manifest.yaml import reader; reader.read('', 'a: 1')", {"yaml", "jsonschema", "jinja2"}),
        (
            "from qarunner.manifest.schema import validate as schema; schema.text()",
            {"yaml", "jsonschema"},
        ),
        (
            "from qarunner.manifest.schema import validate as schema; schema.faults({}, part='defaults')",
            {"yaml", "jsonschema"},
        ),
    ],
)
def test_libraries_are_imported_where_they_are_needed(code: str, absent: set[str]) -> None:
    loaded = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert not absent & set(done.stdout.split())


# --- at random --------------------------------------------------------------------------------------------------------

VALUES: list[object] = [
    *(None, True, False, 0, 1, -1, 1.0, 2.5, 10**30, "", "a", "{{ x }}", "30s", "30s\n", "0s", "https://x"),
    *("web", "ios", "doksi", "certyn", "docketqa", "testerarmy", "plug", "authentication", "specific", "none", "Foo"),
    *([], ["a"], ["a", "a"], [1, True, 1.0], [[]], [None], {}, {"a": 1}, {"id": "x"}, {"vendor": "doksi"}),
    *({"pull_request": True}, {"title": "a" * 600}, {"app_id": 0}, {"test_urls": {"a": 1}}, {"binary": "a.apk"}),
    *("3f2b8c1e-5d4a-4c7b-9e6f-0a1b2c3d4e5f", "12", ["12"], {"set_current": False, "mode": "slow"}, 60),
    *({"web_url": "https://x"}, {"type": "authentication", "strategy": "specific"}, {"w": None}),
]
KEYS = [
    *("id", "vendor", "test_ids", "tags", "category_ids", "platform", "target", "variants", "options", "axes", "foo"),
    *("pull_request", "app_id", "set_current", "login_url", "test_urls", "mode", "title", "remove_after", "details"),
    *("x-a", "web_url", "binary", "instruction", "artifacts", "timeout", "defaults", "matrix", "env", "vars", "é", ""),
]
TOKENS = [
    *("{{ env.X }}", "{% x %}", "[", "]", "{", "}", ": ", "- ", "\n", "\t", "&a ", "*a", "<<: *a\n", "'", '"', "|\n"),
    *("#", "!!str ", "!x ", "~", "null: 1\n", "? ", "---\n", "...\n", "%YAML 1.2\n", "1e999", ".nan", "\x00", "\u2028"),
    *("\x85", "\ufeff", "é", "😀", "\\", "  ", "@", "\r\n", ",", "5", "x-a: &a {b: 1}\n", ""),
]


def routes(data: object, route: Route = ()) -> Iterator[Route]:
    yield route
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, child in children:
        yield from routes(child, (*route, step))


def mangle(data: dict[str, object], chance: random.Random) -> None:
    """Replaces, removes or adds something somewhere."""
    route = chance.choice([item for item in routes(data) if item])
    parent: dict[object, object] = data  # type: ignore[assignment]
    for step in route[:-1]:
        parent = parent[step]  # type: ignore[assignment]
    match chance.randrange(3):
        case 0:
            del parent[route[-1]]
        case 1:
            parent[route[-1]] = copy.deepcopy(chance.choice(VALUES))
        case _ if isinstance(parent, dict):
            parent[chance.choice(KEYS)] = copy.deepcopy(chance.choice(VALUES))


@cache
def judge(part: schema.Part, templates: bool) -> jsonschema_rs.Draft202012Validator:  # noqa: FBT001  a key of the cache
    """A library's validator of the schema, which knows nothing of what was made of it."""
    return jsonschema_rs.Draft202012Validator(schema.definition(part, templates=templates))


def assert_all_validators_agree(data: object, part: schema.Part, *, templates: bool) -> None:
    valid = bool(schema.accepting(templates=templates)[part](data))
    assert judge(part, templates).is_valid(data) == valid
    assert schema._explaining(part, templates=templates).is_valid(data) == valid
    faults = schema.faults(data, part=part, templates=templates)
    assert valid == (not faults)
    assert fault_codes.OTHER not in {fault.code for fault in faults}
    assert len({(fault.path, fault.message) for fault in faults}) == len(faults)


@given(st.randoms(use_true_random=False))
def test_mangled_data_gives_faults_and_all_validators_agree(chance: random.Random) -> None:
    data = copy.deepcopy(document.read("qa-matrix.yml", FULL).data)
    for _ in range(chance.randint(1, 4)):
        mangle(data, chance)
    assert_all_validators_agree(data, "manifest", templates=True)
    matrix = data.get("matrix")
    for entry in matrix if isinstance(matrix, list) else ():
        assert_all_validators_agree(entry, chance.choice(PARTS[1:]), templates=chance.random() < 0.5)


@examples(2.5)
@given(st.randoms(use_true_random=False))
def test_mangled_text_gives_problems_with_places(chance: random.Random) -> None:
    text = FULL
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text))
        text = text[:start] + chance.choice(TOKENS) + text[start + chance.choice((0, 0, 1, 2, 5, 20)) :]
    for problem in problems(text):
        assert problem.place.line >= 1
        assert problem.source is None or problem.place.column <= len(problem.source) + 1
        assert "not valid YAML" not in problem.message


@given(st.text(alphabet=st.sampled_from("ab:-?&*!|>'\"%@`{}[],#\t\n \\.~<0\r\ufeff\x85"), max_size=40))
def test_any_text_gives_problems(text: str) -> None:
    assert problems(text)


@given(st.binary(max_size=60))
def test_any_bytes_give_problems(raw: bytes) -> None:
    assert problems(raw)


def test_a_manifest_with_everything_is_valid_as_json_too() -> None:
    data = document.read("qa-matrix.yml", FULL).data
    assert document.read("qa-matrix.json", json.dumps(data)).data == data
    assert schema.faults(data) == ()


@examples(5)
@given(st.randoms(use_true_random=False))
def test_a_row_is_judged_in_the_same_way_where_only_what_changed_is_looked_at(chance: random.Random) -> None:
    data = document.read("qa-matrix.yml", FULL).data
    entry = chance.choice(cast("list[dict[str, object]]", data["matrix"]))
    layers = [mangled(data["defaults"], "defaults", chance), mangled(entry, "entry", chance)]
    before = changed({**layers[0], **layers[1]}, chance)
    row = changed(before, chance)
    templates = chance.random() < 0.5 or "{" in json.dumps(row)  # else each would have been replaced
    judged = judge("row", templates).is_valid(row) and not any(misfits(row))
    assert schema.is_valid(row, part="row", templates=templates) == judged
    assert schema.is_valid_row(row, layers=layers, templates=templates) == judged
    if schema.is_valid(before, part="row"):
        assert schema.is_valid_row(row, before, templates=templates) == judged


def mangled(data: object, part: schema.Part, chance: random.Random) -> dict[str, object]:
    """Something else that is valid, too."""
    copied = cast("dict[str, object]", copy.deepcopy(data))
    other = copy.deepcopy(copied)
    for _ in range(chance.randint(0, 2)):
        mangle(other, chance)
    return other if schema.is_valid(other, part=part) else copied


def changed(row: dict[str, object], chance: random.Random) -> dict[str, object]:
    """Some values are new objects, all others are shared."""
    mangled = copy.deepcopy(row)
    for _ in range(chance.choice([0, 1, 1, 2])):
        mangle(mangled, chance)
    return {key: row[key] if key in row and repr(row[key]) == repr(value) else value for key, value in mangled.items()}


def test_a_space_that_is_none_is_named_before_a_key() -> None:
    (problem,) = problems(
        "version: 1\nname: t\nmatrix:\n  - id: a\n    vendor: doksi\n    test_ids: [t]\n    \xa0owner: x\n"
    )
    assert problem.place.line == 7
    assert "what stands before 'owner' is no space in YAML" in str(problem.hint)

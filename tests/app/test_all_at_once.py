"""No problem hides another one that does not follow from it, in the same entry or in another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from qarunner.app.planning import check_with_profiles

if TYPE_CHECKING:
    import pytest

WRONG: dict[str, tuple[dict[str, object], str]] = {
    "vendor": ({"vendor": "doski"}, "unknown vendor 'doski'"),
    "key": ({"platfrom": "web"}, "unknown key 'platfrom'"),
    "value": ({"timeout": "soon"}, "timeout: expected a duration"),
    "item": ({"labels": ["x", 7]}, "labels[1]: expected"),
    "needs": ({"needs": ["zzz"]}, "needs: there is no entry 'zzz'"),
    "template": ({"name": "{{ env.NOPE }}"}, "env.NOPE is not declared"),
    "syntax": ({"description": "{{ 1 + }}"}, "template: "),
    "variant": ({"variants": {"a": {"nmae": "x"}, "b": {"description": "{{ vars.gone }}"}}}, "vars.gone"),
    "retries": ({"retries": {"failed": -1}}, "failed: expected at least 0"),
    "quarantine": ({"quarantine": {"reason": "x", "until": "soon"}}, "until: expected"),
    "missing": ({"quarantine": {"reason": "x", "until": "soon"}}, "missing key 'owner'"),
    "condition": ({"if": "{{ env.NOPE }}"}, "env.NOPE is not declared"),
    "port": ({"test_ids": None, "category_ids": [7], "target": {"web_url": "https://a.example.com:99999"}}, "no port"),
    "option": ({"options": {"colour": 1}}, "unknown key 'colour'"),
    "capability": ({"artifacts": [{"type": "authentication", "strategy": "none"}]}, "docketqa signs in"),
}
"""Independent ways to be wrong, each with a part of its message."""

WRONG_TOP: dict[str, tuple[object, tuple[str, ...]]] = {
    "env": ({"A": {"format": "nope"}, "B_TOKEN": []}, ("format: expected one of", "B_TOKEN: expected")),
    "vars": ({"v": None}, ("v: expected a value",)),
    "defaults": (
        {"retires": {"infra": 0}, "timeout": 1, "name": "{{ vars.gone }}"},
        ("'retires'", "timeout: expected", "vars.gone"),
    ),
    "gate": ({"min_tests": "x"}, ("min_tests: expected",)),
    "budget": ({"max_tests": -1, "per_vendor": {"doski": 3}}, ("max_tests: expected", "unknown vendor 'doski'")),
    "profiles": (
        {"p": {"select": ["label:"], "vars": {"v": "{{ nope }}"}, "defaults": {"timeout": 2}, "entries": {"zz": {}}}},
        ("'label:' names nothing", "unknown name 'nope'", "timeout: expected", "there is no entry 'zz'"),
    ),
    "vendors": ({"docketqa": {"poll": {"every": "0s"}, "colour": 1}}, ("longer than zero", "unknown key 'colour'")),
    "include": (["none/*.yml"], ("no file matches",)),
}
"""The same for the sections at the top."""


@given(
    wrong=st.lists(st.sets(st.sampled_from(sorted(WRONG)), min_size=0, max_size=5), min_size=1, max_size=4),
    top=st.sets(st.sampled_from(sorted(WRONG_TOP)), max_size=3),
)
def test_all_problems_are_said_in_one_round(
    tmp_path_factory: pytest.TempPathFactory, wrong: list[set[str]], top: set[str]
) -> None:
    entries: list[dict[str, object]] = []
    for number, kinds in enumerate(wrong):
        entry: dict[str, object] = {"id": f"e{number}", "vendor": "docketqa", "test_ids": [1]}
        for kind in sorted(kinds):
            entry |= WRONG[kind][0]
        entry = {key: value for key, value in entry.items() if value is not None}
        entries.append(entry)
    file = tmp_path_factory.mktemp("manifest") / "qa-matrix.yml"
    # A line for each entry: what is said of one entry stands at its line.
    text = "version: 1\nname: t\nmatrix:\n" + "".join(f"  - {json.dumps(each)}\n" for each in entries)
    file.write_text(text + "".join(f"{key}: {json.dumps(WRONG_TOP[key][0])}\n" for key in sorted(top)))
    checked = check_with_profiles(file, {})
    problems = [problem for part in checked for problem in part.problems]
    for number, key in enumerate(sorted(top), 4 + len(entries)):
        said = [problem.message for problem in problems if problem.place.line == number]
        assert all(any(part in message for message in said) for part in WRONG_TOP[key][1]), (key, said)
        assert len(said) == len(WRONG_TOP[key][1])
    for number, kinds in enumerate(wrong):
        said = [problem.message for problem in problems if problem.place.line == 4 + number]
        for kind in kinds:
            assert any(WRONG[kind][1] in message for message in said), (kind, said)
        assert bool(said) is bool(kinds)

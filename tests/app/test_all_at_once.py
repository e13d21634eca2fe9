"""No problem hides another one that does not follow from it, in the same entry or in another."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

from qarunner.app.planning import check_with_profiles

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

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


OF_A_VENDOR = {"option", "capability"}
"""What can be said of an entry only if its vendor is known."""


def problems_of(folder: Path, entries: Iterable[object], top: Iterable[str] = ()) -> dict[int, list[str]]:
    """The problems by their lines: each entry has one from the fourth on, and then each section at the top."""
    file = folder / "qa-matrix.yml"
    text = "version: 1\nname: t\nmatrix:\n" + "".join(f"  - {json.dumps(entry)}\n" for entry in entries)
    file.write_text(text + "".join(f"{key}: {json.dumps(WRONG_TOP[key][0])}\n" for key in top), encoding="utf-8")
    said = defaultdict(list)
    for part in check_with_profiles(file, {}):
        for problem in part.problems:
            said[problem.place.line].append(problem.message)
    return said


def entry_of(number: int, kinds: Iterable[str]) -> dict[str, object]:
    entry: dict[str, object] = {"id": f"e{number}", "vendor": "docketqa", "test_ids": [1]}
    for kind in kinds:
        entry |= WRONG[kind][0]
    return {key: value for key, value in entry.items() if value is not None}


def test_no_problem_of_an_entry_hides_another_one(tmp_path: Path) -> None:
    wrong = [kinds for size in (0, 1, 2) for kinds in combinations(sorted(WRONG), size)]
    said = problems_of(tmp_path, [entry_of(number, kinds) for number, kinds in enumerate(wrong)])
    for line, kinds in enumerate(wrong, 4):
        for kind in set(kinds) - (OF_A_VENDOR if "vendor" in kinds else set()):
            assert any(WRONG[kind][1] in message for message in said[line]), (kinds, said[line])
        assert bool(said[line]) is bool(kinds), (kinds, said[line])


def test_no_problem_of_a_section_hides_another_one(tmp_path: Path) -> None:
    kinds = sorted(WRONG_TOP)
    for top in (*combinations(kinds, 1), *combinations(kinds, 2), kinds):
        said = problems_of(tmp_path, [entry_of(1, ()), entry_of(2, ["template"])], top)
        for line, key in enumerate(top, 6):
            assert all(any(part in message for message in said[line]) for part in WRONG_TOP[key][1]), (top, said[line])
            assert len(said[line]) == len(WRONG_TOP[key][1]), (top, said[line])
        assert (said[4], len(said[5])) == ([], 1), (top, said)

"""No problem hides another one that does not follow from it, in the same entry or in another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from qarunner.app.planning import check_manifest

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
    "quarantine": ({"quarantine": {"reason": "x", "owner": "y", "until": "soon"}}, "until: expected"),
}
"""Independent ways to be wrong, each with a part of its message."""


@given(wrong=st.lists(st.sets(st.sampled_from(sorted(WRONG)), min_size=0, max_size=5), min_size=1, max_size=4))
def test_all_problems_are_said_in_one_round(tmp_path_factory: pytest.TempPathFactory, wrong: list[set[str]]) -> None:
    entries: list[dict[str, object]] = []
    for number, kinds in enumerate(wrong):
        entry: dict[str, object] = {"id": f"e{number}", "vendor": "docketqa", "test_ids": [1]}
        for kind in sorted(kinds):
            entry |= WRONG[kind][0]
        entries.append(entry)
    file = tmp_path_factory.mktemp("manifest") / "qa-matrix.yml"
    # A line for each entry: what is said of one entry stands at its line.
    file.write_text("version: 1\nname: t\nmatrix:\n" + "".join(f"  - {json.dumps(each)}\n" for each in entries))
    problems = check_manifest(file, None).problems
    for number, kinds in enumerate(wrong):
        said = [problem.message for problem in problems if problem.place.line == 4 + number]
        for kind in kinds:
            assert any(WRONG[kind][1] in message for message in said), (kind, said)
        assert bool(said) is bool(kinds)

"""Which rows run: needs, conditions, changes, shards and reruns, through the whole program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.program.conftest import Stage


def planned(stage: Stage, *arguments: str, **variables: str | None) -> Any:  # noqa: ANN401  JSON
    ended = stage.run("plan", "--format", "json", *arguments, **variables)
    assert ended.code == 0, ended
    return json.loads(ended.out)


def ids(plan: Any) -> list[str]:  # noqa: ANN401
    return [entry["id"] for entry in plan["entries"]]


# --- needs ------------------------------------------------------------------------------------------------------------


def shop(stage: Stage) -> None:
    stage.commit(
        stage.doksi("checkout", variants={"web": {}, "other": {"target": {"web_url": "https://other.example"}}}),
        stage.certyn("smoke", needs=["checkout"]),
        stage.doksi("unrelated"),
    )


def test_what_is_needed_is_included_across_vendors(stage: Stage) -> None:
    shop(stage)
    ended = stage.run("plan", "--select", "smoke")
    assert ended.code == 0, ended
    assert "warning: checkout/web is included: smoke needs it" in ended.err
    assert "warning: checkout/other is included: smoke needs it" in ended.err
    assert "  needs: checkout/web, checkout/other" in ended.out
    plan = planned(stage, "--select", "smoke")
    assert ids(plan) == ["checkout/web", "checkout/other", "smoke"]
    assert [entry["needs"] for entry in plan["entries"]] == [[], [], ["checkout/web", "checkout/other"]]


def test_bad_needs_are_told_before_anything_else_happens(stage: Stage) -> None:
    stage.commit(stage.doksi("a", needs=["b"]), stage.doksi("b", needs=["a"]), stage.doksi("c", needs=["bb"]))
    for command in ("validate", "apply"):
        ended = stage.run(command)
        assert ended.code == 2, ended
        assert "needs: these wait for each other: b → a → b [E421]" in ended.err
        assert "needs: there is no entry 'bb' [E420]" in ended.err
    assert stage.sent() == []


def test_a_broken_entry_is_not_called_unknown(stage: Stage) -> None:
    stage.commit(stage.doksi("a", needs=["b", "b/web"]), stage.doksi("b", platfrom="web"))
    ended = stage.run("validate")
    assert "platfrom" in ended.err
    assert "E420" not in ended.err


# --- if ---------------------------------------------------------------------------------------------------------------

MAIN = "{{ env.BRANCH == 'main' }}"


def conditional(entry: dict[str, object], condition: object) -> dict[str, object]:
    return {**entry, "if": condition}


def gated(stage: Stage) -> None:
    stage.commit(
        stage.doksi("login"),
        conditional(stage.doksi("release"), MAIN),
        stage.doksi("after", needs=["release"]),
        stage.doksi("last", needs=["after"]),
        env={"BRANCH": {}},
    )


def test_rows_whose_if_is_false_are_listed_and_not_run(stage: Stage) -> None:
    gated(stage)
    reasons = {
        "release": f"skipped by if: {MAIN}",
        "after": f"needs release, which is not planned: skipped by if: {MAIN}",
        "last": f"needs after, which is not planned: needs release, which is not planned: skipped by if: {MAIN}",
    }
    plan = planned(stage, BRANCH="topic")
    assert ids(plan) == ["login"]
    assert {row["id"]: row["reason"] for row in plan["not_planned"]} == reasons
    assert all(row["origin"]["line"] > 1 for row in plan["not_planned"])
    assert f"not planned: release  skipped by if: {MAIN}  qa-matrix.yml:" in stage.run("plan", BRANCH="topic").out
    ended = stage.apply(BRANCH="topic")
    assert ended.code == 0, ended
    assert f"qarunner: not planned: after  {reasons['after']}" in ended.err
    assert {row["id"]: row["reason"] for row in stage.report()["not_planned"]} == reasons
    assert stage.paid() == [["login"]]
    assert ids(planned(stage, BRANCH="main")) == ["login", "release", "after", "last"]


def test_nothing_left_to_run_is_not_green(stage: Stage) -> None:
    gated(stage)
    ended = stage.apply("--select", "release", "--select", "after", BRANCH="topic")
    assert ended.code == 3, ended
    assert "nothing to run: all 2 chosen entries are left out" in ended.err
    assert f"    release: skipped by if: {MAIN}" in ended.err
    assert stage.sent() == []


def test_what_only_a_left_out_row_needs_is_not_run(stage: Stage) -> None:
    stage.commit(
        stage.doksi("setup"),
        conditional(stage.doksi("release", needs=["setup"]), condition=False),
        stage.doksi("login"),
    )
    assert ids(planned(stage, "--select", "release", "--select", "login")) == ["login"]


def test_the_condition_of_a_row_that_is_not_chosen_needs_no_variable(stage: Stage) -> None:
    gated(stage)
    assert ids(planned(stage, "--select", "login")) == ["login"]
    assert "BRANCH is not set" in stage.run("plan").err

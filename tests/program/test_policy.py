"""What gates and what does not, through the whole program."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.program.conftest import Begin, Stage

LOGIN_FAILS = {"doksi": {"tests": {"login": "failed"}}}


def quarantine(days: int) -> dict[str, str]:
    """One that ends so many days from now."""
    until = datetime.now(UTC).date() + timedelta(days=days)
    return {"reason": "flaky since monday", "owner": "team-shop", "until": until.isoformat()}


def test_a_quarantined_failure_is_shown_and_does_not_gate(begin: Begin) -> None:
    stage = begin(**LOGIN_FAILS)
    stage.commit(stage.doksi("login", quarantine=quarantine(30)), stage.doksi("cart"))
    ended = stage.apply()
    assert ended.code == 0, ended
    row = stage.report()["entries"][0]
    assert (row["verdict"], row["gating"], row["quarantine"]) == ("failed", False, quarantine(30))
    assert "team-shop: flaky since monday" in row["reason"]
    assert f"failed (in quarantine until {quarantine(30)['until']})" in ended.out
    assert "1 failed (does not gate), 1 passed" in ended.last


def test_from_its_day_on_it_gates_again_and_says_so(begin: Begin) -> None:
    stage = begin(**LOGIN_FAILS)
    stage.commit(stage.doksi("login", quarantine=quarantine(0)), stage.doksi("cart"))
    validated = stage.run("validate")
    assert validated.code == 0, validated
    assert "warning: the quarantine ended on" in validated.err
    ended = stage.apply()
    assert ended.code == 1, ended
    assert "warning: the quarantine ended on" in ended.err


def test_a_warning_is_data_as_well(stage: Stage) -> None:
    stage.commit(stage.doksi("login", quarantine=quarantine(3)))
    ended = stage.run("validate", "--output", "json")
    assert ended.code == 0, ended
    problems = json.loads(ended.out)["problems"]
    assert [(problem["severity"], problem["code"]) for problem in problems] == [("warning", "W410")]


def test_too_many_quarantines_send_nothing(stage: Stage) -> None:
    stage.commit(
        stage.doksi("login", quarantine=quarantine(3)),
        stage.doksi("cart", quarantine=quarantine(3)),
        gate={"max_quarantined": 1},
    )
    for command in ("validate", "plan", "apply"):
        ended = stage.run(command)
        assert ended.code == 2, ended
        assert "2 entries are in quarantine, at most 1 may be: login, cart" in ended.err
    assert stage.sent() == []


# --- the budget -------------------------------------------------------------------------------------------------------


def test_over_budget_nothing_is_sent_and_the_costly_rows_are_named(stage: Stage) -> None:
    stage.commit(
        stage.doksi("search", category_ids=["c1"], estimate=40),
        stage.doksi("cart", "t1", "t2"),
        stage.doksi("other", category_ids=["c1", "c2"]),
        stage.certyn("smoke"),
        budget={"max_tests": 44, "per_vendor": {"doksi": 43, "certyn": 1}},
    )
    for command in (["plan", "--out", "plan.json"], ["apply"]):
        ended = stage.run(*command)
        assert ended.code == 6, ended
        assert "the plan runs at least 45 tests, budget.max_tests allows 44; doksi runs at least 44 tests," in ended.err
        rows = [line.split("  ")[2:4] for line in ended.err.splitlines() if line.startswith("    ")]
        assert rows == [["search", "doksi"], ["cart", "doksi"], ["other", "doksi"], ["smoke", "certyn"]]
        assert "search  doksi  40 tests  qa-matrix.yml:" in ended.err
        assert "smoke  certyn  1 test (no estimate: a category counts as 1)  qa-matrix.yml:" in ended.err
    assert stage.sent() == []
    assert not (stage.folder / "plan.json").exists()
    assert stage.run("plan", "--select", "!cart").code == 0


def test_max_tests_only_lowers_the_budget(stage: Stage) -> None:
    stage.commit(*(stage.doksi(f"e{n}") for n in range(12)), budget={"max_tests": 11})
    ended = stage.run("plan", "--max-tests", "100")
    assert ended.code == 6, ended
    assert "--max-tests" not in ended.err
    assert sum(line.startswith("    e") for line in ended.err.splitlines()) == 10
    assert "… and 2 more" in ended.err
    assert "--max-tests allows 3" in stage.run("plan", "--max-tests", "3").err


def test_a_budget_for_an_unknown_vendor_limits_nothing_and_is_an_error(stage: Stage) -> None:
    stage.commit(stage.doksi("login"), budget={"per_vendor": {"doski": 1, "certyn": 1}})
    ended = stage.run("validate")
    assert ended.code == 2, ended
    assert "unknown vendor 'doski'" in ended.err
    assert "did you mean 'doksi'?" in ended.err
    assert "certyn'" not in ended.err.split("Valid")[0]

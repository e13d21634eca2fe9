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
    told = stage.report()["entries"][0]
    assert (told["verdict"], told["gating"], told["quarantine"]) == ("failed", False, quarantine(30))
    assert "team-shop: flaky since monday" in told["reason"]
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
    assert [(each["severity"], each["code"]) for each in problems] == [("warning", "W410")]


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

"""The rehearsed bad day of examples/outage: everything passes, and nothing is paid twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.program.conftest import Stage

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "outage"


def test_a_bad_day_of_every_vendor_costs_time_alone(stage: Stage) -> None:
    stage.leaping()
    ended = stage.run(
        *("apply", str(EXAMPLE / "qa-matrix.yml"), "--rehearse", "--scenario", str(EXAMPLE / "rehearsal.yml")),
        *("--poll-interval", "1s", "--run-id", "r1", "--runs-dir", ".qarunner/runs"),
    )
    assert ended.code == 0, ended
    assert ended.last == "qarunner: exit 0: 20 passed"
    events = [json.loads(line) for line in stage.lines()]
    troubled = {event["job"].partition("-")[0] for event in events if event["event"] in {"Retrying", "NotSubmitted"}}
    assert troubled == {"certyn", "doksi", "docketqa", "testerarmy"}
    assert sum(event["event"] == "Accepted" for event in events) == 5
    assert not any(event["event"] == "Uncertain" for event in events)
    assert "again in" in ended.err

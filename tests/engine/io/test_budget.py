"""Applies side by side count their requests in one file; whatever happens to it, none of them waits for long."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from qarunner.engine.io.journal import held_once, open_shared
from qarunner.engine.io.shared_rates import STUCK_S, SharedRateLimit, credential_salt
from qarunner.engine.io.workers import SystemClock
from qarunner.engine.schedule.rate_limits import MARGIN, RateLimiter, RequestKind
from qarunner.plan.model import Rate, VendorPlan
from tests.amount import no_long_time
from tests.worlds import VirtualClock

if TYPE_CHECKING:
    from pathlib import Path

RATES = VendorPlan(
    key_env="K", every_s=10, max_s=30, max_in_flight=9, reads=Rate(count=6), creates=Rate(count=2), all=Rate(count=7)
)


class Side:
    """Some applies that share a file, one clock, and their warnings."""

    def __init__(self, folder: Path, count: int = 2, plan: VendorPlan = RATES) -> None:
        self.clock = VirtualClock()
        self.path = folder / "limits" / "certyn.json"
        self.warnings: list[str] = []
        self.budgets = [SharedRateLimit(self.path, plan, self.clock, self.warnings.append) for _ in range(count)]

    def claims(self, number: int, kind: RequestKind = RequestKind.READ) -> bool:
        now = self.clock.now()
        return self.budgets[number].claim(kind, now) <= now


def test_all_together_keep_one_limit(tmp_path: Path) -> None:
    side = Side(tmp_path, 3)
    sent = []
    while side.clock.seconds < 300:
        sent += [side.clock.now() for number in range(3) if side.claims(number)]
        side.clock.seconds += 1.0
    assert max(sum(at <= other < at + 60 for other in sent) for at in sent) == 6
    assert len(sent) >= 24
    assert side.warnings == []


def test_each_kind_keeps_its_own_limit_and_all_keep_theirs(tmp_path: Path) -> None:
    side = Side(tmp_path)
    assert [side.claims(number % 2, RequestKind.CREATE) for number in range(3)] == [True, True, False]
    assert [side.claims(number % 2) for number in range(6)] == [True] * 5 + [False]
    assert not side.claims(0, RequestKind.CANCEL)
    assert side.claims(0, RequestKind.UPLOAD)


def test_who_has_to_wait_is_told_for_how_long(tmp_path: Path) -> None:
    side = Side(tmp_path)
    for _ in range(2):
        side.claims(0, RequestKind.CREATE)
    side.clock.seconds = 10.0
    assert side.budgets[1].claim(RequestKind.CREATE, 10.0) == pytest.approx(60 * MARGIN, abs=0.01)


def test_a_vendor_that_asks_one_for_silence_gets_it_from_all(tmp_path: Path) -> None:
    side = Side(tmp_path)
    assert side.claims(1)
    side.budgets[0].hold(40.0)
    assert not side.claims(1)
    assert not side.claims(1, RequestKind.CREATE)
    assert side.budgets[1].claim(RequestKind.CANCEL, 0.0, silent=False) == 0.0
    limiter = RateLimiter(RATES, side.budgets[1])
    assert not limiter.try_take(RequestKind.READ, 0.0)
    assert limiter.ready_at(RequestKind.READ, 0.0) == pytest.approx(40.0)
    assert limiter.ready_at(RequestKind.READ, 0.0, is_last=True) == 0.0
    assert limiter.try_take(RequestKind.READ, 0.0, is_last=True), "the last read of a run breaks others' silence, too"
    side.clock.seconds = 40.1
    assert side.claims(1)


def test_a_long_silence_of_another_apply_keeps_no_paid_run_unread_for_more_than_five_minutes(tmp_path: Path) -> None:
    side = Side(tmp_path)
    side.budgets[0].hold(900.0)
    reads, creates = (RateLimiter(RATES, side.budgets[1]) for _ in range(2))
    assert not reads.try_take(RequestKind.READ, 0.0)
    assert reads.ready_at(RequestKind.READ, 0.0) == pytest.approx(300.0)
    side.clock.seconds = 300.1
    assert reads.try_take(RequestKind.READ, 300.1)
    assert not creates.try_take(RequestKind.CREATE, 300.1)
    assert creates.ready_at(RequestKind.CREATE, 300.1) == pytest.approx(900.0)
    side.budgets[0].hold(900.0)  # the vendor says it again
    assert not reads.try_take(RequestKind.READ, 300.1)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"sent": {"reads": "many"}}', "\x00\xff", '{"sent": {"reads": [1e99]}}']
)
def test_a_file_that_makes_no_sense_is_begun_again(tmp_path: Path, text: str) -> None:
    side = Side(tmp_path)
    side.path.parent.mkdir()
    side.path.write_text(text, encoding="latin-1")
    assert [side.claims(number % 2) for number in range(7)] == [True] * 6 + [False]
    assert side.warnings == []


def test_clocks_that_jump_stop_nobody(tmp_path: Path) -> None:
    side = Side(tmp_path)
    side.clock.seconds = 1e6
    for _ in range(6):
        assert side.claims(0)
    side.budgets[0].hold(900)
    side.clock.seconds = 0.0
    assert side.claims(1)


def test_a_holder_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    side = Side(tmp_path)
    fd = open_shared(side.path)
    with held_once(fd) as mine:
        assert mine
        ready = side.budgets[0].claim(RequestKind.READ, 0.0)
        assert 0.0 < ready < 0.1
        assert side.budgets[0].claim(RequestKind.READ, STUCK_S + 0.1) == STUCK_S + 0.1
        side.budgets[0].hold(30.0)
    assert len(side.warnings) == 1
    assert "does not let go" in side.warnings[0]
    os.close(fd)


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "limits").write_text("a file", encoding="utf-8")
    side = Side(tmp_path)
    assert [side.claims(0) for _ in range(20)] == [True] * 20
    assert len(side.warnings) == 1


def test_a_rate_that_nobody_meets_costs_nothing(tmp_path: Path) -> None:
    plan = VendorPlan(key_env="K", every_s=1, max_s=1, max_in_flight=9, reads=Rate(count=100_000))
    side = Side(tmp_path, plan=plan)
    assert side.claims(0)
    side.budgets[0].hold(9.0)
    assert not side.path.exists()


def test_many_claims_take_no_long_time(tmp_path: Path) -> None:
    plan = VendorPlan(key_env="K", every_s=1, max_s=1, max_in_flight=9, reads=Rate(count=600), all=Rate(count=1000))
    budget = SharedRateLimit(tmp_path / "certyn.json", plan, SystemClock(), pytest.fail)
    with no_long_time():
        for _ in range(300):
            budget.claim(RequestKind.READ, 0.0)


def test_a_folder_has_one_salt(tmp_path: Path) -> None:
    folder = tmp_path / "limits"
    assert credential_salt(folder) == credential_salt(folder)
    assert len(credential_salt(folder)) == 32
    assert credential_salt(tmp_path / "others") != credential_salt(folder)
    assert [path.name for path in folder.iterdir()] == ["salt"]

"""The clock of a process: what sets the machine's clock meanwhile moves nothing in it."""

from __future__ import annotations

import time

import pytest

from qarunner.engine.io.workers import SystemClock


@pytest.mark.parametrize("jump_s", [-10_800, 10_800])
def test_a_wall_clock_that_is_set_moves_no_time_of_this_process(monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    clock, real = SystemClock(), time.time
    before = clock.wall()
    assert abs(before - real()) < 60
    monkeypatch.setattr("time.time", lambda: real() + jump_s)
    assert before <= clock.wall() < before + 60
    assert abs(SystemClock().wall() - before - jump_s) < 60

"""The clock speaks, not events: whatever an apply waits for, somebody hears of it every half minute."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from qarunner.cli.progress import going_on
from qarunner.vendors.api import Reply
from tests.engine.flow.test_resources import BUILD, ENVIRONMENT, PUT, VENDOR, Store, using
from tests.fictional import entry, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from qarunner.engine.decide.interpret import Answer
    from qarunner.vendors.api import Request

SLOW = {"upload": PUT, "create": "/runs"}


@pytest.mark.parametrize("silence", ["polls", "upload", "429", "create", "removal"])
def test_no_wait_is_silent_for_longer_than_half_a_minute(silence: str) -> None:
    """A poll without news, an upload, a create without an answer and a vendor's silence make no event for minutes."""
    spoken: list[float] = []
    lines: list[str | None] = []

    def observe() -> None:
        spoken.append(story.clock.now())
        lines.append(going_on(story.run, story.clock.wall()))

    def fault(_vendor: str, request: Request, number: int) -> Answer | None:
        slow = silence == "429" and request.method == "GET" and number < 9
        return Reply(status=429, text="slow down", headers={"retry-after": "250"}) if slow else None

    def latency(_vendor: str, request: Request) -> float:
        is_slow = request.method == "DELETE" or request.path == SLOW.get(silence)
        return 200.0 if is_slow else 0.05

    removal = using(plan_of(entry("a", "keyed")), ENVIRONMENT, "key")
    story = Story(
        removal if silence == "removal" else using(plan_of(entry("a", "plain")), BUILD, "target"),
        VENDOR,
        Store(lasts=300, fault=fault),
        latency=latency,
        observe=observe,
    )
    story.drive()
    assert story.clock.now() > 300
    assert spoken[0] == 30.0
    assert all(lines), "each time there is something to say"
    assert max(after - before for before, after in itertools.pairwise([*spoken, story.clock.now()])) <= 30.0

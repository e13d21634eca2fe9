"""What the four vendors share: one time, one ledger, one storage, one address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qarunner.emulator.ledger import Ledger, Timeline
from qarunner.emulator.storage import Storage

if TYPE_CHECKING:
    from qarunner.emulator.ledger import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The surroundings of a vendor; `root` is the emulator's URL without a slash at its end."""

    root: str
    timeline: Timeline
    ledger: Ledger
    storage: Storage

    def page(self, vendor: str, kind: str, identifier: str | int) -> str:
        """The URL of a page for people."""
        return f"{self.root}/pages/{vendor}/{kind}/{identifier}"


def new_world(root: str, clock: Clock, speed: float) -> World:
    """A world in which nothing has happened yet."""
    timeline = Timeline(clock, speed)
    ledger = Ledger(timeline)
    return World(root=root, timeline=timeline, ledger=ledger, storage=Storage(root, timeline, ledger))

"""What the four vendors share: one time, one ledger, one storage, one address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.emulator.ledger import Ids, Ledger, Timeline
from qarunner.emulator.memory import Memory
from qarunner.emulator.storage import Storage

if TYPE_CHECKING:
    from qarunner.emulator.ledger import Clock


class World(Struct, frozen=True, kw_only=True):
    """The surroundings of a vendor; `root` is the emulator's URL without a slash at its end."""

    root: str
    timeline: Timeline
    ledger: Ledger
    storage: Storage
    ids: Ids
    memory: Memory | None = None

    def page(self, vendor: str, kind: str, identifier: str | int) -> str:
        """The URL of a page for people."""
        return f"{self.root}/pages/{vendor}/{kind}/{identifier}"


def new_world(root: str, clock: Clock, speed: float, memory: Memory | None = None, *, seed: str | None = None) -> World:
    """A world in which nothing has happened yet. With a memory, time and ids are those of the memory."""
    timeline = Timeline(memory.now, speed, memory.began) if memory else Timeline(clock, speed)
    ledger, ids = Ledger(timeline), memory.ids if memory else Ids(seed)
    storage = Storage(root, timeline, ledger, ids)
    return World(root=root, timeline=timeline, ledger=ledger, storage=storage, ids=ids, memory=memory)

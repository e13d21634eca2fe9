"""Where a build or an environment stands; nothing that a vendor was asked to make is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, assert_never

from qarunner.engine import events as ev
from qarunner.vendors.api import Cause, Leftover, Resource

UNANSWERED = "qarunner was stopped before the vendor's answer was written down"
NOT_REMOVED = "it was not removed yet"

ResourceEvent: TypeAlias = (
    ev.Preparing | ev.ResourceAsked | ev.ResourceNotMade | ev.ResourceReady | ev.ResourceFailed | ev.ResourceReleased
)


class Making(StrEnum):
    """Where a resource stands."""

    WANTED = "wanted"
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is, or (not `certain`) may be, at the vendor still. `known`: a resume can remove it."""

    leftover: Leftover
    why: str
    certain: bool = False
    known: bool = False


@dataclass(slots=True, kw_only=True)
class ResourceState:
    """Something that creates refer to. `attempt` counts how often it was begun, `taken` how many tokens are used up.

    `asked` is what a request was sent for that has no answer yet, `made` what is there for certain; `trouble` says why
    it could not be removed.
    """

    resource: Resource
    phase: Making = Making.WANTED
    attempt: int = 0
    taken: int = 0
    values: Mapping[str, str] = field(default_factory=dict)
    message: str | None = None
    cause: Cause | None = None
    asked: Leftover | None = None
    made: Leftover | None = None
    there: bool = False
    trouble: str | None = None
    doubts: dict[str, Left] = field(default_factory=dict)

    @property
    def doubted(self) -> bool:
        """Whether an earlier request may have made just what is asked for now."""
        what = self.asked.what if self.asked else None
        return what in self.doubts or (self.made is not None and self.made.what == what)

    def left(self) -> list[Left]:
        """What may be at the vendor, each once."""
        found = dict(self.doubts)
        if self.asked is not None:
            found.setdefault(self.asked.what, Left(leftover=self.asked, why=UNANSWERED))
        if self.there and self.made is not None:
            why = self.trouble or NOT_REMOVED
            found[self.made.what] = Left(leftover=self.made, why=why, certain=True, known=True)
        return list(found.values())

    def advance(self, event: ResourceEvent) -> None:
        """Applies one event."""
        match event:
            case ev.Preparing():
                self.phase, self.attempt = Making.PREPARING, event.attempt
            case ev.ResourceAsked():
                self._doubt(UNANSWERED)
                self.asked = event.leftover
            case ev.ResourceNotMade():
                self._not_made(event)
            case ev.ResourceReady():
                self.phase, self.values, self.message = Making.READY, event.values, None
                self.asked, self.made, self.there, self.trouble = None, event.leftover, True, None
            case ev.ResourceFailed():
                self.phase, self.message, self.cause = Making.FAILED, event.message, event.cause
            case ev.ResourceReleased():
                self.there, self.trouble = event.message is not None, event.message
                self.phase = Making.READY if self.there else Making.RELEASED
            case _:
                assert_never(event)

    def _doubt(self, why: str, *, certain: bool = False) -> None:
        if self.asked is not None:
            self.doubts[self.asked.what] = Left(leftover=self.asked, why=why, certain=certain)
        self.asked = None

    def _not_made(self, event: ev.ResourceNotMade) -> None:
        if event.remains is ev.Remains.NOTHING:
            self.asked = None
        else:
            self._doubt(event.message, certain=event.remains is ev.Remains.TAKEN)
        self.taken += event.remains is ev.Remains.TAKEN

    def resumed(self) -> None:
        """Half made is not made; one that was given up, or removed, is made again if a job still waits for it."""
        self._doubt(UNANSWERED)
        if self.phase in {Making.PREPARING, Making.FAILED, Making.RELEASED}:
            self.phase = Making.READY if self.there else Making.WANTED

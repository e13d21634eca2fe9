"""What happened, as a closed union of events: the journal is made of these, and a run's state is their fold.

`at` is seconds since the epoch (UTC). An event is written before anybody acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from qarunner.entry import Entry
from qarunner.plan.model import Job
from qarunner.vendors.api import Cause, Leftover, Outcome, RemoteRun

VERSION = 2


WITHOUT_CHECKS = 1
"""The last version of journals whose lines have no checksum."""


ANSWER_LOST = "qarunner was stopped before the vendor's answer was written down"


class Who(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who let a process run, as the CI tells it. `pipeline` is the same in all jobs and attempts of one CI run."""

    actor: str | None = None
    pipeline: str | None = None
    job: str | None = None
    attempt: int | None = None

    def facts(self) -> dict[str, str | int | None]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="event", omit_defaults=True):
    at: float


class RunStarted(_Event, frozen=True, kw_only=True):
    """The first line. `endpoints` are the base URLs that the vendors' runs live at.

    `seed` is by chance: a run's id may be given, and given again on another machine, where it is another run.
    `allowed` are the words of --allow-secret that held. `unverified`: it builds on a run without a verified seal.
    """

    version: int
    run_id: str
    digest: str
    tool: str
    endpoints: Mapping[str, str]
    rehearsal: bool = False
    fail_fast: bool = False
    seed: str = ""
    who: Who | None = None
    allowed: tuple[str, ...] = ()
    unverified: bool = False


class Resumed(_Event, frozen=True, kw_only=True):
    """Another process goes on from here. `unsealed`: a person said that the folder is theirs.

    `repeated`: an earlier attempt of the same CI job may have gone on as well, without a trace in this folder.
    `again`: `apply --continue` tries anew what did not pass; these entries have no run yet that could be repeated.
    """

    who: Who | None = None
    allowed: tuple[str, ...] = ()
    unsealed: bool = False
    repeated: bool = False
    again: tuple[str, ...] | None = None


class Preparing(_Event, frozen=True, kw_only=True):
    """A resource is about to be made; an attempt that was cut short may have left something at the vendor.

    `message` is why it is made again, `wait_s` how long before.
    """

    resource: str
    attempt: int
    message: str | None = None
    wait_s: float | None = None


class ResourceAsked(_Event, frozen=True, kw_only=True):
    """A request that makes an environment, or a build that stays, leaves: from here on, it may be at the vendor."""

    resource: str
    leftover: Leftover


class Remains(StrEnum):
    """What a request for a resource that failed has left at the vendor."""

    NOTHING = "nothing"
    MAYBE = "maybe"
    TAKEN = "taken"
    """The vendor says that an earlier request made it."""


class ResourceNotMade(_Event, frozen=True, kw_only=True):
    """The request that makes a resource had no good answer. Without this event, it had no answer at all."""

    resource: str
    message: str
    remains: Remains


class ResourceReady(_Event, frozen=True, kw_only=True):
    """A resource exists; creates that wait for it can leave.

    `leftover`: how people find an environment, or a build that stays.
    """

    resource: str
    values: Mapping[str, str | int]
    leftover: Leftover | None = None


class ResourceFailed(_Event, frozen=True, kw_only=True):
    """A resource could not be made: no create that needs it was sent."""

    resource: str
    message: str
    cause: Cause


class ResourceReleased(_Event, frozen=True, kw_only=True):
    """A resource was removed again; `message` says why it may still be where it was."""

    resource: str
    message: str | None = None


class Submitting(_Event, frozen=True, kw_only=True):
    """The create is about to leave: from here on, only an answer can tell that there is no run."""

    job: str
    attempt: int
    key: str | None = None


class CreateFailed(_Event, frozen=True, kw_only=True, tag="NotSubmitted"):
    """Certainly no run was made. `wait_s` set: it is sent again after so many seconds; else `cause` says why not."""

    job: str
    message: str
    cause: Cause = Cause.REFUSED
    wait_s: float | None = None


class Accepted(_Event, frozen=True, kw_only=True):
    """The vendor's runs of a create, right after the reply."""

    job: str
    runs: tuple[RemoteRun, ...]


class CreateMadeNothing(_Event, frozen=True, kw_only=True, tag="NothingStarted"):
    """The vendor took a create, and there is no run to ask for: what its entries have of it."""

    job: str
    outcomes: Mapping[str, Outcome]


class Uncertain(_Event, frozen=True, kw_only=True):
    """A create that may or may not have made a run. It is never sent again by itself."""

    job: str
    message: str


class Polled(_Event, frozen=True, kw_only=True):
    """A run's state changed in the vendor's words, or it answers again. `done` of `total` tests are over.

    `entries`: the same of the tests of single entries that share the run, where they changed. `outcomes` of entries
    are final although the run goes on.
    """

    run: str
    job: str
    note: str
    done: int | None = None
    total: int | None = None
    entries: Mapping[str, tuple[int, int]] = {}
    outcomes: Mapping[str, Outcome] = {}


class Retrying(_Event, frozen=True, kw_only=True):
    """A read, or a create that its idempotency key protects, failed and is repeated after `wait_s` seconds."""

    job: str
    message: str
    wait_s: float
    run: str | None = None


class RunFinishedRemotely(_Event, frozen=True, kw_only=True, tag="RemoteFinished"):
    """A run is over: what it means for each entry of its job."""

    run: str
    job: str
    outcomes: Mapping[str, Outcome]


class RunGivenUp(_Event, frozen=True, kw_only=True):
    """A run is not asked again, and this is what its entries have of it. At the vendor it may go on.

    `so_far` is what was certain of each entry.
    """

    run: str
    job: str
    outcome: Outcome
    so_far: Mapping[str, Outcome] = {}


class RunCancelled(_Event, frozen=True, kw_only=True):
    """A run was asked to stop at the vendor; `message` says why the vendor would not.

    `over`: it has ended, by this or before, and only its status can tell which. `so_far` is as of a run given up.
    """

    run: str
    job: str
    message: str | None = None
    over: bool = False
    so_far: Mapping[str, Outcome] = {}


class EntryClosed(_Event, frozen=True, kw_only=True):
    """An entry has its final outcome."""

    entry: str
    outcome: Outcome


class RetryReason(StrEnum):
    """What a new attempt is for; the first two have a budget of their own in `retries`."""

    FAILED = "failed"
    INFRASTRUCTURE = "infra"
    AGAIN = "again"
    """`apply --continue` at a run that was over: no budget is asked."""


class Reattempted(_Event, frozen=True, kw_only=True):
    """Entries of a job that has ended get a run more: `job` is its create, `entries` what it asks for."""

    of: str
    job: Job
    entries: tuple[Entry, ...]
    attempt: int
    why: tuple[RetryReason, ...]


class UncertaintyResolved(_Event, frozen=True, kw_only=True, tag="Decided"):
    """A person decided an uncertain create: send it again, or drop it."""

    job: str
    resubmit: bool
    who: Who | None = None


class Reason(StrEnum):
    """Why a run ended before its own end."""

    FAIL_FAST = "fail_fast"
    CANCELLED = "cancelled"


class RunStopped(_Event, frozen=True, kw_only=True, tag="Ended"):
    """From here on nothing begins, and what runs is cancelled: since `entry` failed, or at a person's word."""

    reason: Reason
    entry: str | None = None
    who: Who | None = None


class Detached(_Event, frozen=True, kw_only=True):
    """Every create is on disk, and this process does not wait for the runs: a resume does."""


class Interrupted(_Event, frozen=True, kw_only=True):
    """A signal ended the apply before its runs were over."""

    signal: int


class RunFinished(_Event, frozen=True, kw_only=True):
    """The last line of an apply that came to its end."""

    exit_code: int


Event: TypeAlias = (
    RunStarted
    | Resumed
    | Preparing
    | ResourceAsked
    | ResourceNotMade
    | ResourceReady
    | ResourceFailed
    | ResourceReleased
    | Submitting
    | CreateFailed
    | Accepted
    | CreateMadeNothing
    | Uncertain
    | Polled
    | Retrying
    | RunFinishedRemotely
    | RunGivenUp
    | RunCancelled
    | EntryClosed
    | Reattempted
    | UncertaintyResolved
    | RunStopped
    | Detached
    | Interrupted
    | RunFinished
)


EXPENDABLE = (Resumed, ResourceNotMade, Polled, Retrying)
"""Events whose loss costs nothing. All others have to be on disk before the next step."""


BEFORE_A_REQUEST = (Preparing, ResourceAsked, Submitting)
"""Events after which something is made at a vendor: only a journal that a resume will find may hold them."""


TO_BE_FOUND = (*BEFORE_A_REQUEST, Detached, RunFinished)
"""Events that are true only if a resume finds them: before each one, the journal has to be where it was."""


_encoder = msgspec.json.Encoder()


_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(type=Event)


def to_line(event: Event) -> bytes:
    return _encoder.encode(event) + b"\n"


def from_line(line: bytes) -> Event:
    """MsgspecError if the line is torn or foreign."""
    return _decoder.decode(line)

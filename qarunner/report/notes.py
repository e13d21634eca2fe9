"""What a person has to know beside the results: one list of notes, which each format shows with its own signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.decode import collected
from qarunner.report.summary import RunLink, Summary, decisions, named_leftover, resume_of
from qarunner.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

REHEARSAL = "emulated vendors; nothing was sent to a real one, nothing was paid"


class Said(str):
    """Words of a vendor, a manifest or a command inside of a note: each format shows them as somebody's."""

    __slots__ = ()


class Note(Struct, frozen=True, kw_only=True):
    """`head` says what is the matter, `text` goes on with the sentence. `runs` end it, each with its link.

    `ways` are things to do, each with when it is the right one.
    """

    head: str
    text: tuple[str, ...]
    runs: tuple[RunLink, ...] = ()
    ways: tuple[tuple[str, str], ...] = ()


def notes(summary: Summary) -> Iterator[Note]:
    """What goes on at a vendor, what is left there, what a person has to decide, and how the run goes on."""
    for vendor, runs in collected((run.vendor, run) for run in summary.running).items():
        which = "run " if len(runs) == 1 else f"{plural(len(runs), 'run')}: "
        yield Note(head="still running", text=(" at ", Said(vendor), f": {which}"), runs=tuple(runs))
    for left in summary.left:
        again = f"{resume_of(summary)} tries again to remove it; or " if left.removable else ""
        yield Note(
            head="left" if left.certain else "may be left",
            text=(" at ", Said(left.vendor), ": ", Said(named_leftover(left.what, left.details)), ": ", Said(left.why)),
            ways=((f"{again}{left.todo}", ""),),
        )
    for job, message in summary.uncertain.items():
        text = (": ", Said(job), " may or may not have started a run: ", Said(message))
        yield Note(head="uncertain", text=text, ways=tuple(decisions(summary, job)))
    if summary.unfinished and not summary.is_joined:
        yield Note(head="to go on", text=(": ", Said(resume_of(summary))))

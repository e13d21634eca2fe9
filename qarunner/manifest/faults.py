"""Problems of plain data, before anybody knows in which line they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from qarunner.diagnostics import Path
from qarunner.manifest import fault_codes as codes

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Fault:
    """One problem: at the value under `path`, or with `key` at the key of that value."""

    path: Path
    message: str
    hint: str | None = None
    code: str = codes.OTHER
    key: bool = False


# How much a fault explains. A key that does not belong makes all that is said of its value idle; so does a wrong type.
KEY, TYPE, VALUE, CONDITION = range(4)


class Found(NamedTuple):
    """A fault and what it is about. `meant` is the key that was probably meant by an unknown one."""

    fault: Fault
    subject: Path
    rank: int
    meant: Path | None = None


def once(found: Iterable[Found]) -> tuple[Fault, ...]:
    """One fault for each subject, without those that only follow from another, in the order in which they came."""
    best: dict[Path, Found] = {}
    for each in found:
        if each.subject not in best or each.rank < best[each.subject].rank:
            best[each.subject] = each
    meant = {each.meant for each in best.values()}
    idle = {subject for subject, each in best.items() if each.rank <= TYPE}
    return tuple(
        each.fault
        for subject, each in best.items()
        if not (each.fault.code == codes.MISSING_KEY and subject in meant)
        and not any(subject[:length] in idle for length in range(len(subject)))
    )

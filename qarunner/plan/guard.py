"""Who is to blame when an adapter fails: a plugin's bug is reported with the distribution's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.errors import UserError
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qarunner.entry import Entry
    from qarunner.vendors.api import Vendor


class AdapterBug(Exception):  # noqa: N818  the name says what it is: exit 9, with its cause in the crash file
    """An adapter raised something else than its protocol allows, or broke a rule that costs runs."""


class adapter_guard:  # noqa: N801  used as a function is
    """Around each call of an adapter. A UserError is the adapter's own word to the user, and passes."""

    __slots__ = ("_method", "_vendor")

    def __init__(self, vendor: Vendor, method: str) -> None:
        self._vendor = vendor
        self._method = method

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        # Whoever ends the program would choose its exit code.
        if isinstance(error, (Exception, SystemExit)) and not isinstance(error, UserError):
            raise bug(self._vendor, f"failed in {self._method}: {type(error).__name__}: {error}") from error


def bug(vendor: Vendor, what: str) -> AdapterBug:
    kind = type(vendor)
    return AdapterBug(f"{registry.described(vendor.info.name)}: {kind.__module__}.{kind.__qualname__} {what}")


def grouped(vendor: Vendor, entries: Sequence[Entry]) -> list[tuple[Entry, ...]]:
    """The adapter's groups. AdapterBug unless each entry is in exactly one: no run is lost or paid twice."""
    with adapter_guard(vendor, "group"):
        groups = [tuple(group) for group in vendor.group(entries)]
        ids = sorted(entry.id for group in groups for entry in group)
    if ids != sorted(entry.id for entry in entries) or () in groups:
        raise bug(vendor, f"failed in group: {_miscounted([entry.id for entry in entries], ids)}")
    return groups


def _miscounted(wanted: Iterable[str], got: Sequence[str]) -> str:
    for name in wanted:
        if got.count(name) != 1:
            return f"entry {name} is in {got.count(name)} of its calls"
    return "a call has no entry, or one that is not in the plan"

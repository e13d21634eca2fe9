"""Which vendors there are: built-in ones by a dict, others by entry points; each is loaded only when it is named."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from qarunner.diagnostics import choose
from qarunner.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

    from qarunner.vendors.api import Vendor

GROUP = "qarunner.vendors.v1"
"""The group of entry points through which a distribution adds a vendor."""

_BUILTIN = {
    "certyn": "qarunner.vendors.certyn:VENDOR",
    "doksi": "qarunner.vendors.doksi:VENDOR",
}
_TO_COME = frozenset({"docketqa", "testerarmy"})


def names_builtin() -> tuple[str, ...]:
    """The vendors that qarunner brings along, without looking at any other distribution."""
    return tuple(sorted(_BUILTIN))


def names() -> tuple[str, ...]:
    """Every vendor that can be named. Looks through all installed distributions, which takes about 50 ms."""
    added = {point.name for point in _entry_points()} - _TO_COME
    return tuple(sorted(added.union(_BUILTIN)))


def get(name: str) -> Vendor:
    """The adapter of a vendor; UserError where there is none or where it cannot be loaded."""
    if name in _BUILTIN:  # first, so that no plugin can take a built-in vendor's name and thereby its credential
        module, _, attribute = _BUILTIN[name].partition(":")
        return cast("Vendor", getattr(import_module(module), attribute))
    if name in _TO_COME:
        raise UserError(f"vendor {name!r} is not available in this version yet", hint=choose(name, names_builtin()))
    return _plugin(name)


def _entry_points() -> EntryPoints:
    from importlib.metadata import entry_points  # noqa: PLC0415  costs 50 ms, and most runs never need it

    return entry_points(group=GROUP)


@cache
def _plugin(name: str) -> Vendor:
    found = tuple(_entry_points().select(name=name))
    if not found:
        raise UserError(f"unknown vendor {name!r}", hint=choose(name, names()))
    if len(found) > 1:
        owners = ", ".join(sorted(_distribution(point) for point in found))
        raise UserError(f"vendor {name!r} is added by several distributions: {owners}", hint="uninstall all but one")
    return _loaded(found[0])


def _loaded(point: EntryPoint) -> Vendor:
    try:
        vendor = point.load()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise _broken(point, f"cannot be loaded: {reason}") from error
    called = getattr(getattr(vendor, "info", None), "name", None)
    if called != point.name:
        raise _broken(point, f"is not an adapter of that name: {point.value} has info.name {called!r}")
    return cast("Vendor", vendor)


def _broken(point: EntryPoint, what: str) -> UserError:
    return UserError(
        f"vendor {point.name!r}, which the distribution {_distribution(point)} adds, {what}",
        hint="update or uninstall that distribution",
    )


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "(unknown)"

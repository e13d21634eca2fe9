"""Which vendors there are: built-in ones by a dict, others by entry points; each is loaded only when it is named."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from qarunner.diagnostics import choose
from qarunner.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.metadata import EntryPoint, EntryPoints

    from qarunner.vendors.api import Vendor, VendorInfo

GROUP = "qarunner.vendors.v1"
"""The group of entry points through which a distribution adds a vendor."""

_BUILTIN = ("doksi", "docketqa", "testerarmy", "certyn")
"""Each is a folder beside this file: facts in `info.INFO`, translation in `adapter.VENDOR`."""


def names_builtin() -> tuple[str, ...]:
    """The vendors that qarunner brings along, without looking at any other distribution."""
    return tuple(sorted(_BUILTIN))


@cache
def infos_builtin() -> tuple[VendorInfo, ...]:
    """The facts about the built-in vendors, without their adapters."""
    return tuple(cast("VendorInfo", import_module(f"qarunner.vendors.{name}.info").INFO) for name in _BUILTIN)


def keys_builtin() -> dict[str, str]:
    """The variables of the built-in vendors' credentials, by vendor: they are theirs whatever else is known."""
    return {info.name: info.key_env for info in infos_builtin()}


def names() -> tuple[str, ...]:
    """Every vendor that can be named. Looks through all installed distributions, which takes about 50 ms."""
    added = {point.name for point in _entry_points()}
    return tuple(sorted(added.union(_BUILTIN)))


def get(name: str) -> Vendor:
    """The adapter of a vendor; UserError where it is missing or cannot be loaded."""
    if name in _BUILTIN:  # first, so that no plugin can take a built-in vendor's name and thereby its credential
        return cast("Vendor", import_module(f"qarunner.vendors.{name}.adapter").VENDOR)
    return _plugin(name)


def unknown(name: str, known: Sequence[str]) -> UserError:
    """What to say of a name that no distribution adds."""
    return UserError(f"unknown vendor {name!r}", hint=choose(name, known))


def available() -> tuple[list[Vendor], list[UserError]]:
    """Every vendor that can be loaded, and the reason for each that cannot."""
    vendors: list[Vendor] = []
    broken: list[UserError] = []
    for name in names():
        try:
            vendors.append(get(name))
        except UserError as error:
            broken.append(error)
    return vendors, broken


def described(name: str) -> str:
    """A vendor, and where its bugs are reported."""
    points = () if name in _BUILTIN else tuple(_entry_points().select(name=name))
    return f"vendor {name!r} of the distribution {_distribution(points[0])}" if points else f"vendor {name!r}"


def _entry_points() -> EntryPoints:
    from importlib.metadata import entry_points  # noqa: PLC0415  costs 50 ms, and most runs do not need it

    return entry_points(group=GROUP)


@cache
def _plugin(name: str) -> Vendor:
    points = tuple(_entry_points().select(name=name))
    if not points:
        raise unknown(name, names())
    if len(points) > 1:
        owners = ", ".join(sorted(_distribution(point) for point in points))
        raise UserError(f"vendor {name!r} is added by several distributions: {owners}", hint="uninstall all but one")
    return _loaded(points[0])


def _loaded(point: EntryPoint) -> Vendor:
    try:
        vendor = point.load()
    except (Exception, SystemExit) as error:  # a module that ends the program, maybe with 0, is as broken as any
        reason = f"{type(error).__name__}: {error}"
        raise _broken(point, f"cannot be loaded: {reason}") from error
    called = getattr(getattr(vendor, "info", None), "name", None)
    if called != point.name:
        raise _broken(point, f"is not an adapter of that name: {point.value} has info.name {called!r}")
    if isinstance(vendor, type):
        raise _broken(point, f"is a class and not an adapter: {point.value} has to be an instance of it")
    return cast("Vendor", vendor)


def _broken(point: EntryPoint, what: str) -> UserError:
    return UserError(
        f"vendor {point.name!r}, which the distribution {_distribution(point)} adds, {what}",
        hint="update or uninstall that distribution",
    )


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "(unknown)"

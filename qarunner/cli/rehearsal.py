"""The emulated vendors, for `apply --rehearse` and `qarunner emulator`; the one place that knows that they exist."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from qarunner.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from qarunner.plan.model import Plan

INSTALL = 'pip install "qarunner[emulator]"'


@contextlib.contextmanager
def rehearse(plan: Plan, scenario: Path | None) -> Iterator[Mapping[str, str]]:
    """Starts the emulator; gives the variables that lead every vendor of the plan to it, with keys of its own."""
    from qarunner.vendors import registry  # noqa: PLC0415

    try:
        from qarunner.emulator import ScenarioError, serve  # noqa: PLC0415  an extra
    except ImportError as error:
        raise _missing(error) from error
    try:
        running = serve(scenario)
    except (ScenarioError, OSError) as error:
        raise UserError(f"the emulator cannot start: {error}") from error
    with running:
        environ = dict(running.environ)
        for name, vendor_plan in plan.vendors.items():
            info = registry.get(name).info
            if info.url_env[0] not in environ:
                raise UserError(
                    f"vendor {name!r} has no emulation", hint="leave it out: --select '!vendor:" + name + "'"
                )
            # Whatever variable the manifest names for the key: a real one has no business in a rehearsal.
            environ[vendor_plan.key_env] = environ[info.key_env]
        yield environ


def run_emulator(arguments: Sequence[str]) -> int:
    """Serves until a signal comes."""
    try:
        from qarunner.emulator.__main__ import main  # noqa: PLC0415  an extra
    except ImportError as error:
        raise _missing(error) from error
    return main(list(arguments), called="qarunner emulator")


def _missing(error: ImportError) -> UserError:
    return UserError(f"the emulator is not installed ({error.name} is missing)", hint=f"install it: {INSTALL}")

"""Which folder the applies that use the same credentials count their requests in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.engine.budget import SharedBudget, salt_of
from qarunner.engine.pacing import rates_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.cli.console import Console
    from qarunner.engine.state import Run
    from qarunner.engine.transport import Transport
    from qarunner.engine.workers import Clock

VARIABLE = "QARUNNER_LIMITS_DIR"
OWN = ".limits"


def shared_budgets(
    run: Run,
    transport: Transport,
    clock: Clock,
    runs: Path,
    environ: Mapping[str, str],
    console: Console,
) -> dict[str, SharedBudget]:
    """One for each vendor that has a rate, in the runs folder or in the one that the environment names."""
    # A resume connects to the vendors alone that it still needs.
    met = {name: each for name, each in run.plan.vendors.items() if name in transport.base_urls}
    limited = {name: each for name, each in met.items() if rates_of(each)}
    if run.rehearsal or not limited:  # a rehearsal has its vendors for itself
        return {}
    folder = Path(environ.get(VARIABLE) or runs / OWN)

    def warn(text: str) -> None:
        console.warn(f"qarunner: warning: {text}: requests of other applies are not counted")

    try:
        salt = salt_of(folder)
    except OSError as error:
        warn(f"{folder}: {error.strerror}")
        return {}
    paths = {name: folder / f"{name}-{transport.pseudonym(name, salt)}.json" for name in limited}
    return {name: SharedBudget(paths[name], each, clock, warn) for name, each in limited.items()}

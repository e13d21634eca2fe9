"""`cancel`: ends at the vendors what a run still has there, and says what cannot be ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.cli import inputs
from qarunner.cli.result import counted
from qarunner.engine.remaining import to_cancel
from qarunner.engine.state import fold
from qarunner.errors import PRECEDENCE, ExitCode
from qarunner.vendors.api import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from qarunner.cli.console import Console
    from qarunner.cli.session import Settings
    from qarunner.engine.machine import Answer
    from qarunner.engine.state import Run
    from qarunner.report.summary import Summary

_UNAUTHORISED = frozenset({401, 403})
_AGAIN = frozenset({408, 429})
_SERVER_ERROR = 500
_SIGINT = 2


def cancel(console: Console, settings: Settings, run_id: str | None) -> ExitCode:
    """Cancels a run from its folder, wherever it was started. What was cancelled before is not asked again."""
    from qarunner.cli.applying import find_real, note_moved  # noqa: PLC0415
    from qarunner.cli.session import adapters, connect, end  # noqa: PLC0415  requests and threads

    folder, plan, events = find_real(settings.runs_dir, run_id)
    run = fold(plan, events)
    vendors = to_cancel(run, adapters(plan))
    if run.complete and not vendors:
        return _nothing(console, run)
    transport = None
    if vendors:
        note_moved(console, {name: url for name, url in run.endpoints.items() if name in vendors}, settings.environ)
        allowed = inputs.allowed_secrets(settings.environ, settings.allow)
        values = {name: settings.environ[name] for name in plan.secrets if name in allowed and name in settings.environ}
        transport = connect(plan, settings.environ, values, only=vendors)
    return end(folder, plan, transport, settings, console)


def _nothing(console: Console, run: Run) -> ExitCode:
    parts = ["nothing to cancel", *_running_on(run)]
    console.conclude(f"qarunner: exit {int(ExitCode.OK)}: {'; '.join(parts)}")
    return ExitCode.OK


def cancelled(console: Console, run: Run, summary: Summary, *, stopped: int, refused: Mapping[str, Answer]) -> ExitCode:
    """Says the last line of a cancel, and returns its code: 0 if nothing runs on that could be cancelled."""
    codes = {_code(answer) for answer in refused.values()}
    if run.signal is not None:
        codes.add(ExitCode.INTERRUPTED if run.signal == _SIGINT else ExitCode.TERMINATED)
    if summary.uncertain or any(left.removable for left in summary.left):
        codes.add(ExitCode.NO_VERDICT)
    code = next((each for each in PRECEDENCE if each in codes), ExitCode.OK)
    parts = [f"{counted(stopped, 'run')} cancelled"]
    parts += [f"{counted(len(refused), 'run')} not: the vendor would not, or did not answer"] if refused else []
    parts += [f"{counted(len(summary.uncertain), 'create')} in doubt"] if summary.uncertain else []
    parts += _running_on(run, besides=refused)
    console.conclude(f"qarunner: exit {int(code)}: {'; '.join(parts)}")
    return code


def _code(answer: Answer) -> ExitCode:
    if not isinstance(answer, Reply) or answer.status in _AGAIN or answer.status >= _SERVER_ERROR:
        return ExitCode.UNAVAILABLE
    return ExitCode.CREDENTIAL if answer.status in _UNAUTHORISED else ExitCode.NO_VERDICT


def _running_on(run: Run, *, besides: Iterable[str] = ()) -> Iterator[str]:
    """What nobody can cancel."""
    live = [state.job.vendor for state, remote in run.live_runs() if remote.remote.id not in set(besides)]
    for vendor in dict.fromkeys(live):
        number = live.count(vendor)
        yield f"{counted(number, 'run')} {'goes' if number == 1 else 'go'} on at {vendor}, which cannot cancel"

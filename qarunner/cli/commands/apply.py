"""`apply`, `resume` and `cancel`: the use case does the work, and a cancel has its last line from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.cli.result import RunObserver
from qarunner.errors import ExitCode, code_of_signal, decisive_code
from qarunner.text import plural
from qarunner.vendors import registry
from qarunner.vendors.api import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from qarunner.app.apply.connect import Surroundings
    from qarunner.app.apply.session import Cancelled
    from qarunner.app.options import ApplyOptions, CancelOptions, ResumeOptions
    from qarunner.cli.console import Console
    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.state.run import Run
    from qarunner.report.summary import Summary


def apply(console: Console, environ: Mapping[str, str], options: ApplyOptions) -> ExitCode:
    from qarunner.app.apply import commands

    return commands.apply(options, environ, RunObserver(console))


def resume(console: Console, environ: Mapping[str, str], options: ResumeOptions) -> ExitCode:
    from qarunner.app.apply import commands

    return commands.resume(options, environ, RunObserver(console))


_UNAUTHORISED = frozenset({401, 403})


_AGAIN = frozenset({408, 429})


_SERVER_ERROR = 500


def cancel(
    console: Console, environ: Mapping[str, str], options: CancelOptions, surroundings: Surroundings | None = None
) -> ExitCode:
    from qarunner.app.apply import commands

    done = commands.cancel(options, environ, RunObserver(console), surroundings)
    return _nothing_to_cancel(console, done.run) if done.summary is None else _cancelled(console, done, done.summary)


def _nothing_to_cancel(console: Console, run: Run) -> ExitCode:
    parts = ["nothing to cancel", *_running_on(run)]
    return console.end(ExitCode.OK, "; ".join(parts))


def _cancelled(console: Console, done: Cancelled, summary: Summary) -> ExitCode:
    """Says the last line of a cancel, and returns its code: 0 if nothing runs on that could be cancelled."""
    run, refused = done.run, done.refused
    codes = {_code(answer) for answer in refused.values()}
    if run.signal is not None:
        codes.add(code_of_signal(run.signal))
    if summary.uncertain or any(left.removable for left in summary.left):
        codes.add(ExitCode.NO_VERDICT)
    if run.unrecorded:
        codes.add(ExitCode.NO_VERDICT)
    if any(_can_cancel(vendor) for vendor in _vendors_running_on(run, besides=refused)):
        codes.add(ExitCode.UNAVAILABLE)
    parts = [f"{plural(done.stopped, 'run')} cancelled"]
    parts += [f"{plural(len(refused), 'run')} not: the vendor would not, or did not answer"] if refused else []
    parts += [f"{plural(len(summary.uncertain), 'create')} in doubt"] if summary.uncertain else []
    parts += _running_on(run, besides=refused)
    parts += ["the journal could not be written"] if run.unrecorded else []
    return console.end(decisive_code(codes), "; ".join(parts))


def _code(answer: Answer) -> ExitCode:
    if not isinstance(answer, Reply) or answer.status in _AGAIN or answer.status >= _SERVER_ERROR:
        return ExitCode.UNAVAILABLE
    return ExitCode.CREDENTIAL if answer.status in _UNAUTHORISED else ExitCode.NO_VERDICT


def _running_on(run: Run, *, besides: Iterable[str] = ()) -> Iterator[str]:
    """Runs that go on, and why."""
    live = _vendors_running_on(run, besides=besides)
    for vendor in dict.fromkeys(live):
        number = live.count(vendor)
        why = "whose answer to the cancel did not come" if _can_cancel(vendor) else "which cannot cancel"
        yield f"{plural(number, 'run')} {'goes' if number == 1 else 'go'} on at {vendor}, {why}"


def _vendors_running_on(run: Run, *, besides: Iterable[str]) -> list[str]:
    """The vendor of each run that goes on."""
    left_out = set(besides)
    return [state.job.vendor for state, remote in run.active_runs() if remote.remote.id not in left_out]


def _can_cancel(vendor: str) -> bool:
    return registry.get(vendor).info.capabilities.cancel

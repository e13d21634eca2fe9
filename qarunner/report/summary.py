"""The one view of a run that all formats share."""

from __future__ import annotations

import operator
import posixpath
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, cast

from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.decode import collected
from qarunner.engine.decide.attempts import deciding_results, outcome_so_far, replaced_results
from qarunner.engine.decide.gate import Decision, decide, expected_tests, outcome_of, passes, started_anywhere
from qarunner.engine.decide.merge import NOBODY
from qarunner.engine.decide.outcomes import has_case_with_verdict, tally
from qarunner.engine.decide.spending import Spent, spent
from qarunner.engine.decide.trend import News, Trend, is_bad
from qarunner.engine.state.run import REOPENED, JobState, Phase, Remainder, Run, RunState
from qarunner.entry import Entry, SelectionKind
from qarunner.errors import ExitCode
from qarunner.plan.cost import amount_of, with_retries
from qarunner.plan.model import Cost, NotPlanned
from qarunner.regex import regex
from qarunner.secret import mask
from qarunner.text import Clean, cut, listed, plural
from qarunner.vendors.api import GOOD, Case, Cause, Outcome, Verdict

if TYPE_CHECKING:
    from qarunner.diagnostics import Place


class RunLink(Struct, frozen=True, kw_only=True):
    """A run at a vendor, for people."""

    id: str
    url: str | None
    vendor: str
    attempt: int
    entries: tuple[str, ...]


LONGEST_S = 30 * 86_400.0
"""A duration beyond 30 days is a vendor's slip: it is unknown, and no format has to hold it."""


class CaseKind(StrEnum):
    """What a test means for the build; every format shows just this."""

    PASSED = "passed"
    SKIPPED = "skipped"
    """Skipped at the vendor, or a verdict that does not gate."""
    FAILURE = "failure"
    ERROR = "error"


class GateFailure(Struct, frozen=True, kw_only=True):
    """Why the build fails although no test says so: `name` is the gate's key, such as `min_tests`."""

    name: str
    message: str


class EntrySummary(Struct, frozen=True, kw_only=True):
    """One entry. `counts` are all its tests by verdict; `cases` those that are known one by one.

    `runs` are those of all attempts, `attempt` is the number of the last one. `began_s` and `ended_s` are seconds since
    the run began: from the first create's answer to the verdict.
    """

    entry: Entry
    verdict: Verdict
    gating: bool
    reason: str | None
    raw_status: str | None
    url: str | None
    runs: tuple[RunLink, ...]
    duration_s: float | None
    counts: Mapping[Verdict, int]
    cases: tuple[Case, ...]
    attempt: int
    began_s: float | None
    ended_s: float | None
    tried: tuple[tuple[int, Case], ...]
    """Every result of every attempt with the attempt's number, a test's last one last."""
    number: int = 0
    """Its place in the manifest, from 0."""
    trend: Trend | None = None
    """What earlier runs say of it; None where no earlier run is known."""

    def kind(self, verdict: Verdict) -> CaseKind:
        """What a test of this entry means for the build."""
        if verdict in GOOD:
            return CaseKind.PASSED
        if verdict is Verdict.SKIPPED or not self.gating:
            return CaseKind.SKIPPED
        return CaseKind.FAILURE if verdict in _FAILURES else CaseKind.ERROR

    @property
    def blamed(self) -> list[Case]:
        """The tests that did not pass; an entry without tests has nothing to blame."""
        return [case for case in self.cases if case.verdict not in GOOD and case.id != self.entry.id]

    @property
    def passed(self) -> str:
        """`14/17`: how many of its tests passed."""
        good = sum(number for verdict, number in self.counts.items() if verdict in GOOD)
        return f"{good}/{sum(self.counts.values())}"

    @property
    def notes(self) -> list[str]:
        """What has to be known beside the verdict."""
        return [*([] if self.gating else ["does not gate"]), *(self.trend.words if self.trend is not None else ())]

    def message(self, case: Case) -> str:
        """Why a test did not pass, and that it does not gate where that is so."""
        text = case.message or self.reason or case.verdict.words
        return text if self.gating or case.verdict in GOOD else f"{case.verdict.words}, does not gate: {text}"


class LeftAtVendor(Struct, frozen=True, kw_only=True):
    """Something that qarunner made at a vendor, and that is there still; not `certain`: that may be there.

    `removable`: a resume tries again to remove it. `details` are its names at the vendor.
    """

    vendor: str
    kind: str
    what: str
    why: str
    todo: str
    certain: bool
    removable: bool
    details: Mapping[str, str]


class ManifestResult(Struct, frozen=True, kw_only=True):
    """What one of several joined matrices came to. `label` begins the ids of its entries."""

    label: str
    name: str
    verdict: Verdict
    exit_code: ExitCode


class Money(Struct, frozen=True):
    """What a run costs: by its plan, and by what was started."""

    plan: Cost
    spent: Spent


class Summary(Struct, frozen=True, kw_only=True):
    """Times are ISO 8601 in UTC. `running` may still run at the vendor, `left` has to be removed there.

    `uncertain` are jobs that a person has to decide, but for the `repeatable` ones, which a resume finds out about.
    """

    run_id: str
    name: str
    verdict: Verdict
    exit_code: ExitCode
    started_at: str
    finished_at: str
    wall_s: float
    totals: Mapping[Verdict, int]
    entries: tuple[EntrySummary, ...]
    not_planned: tuple[NotPlanned, ...]
    shard: str | None
    running: tuple[RunLink, ...]
    left: tuple[LeftAtVendor, ...]
    uncertain: Mapping[str, str]
    repeatable: frozenset[str]
    unfinished: bool
    rehearsal: bool
    git: Mapping[str, str | None]
    ci: Mapping[str, str | None]
    finished: int
    min_tests: int
    gate: tuple[GateFailure, ...] = ()
    """What fails the build where no test does; machines that read a report find it as a failing case."""
    failed_by_skips_only: bool = False
    """True if skipped tests are the only reason for the failure."""
    unverified: bool = False
    unrecorded: bool = False
    manifest: str = ""
    manifest_from_root: str | None = None
    """The manifest's path from where the apply was started, and from the repository's root."""
    resume: str = ""
    """The command that goes on with the run, as it has to be typed where the apply was started."""
    rerun: str = ""
    """The command that runs again what did not pass, likewise."""
    who: Mapping[str, str | int | None] = field(default_factory=dict)
    """`actor` and `attempt` of the CI job that began the run."""
    cost: Money | None = None
    """None where no vendor has a price."""
    compared: str | None = None
    """What the entries' trends compare with, such as a branch; None without a history."""
    manifests: tuple[ManifestResult, ...] = ()
    """One for each matrix where several were joined; else empty."""

    @property
    def is_joined(self) -> bool:
        """True if it is of several runs: no command of one run fits them all."""
        return "+" in self.run_id or len(self.manifests) > 1


UNRECORDED = "the journal could not be written: a resume would not know all of this"
UNVERIFIED = "nothing was verified: no key is set that the run could have been sealed with"
_FAILURES = frozenset({Verdict.FAILED, Verdict.BLOCKED})
GATE = "gate"
"""The name of the suite that holds what fails the build for itself."""


_VERDICT = {
    ExitCode.OK: Verdict.PASSED,
    ExitCode.FAILED: Verdict.FAILED,
    ExitCode.NOTHING: Verdict.SKIPPED,
    ExitCode.TIMEOUT: Verdict.TIMED_OUT,
    ExitCode.NO_VERDICT: Verdict.UNKNOWN,
    ExitCode.HUNG_UP: Verdict.CANCELLED,
    ExitCode.INTERRUPTED: Verdict.CANCELLED,
    ExitCode.TERMINATED: Verdict.CANCELLED,
}


def verdict_of(code: ExitCode) -> Verdict:
    """What a build's exit code means in one word."""
    return _VERDICT.get(code, Verdict.ERROR)


def summarise(run: Run) -> Summary:
    """The report's content; the same run gives the same summary."""
    decision = decide(run)
    entries = tuple(_entry(run, entry, number) for number, entry in enumerate(run.plan.entries))
    return Summary(
        run_id=run.run_id,
        name=run.plan.name,
        verdict=verdict_of(decision.exit_code),
        exit_code=decision.exit_code,
        started_at=timestamp(run.started_at),
        finished_at=timestamp(run.last_at),
        wall_s=round(run.last_at - run.started_at, 3),
        totals={verdict: sum(row.counts.get(verdict, 0) for row in entries) for verdict in Verdict},
        entries=entries,
        not_planned=run.plan.not_planned,
        shard=run.plan.shard,
        running=running_of(run),
        left=tuple(_left(run)),
        uncertain={state.doubt: state.message or "" for state in run.jobs.values() if state.phase is Phase.UNCERTAIN},
        repeatable=frozenset(
            state.doubt for state in run.jobs.values() if state.phase is Phase.UNCERTAIN and state.key is not None
        ),
        unfinished=_unfinished(run),
        rehearsal=run.rehearsal,
        git=run.plan.git,
        ci=run.plan.ci,
        who={"actor": run.who.actor, "attempt": run.who.attempt} if run.who is not None else {},
        finished=decision.finished,
        min_tests=run.plan.min_tests,
        gate=tuple(_gate(run, decision, entries)),
        failed_by_skips_only=decision.failed_by_skips_only,
        unverified=run.unverified,
        unrecorded=run.unrecorded,
        manifest=run.plan.manifest,
        manifest_from_root=run.plan.sources.manifest if run.plan.sources is not None else None,
        cost=Money(run.plan.cost, spent(run)) if run.plan.cost else None,
    )


def next_step(summary: Summary) -> tuple[str, str] | None:
    """What comes next, and the command for it: `rerun`, `resume` or `decide`. None if nothing is left to do."""
    code, lasting = summary.exit_code, {ExitCode.UNAVAILABLE, ExitCode.CREDENTIAL, ExitCode.BUDGET}
    place = _place(summary)
    if summary.is_joined:
        return None
    if any(job not in summary.repeatable for job in summary.uncertain):
        return "decide", shlex.join(["qarunner", "status", summary.run_id, *place])
    if summary.running or summary.uncertain or summary.unfinished or code in lasting:
        return "resume", resume_of(summary)
    if code in {ExitCode.OK, ExitCode.UNWRITTEN, ExitCode.NOTHING}:
        return None
    again = ["--rehearse"] if summary.rehearsal else []
    return "rerun", summary.rerun or shlex.join(["qarunner", "apply", *again, "--rerun-failed", summary.run_id, *place])


def _gate(run: Run, decision: Decision, entries: Sequence[EntrySummary]) -> Iterator[GateFailure]:
    """What explains the exit code where no test does, and each part of the whole that is missing."""
    for row in entries:
        if row.entry.vendor == NOBODY:
            yield GateFailure(name="missing", message=row.reason or row.entry.id)
    red = {CaseKind.FAILURE, CaseKind.ERROR}
    shown = (row.kind(verdict) for row in entries for verdict in (row.verdict, *row.counts))
    if decision.exit_code is ExitCode.OK or not red.isdisjoint(shown):
        return
    if run.signal is not None:
        yield GateFailure(name="interrupted", message=f"the apply was ended by signal {run.signal}")
    if decision.skipped:
        number = plural(len(decision.skipped), "entry was", "entries were")
        names = listed(decision.skipped, _SHOWN, ", …")
        yield GateFailure(name="on_skipped", message=f"{number} skipped, which fails: {names}")
    if decision.finished < run.plan.min_tests:
        message = f"{decision.finished} gating tests finished, gate.min_tests is {run.plan.min_tests}"
        yield GateFailure(name="min_tests", message=message)
    if run.unverified:
        yield GateFailure(name="seal", message=UNVERIFIED)
    if run.unrecorded:
        yield GateFailure(name="journal", message=UNRECORDED)


_SHOWN = 20


def _left(run: Run) -> Iterator[LeftAtVendor]:
    for state in run.resources.values():
        kept = [] if state.kept is None else [Remainder(leftover=state.kept, why=_KEPT, certain=True)]
        for left in (*state.left(), *kept):
            yield LeftAtVendor(
                vendor=state.resource.vendor,
                kind=str(state.resource.kind),
                what=left.leftover.what,
                why=left.why,
                todo=left.leftover.todo,
                certain=left.certain,
                removable=left.known,
                details=left.leftover.details,
            )


_KEPT = "an upload stays there"


def named_leftover(what: str, details: Mapping[str, str]) -> str:
    """What stayed at a vendor, by its names there."""
    number = details.get("id")
    return what + (f" (id {number})" if number else "")


def timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _unfinished(run: Run) -> bool:
    """True if a resume finds out more: of what is open, or was closed since a vendor was away."""
    given_up = [remote.abandoned.cause for _, remote in run.active_runs() if remote.abandoned]
    away = any(outcome.cause is Cause.UNAVAILABLE for outcome in run.closed.values()) and started_anywhere(run)
    return not run.complete or away or any(cause in REOPENED for cause in given_up)


def running_of(run: Run) -> tuple[RunLink, ...]:
    """The runs that may go on at a vendor."""
    return tuple(_link(run, state, remote) for state, remote in list(run.active_runs()))


def _link(run: Run, state: JobState, remote: RunState) -> RunLink:
    return RunLink(
        id=remote.remote.id,
        url=live_url(run, remote.remote.url),
        vendor=state.job.vendor,
        attempt=state.attempt,
        entries=state.job.entries,
    )


def _entry(run: Run, entry: Entry, number: int) -> EntrySummary:
    state = run.job_of[entry.id]
    outcome = outcome_of(run, entry)
    links = tuple(_link(run, attempt, remote) for attempt in run.attempts[entry.id] for remote in attempt.runs.values())
    cases = tuple(_shown(run, entry, case) for case in _cases(entry, outcome))
    return EntrySummary(
        entry=entry,
        verdict=outcome.verdict,
        gating=entry.policy.gating,
        reason=_reason(entry, outcome, doubted=_is_doubted(run, entry, outcome)),
        raw_status=outcome.raw_status,
        url=live_url(run, outcome.url) or next((link.url for link in reversed(links) if link.url), None),
        runs=links,
        duration_s=_duration(run, entry, outcome),
        counts=dict(verdict_counts(tally(outcome, expected_tests(entry)))),
        cases=cases,
        attempt=state.attempt,
        began_s=round(began - run.started_at, 3) if (began := _began(run, entry)) is not None else None,
        ended_s=round(run.closed_at[entry.id] - run.started_at, 3) if entry.id in run.closed_at else None,
        tried=tuple(_tried(run, entry, cases)),
        number=number,
    )


def _shown(run: Run, entry: Entry, case: Case) -> Case:
    """A result with a possible duration; its name is that of the lock where the vendor gives no name."""
    name = case.name or run.plan.names.get(entry.vendor, {}).get(case.id)
    case = replace(case, name=name, duration_s=sane_seconds(case.duration_s))
    if not run.rehearsal:
        return case
    steps = tuple(replace(step, screenshot_url=None) for step in case.steps)
    return replace(case, url=None, video_url=None, steps=steps)


def live_url(run: Run, url: str | None) -> str | None:
    """Links of a rehearsal lead to emulated vendors that are gone, or to real ones that know nothing of it."""
    return None if run.rehearsal else url


def _began(run: Run, entry: Entry) -> float | None:
    """When the first create of all attempts was answered."""
    times = (remote.accepted_at for state in run.attempts[entry.id] for remote in state.runs.values())
    return min(times, default=None)


def _tried(run: Run, entry: Entry, cases: Sequence[Case]) -> Iterator[tuple[int, Case]]:
    """The deciding results, each after what earlier attempts said of the same test."""
    outcomes = [outcome_so_far(state, entry.id) or Outcome(verdict=Verdict.UNKNOWN) for state in run.attempts[entry.id]]
    before = collected((case.id, (number, _shown(run, entry, case))) for number, case in replaced_results(outcomes))
    decided = {case.id: number for number, case in deciding_results(outcomes)}
    for name in sorted(before.keys() - {case.id for case in cases}):
        yield from before[name]
    for case in cases:
        number = decided.get(case.id, len(outcomes))
        yield from (attempt for attempt in before.pop(case.id, []) if attempt[0] < number)
        yield number, case


def _is_doubted(run: Run, entry: Entry, outcome: Outcome) -> bool:
    """True if a vendor may not know an id any more that the lock gave: it refused the entry, or said nothing of it."""
    names, ids = run.plan.names.get(entry.vendor, {}), entry.selection.ids if entry.selection is not None else ()
    if outcome.cause is Cause.REFUSED:
        return any(identifier in names for identifier in ids)
    silent = {case.id for case in outcome.cases if case.verdict is Verdict.UNKNOWN and case.raw_status is None}
    return any(identifier in names and identifier in silent for identifier in ids)


def _reason(entry: Entry, outcome: Outcome, *, doubted: bool) -> str | None:
    message = outcome.message if passes(outcome.verdict) else outcome.reason
    parts = [mask(message)] if message else []
    if doubted:
        parts.append("`qarunner lock --check` says whether the lock still holds")
    if entry.policy.allow_failure and outcome.verdict not in {Verdict.PASSED, Verdict.FLAKY}:
        parts.append("allowed to fail")
    if entry.policy.quarantine is not None:
        parts.append(mask(str(entry.policy.quarantine)))
    return "; ".join(parts) or None


def _duration(run: Run, entry: Entry, outcome: Outcome) -> float | None:
    """Seconds: the vendor's own figure, or from the first create's answer to the verdict."""
    if (vendors := sane_seconds(outcome.duration_s)) is not None:
        return vendors
    closed, began = run.closed_at.get(entry.id), _began(run, entry)
    return round(closed - began, 3) if closed is not None and began is not None else None


def sane_seconds(duration: float | None) -> float | None:
    """A vendor's duration in seconds; None if it is no length of time that a test can have."""
    return duration if duration is not None and 0 <= duration <= LONGEST_S else None


def _cases(entry: Entry, outcome: Outcome) -> Iterator[Case]:
    """An entry's tests. Without a result, those that it asked for, each with the entry's verdict."""
    yield from outcome.cases
    if outcome.cases:
        if not has_case_with_verdict(outcome, {case.verdict: 1 for case in outcome.cases}):
            yield _stand_in(entry.id, entry, outcome)
    elif not outcome.counts and entry.selection and entry.selection.kind is SelectionKind.TEST_IDS:
        for test in entry.selection.ids:
            yield _stand_in(test, entry, outcome)
    elif not outcome.counts:
        yield _stand_in(entry.id, entry, outcome)


def _stand_in(case_id: str, entry: Entry, outcome: Outcome) -> Case:
    return Case(
        id=case_id,
        name=entry.name if case_id == entry.id else None,
        verdict=outcome.verdict,
        raw_status=outcome.raw_status,
        url=outcome.url,
        message=outcome.message,
    )


SIGNS = {
    Verdict.PASSED: ("✓", "green"),
    Verdict.FLAKY: ("↻", "yellow"),
    Verdict.FAILED: ("✗", "red"),
    Verdict.BLOCKED: ("✗", "red"),
    Verdict.SKIPPED: ("-", "dim"),
}
OTHER_SIGN = ("!", "yellow")


def sign_of(verdict: Verdict) -> tuple[str, str]:
    """The mark that stands before a verdict, and its colour."""
    return SIGNS.get(verdict, OTHER_SIGN)


WORST_FIRST = (
    Verdict.FAILED,
    Verdict.BLOCKED,
    Verdict.ERROR,
    Verdict.UNKNOWN,
    Verdict.TIMED_OUT,
    Verdict.CANCELLED,
    Verdict.FLAKY,
    Verdict.SKIPPED,
    Verdict.PASSED,
)
"""The one order of verdicts for people."""


def verdict_counts(verdicts: Iterable[Verdict] | Mapping[Verdict, int]) -> list[tuple[Verdict, int]]:
    """How often each verdict is there, the worst first; of numbers of verdicts, the same in this order."""
    counts: Counter[Verdict] = Counter(verdicts)
    return [(verdict, counts[verdict]) for verdict in WORST_FIRST if counts[verdict]]


def failures_first(summary: Summary) -> list[EntrySummary]:
    """The entries as people want to read them: what fails the build, what only failed, the rest; new failures lead."""

    def rank(row: EntrySummary) -> tuple[bool, bool, bool, int]:
        is_new = row.trend is not None and row.trend.news is News.NEW
        return not is_bad(row.verdict), not row.gating, not is_new, WORST_FIRST.index(row.verdict)

    return sorted(summary.entries, key=rank)


def news(summary: Summary) -> dict[News, list[EntrySummary]]:
    """Entries whose failure is new, known or fixed, by what earlier runs say."""
    return {kind: [row for row in summary.entries if row.trend and row.trend.news is kind] for kind in News}


def facts(summary: Summary) -> list[tuple[str, str]]:
    """Where the tested build comes from: repository, branch or tag, and commit, as far as they are known."""
    names = {"repository": "repository", "branch": "branch", "tag": "tag", "sha": "commit"}
    return [(name, value) for key, name in names.items() if (value := summary.git.get(key))]


def _place(summary: Summary) -> list[str]:
    """The option that leads to the run's folder, as the command that goes on with it has it."""
    return [word for word in shlex.split(summary.resume) if word.startswith("--runs-dir=")]


def resume_of(summary: Summary) -> str:
    return summary.resume or f"qarunner resume {summary.run_id}"


def decisions(summary: Summary, job: str) -> list[tuple[str, str]]:
    """The commands that decide about an uncertain create, each with when it is the right one."""
    resume = resume_of(summary)
    if summary.is_joined:
        run, _, job = job.partition(":")
        resume = shlex.join(["qarunner", "resume", run, *_place(summary)])
    if job in summary.repeatable:
        return [(resume, "asks again with the same idempotency key: nothing is paid twice")]
    return [
        (f"{resume} --resubmit {shlex.quote(job)}", "if the vendor has no such run: start it"),
        (f"{resume} --drop {shlex.quote(job)}", "if the vendor has the run: keep it"),
    ]


def amount(summary: Summary) -> str:
    """Of both units at once, so that the counts of the last line can be read."""
    tests, entries = sum(summary.totals.values()), len(summary.entries)
    return f"{plural(tests, 'test')} of {plural(entries, 'entry', 'entries')}"


def last_line(summary: Summary, remark: str = "") -> str:
    """The last line of an apply, a resume or a watch: its headline, and what comes next, with the command."""
    text, step = headline(summary) + remark, next_step(summary)
    if step is None or step[1] in text:
        return text
    action, command = step
    return f"{text}; {'to go on' if action == 'resume' else action}: {command}"


def headline(summary: Summary) -> str:
    """How an apply ended: which code, and why, counting every class."""
    classes = [_counted(summary, verdict) for verdict in WORST_FIRST if summary.totals[verdict]]
    text = f"qarunner: exit {int(summary.exit_code)}: {', '.join(classes) or _no_tests(summary)}"
    if summary.exit_code is ExitCode.NOTHING:
        text += f"; {summary.finished} gating tests finished, gate.min_tests is {summary.min_tests}"
    action, command = next_step(summary) or ("", "")
    if summary.exit_code is ExitCode.NO_VERDICT and summary.unfinished and action == "resume":
        text += f"; to go on: {command}"
    if summary.failed_by_skips_only:
        text += "; a skipped test fails the build"
    if summary.unrecorded:
        text += f"; {UNRECORDED}"
    if summary.unverified:
        text += f"; {UNVERIFIED}"
    return text


def cost_words(summary: Summary) -> str | None:
    """`planned 4.25 EUR, up to 8.50 EUR with retries, spent 4.25 EUR`; None without a price."""
    cost = summary.cost
    if cost is None:
        return None
    word = "would have spent" if summary.rehearsal else "spent"
    paid = amount_of(replace(cost.plan, at_least=cost.spent.at_least), cost.spent.amount)
    return f"planned {with_retries(cost.plan)}, {word} {paid}"


def _no_tests(summary: Summary) -> str:
    return f"no tests: shard {summary.shard} is empty" if summary.shard and not summary.entries else "no tests"


def _counted(summary: Summary, verdict: Verdict) -> str:
    """`2 failed`, and how many of them do not gate, where that explains the code."""
    text = f"{summary.totals[verdict]} {verdict.words}"
    free = sum(entry.counts.get(verdict, 0) for entry in summary.entries if not entry.gating)
    if not free or passes(verdict):
        return text
    return (
        f"{text} ({'does' if free == 1 else 'do'} not gate)"
        if free == summary.totals[verdict]
        else f"{text} ({free} not gating)"
    )


def is_web(url: str | None) -> bool:
    """True if a URL may be linked to; a script's never is."""
    return bool(url and _WEB.fullmatch(url))


_WEB = regex(r"https?://\S+")


def unsaid(text: str | None, *said: str | None) -> str | None:
    """A vendor's text without the parts that stand beside it already: one failure is shown once."""
    known = [text_said for text_said in said if text_said]
    parts = [
        part
        for part in (text or "").split("; ")
        if not any(_is_part(part.strip(" .;"), text_said) for text_said in known)
    ]
    return "; ".join(parts).strip() or None


def _is_part(part: str, text: str) -> bool:
    """Short words stand in any text by chance."""
    return part == text.strip(" .;") or (len(part) >= _LONG and part in text)


_LONG = 12


def from_root(summary: Summary) -> Summary:
    """The summary with the paths of files as other programs look for them: from the repository's root."""
    at_root = summary.manifest_from_root
    if at_root is None or at_root == summary.manifest:
        return summary
    folder, there = posixpath.dirname(summary.manifest), posixpath.dirname(at_root)

    @cache
    def place(file: str) -> str:
        return posixpath.normpath(posixpath.join(there, posixpath.relpath(file, folder or ".")))

    def moved(origin: Place) -> Place:
        return replace(origin, file=place(origin.file))

    return replace(
        summary,
        entries=tuple(
            replace(row, entry=replace(row.entry, origin=moved(row.entry.origin))) for row in summary.entries
        ),
        not_planned=tuple(replace(row, origin=moved(row.origin)) for row in summary.not_planned),
    )


def cleaned(summary: Summary, clean: Clean, *, most: int | None = None) -> Summary:
    """The summary with each text cleaned, and with `most`, cut to that length: vendors' texts have no bound."""
    texts = _texts_in([summary])
    # Almost always nothing has to be changed: that is asked of all texts at once.
    parts = clean(_BETWEEN.join(texts)).split(_BETWEEN)
    if any(_BETWEEN in text for text in texts):
        parts = list(map(clean, texts))
    short = parts if most is None else [cut(part, most) for part in parts]
    changes = {text: part for text, part in zip(texts, short, strict=True) if text != part}
    copy = _with(summary, changes, {}) if changes else summary
    assert isinstance(copy, Summary)  # noqa: S101  a copy of what went in
    return copy


def _with(value: object, changes: Mapping[str, str], copies: dict[int, object]) -> object:
    """Data with other texts. What has no such text stays the same object; an object that is there twice is copied once.

    `copies` has those of objects of the data by their ids.
    """
    kind = type(value)
    if kind is str:
        return changes.get(cast("str", value), value)
    if names := getattr(kind, "__struct_fields__", ()):
        if id(value) not in copies:
            fields = {name: getattr(value, name) for name in names}
            new = {name: _with(field, changes, copies) for name, field in fields.items()}
            same = all(map(operator.is_, new.values(), fields.values()))
            copies[id(value)] = value if same else kind(**new)
        return copies[id(value)]
    if isinstance(value, tuple):
        items: list[object] = []
        for start in range(0, len(value), _BLOCK):
            block = value[start : start + _BLOCK]
            stays = len(value) > _BLOCK and changes.keys().isdisjoint(_texts_in(block))
            items += block if stays else [_with(item, changes, copies) for item in block]
        return value if all(map(operator.is_, items, value)) else tuple(items)
    if isinstance(value, Mapping):
        return {_with(key, changes, copies): _with(item, changes, copies) for key, item in value.items()}
    return value


_BLOCK = 250
_BETWEEN = "\0"
"""No secret, no escape, no line end and no placeholder goes over it: it is made of a text what is made of it alone."""
_VALUES = operator.methodcaller("values")
_PLAIN: frozenset[type] = frozenset({int, float, bool, type(None), Verdict, CaseKind, ExitCode})


def _texts_in(values: Sequence[object]) -> list[str]:
    """Each text in data, once. A field of all objects is read at a time: one by one takes four times as long."""
    texts: set[str] = set()
    columns = [values]
    while columns:
        column = columns.pop()
        kinds = set(map(type, column))
        for kind in kinds - _PLAIN:
            same = column if len(kinds) == 1 else [value for value in column if type(value) is kind]
            if kind is str:
                texts.update(cast("Sequence[str]", same))
            elif names := getattr(kind, "__struct_fields__", ()):
                objects = dict(zip(map(id, same), same, strict=True)).values()
                columns += [list(map(operator.attrgetter(name), objects)) for name in names]
            elif issubclass(kind, tuple):
                columns.append(list(chain.from_iterable(cast("Sequence[tuple[object, ...]]", same))))
            elif issubclass(kind, Mapping):
                mappings = cast("Sequence[Mapping[object, object]]", same)
                columns += [list(chain.from_iterable(mappings)), list(chain.from_iterable(map(_VALUES, mappings)))]
    return list(texts)

"""Polls: when each run is read, and what the replies mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, assert_never

from qarunner.engine.decide.interpret import Answer, Rejected, Retry, after_read, poll_request, with_key_name
from qarunner.engine.decide.outcomes import takes_details
from qarunner.engine.flow.lists import Listing, Lists
from qarunner.engine.schedule.queue import FIRST, Task, VendorQueue
from qarunner.engine.schedule.rate_limits import MARGIN, RequestKind
from qarunner.engine.schedule.timing import DurationHistory, DurationModel, RetryState
from qarunner.engine.state import events as ev
from qarunner.vendors.api import Cause, Fault, Finished, More, Outcome, Refusal, Reply, Running, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qarunner.engine.flow.closing import CancelHandler, EntryCloser
    from qarunner.engine.flow.context import RunContext
    from qarunner.engine.state.run import JobState, RunState


Meaning: TypeAlias = Running | More | Finished | Retry | Rejected


_NO_DETAILS = Reply(status=0, text="not read")


DETAILS_S = 5.0
"""Seconds for optional details, once the verdict is known. They are for people, and nothing waits longer for them."""


MOST_DETAILS = 20
"""An adapter that asks for more replies than this never comes to an end."""


ASK_ONCE_S = 5.0
"""What an answer may take beyond the rates, of a run that is asked for again after a while."""


class PollHandler:
    """Reads runs until they are over. `history` learns how long runs take."""

    def __init__(
        self,
        context: RunContext,
        closer: EntryCloser,
        cancels: CancelHandler,
        history: DurationHistory,
    ) -> None:
        self._context = context
        self._run = context.run
        self._closer = closer
        self._cancels = cancels
        self._history = history
        self.lists = Lists(context)
        self._detailed: dict[Task, Mapping[str, Outcome]] = {}
        """Reads for optional details, each with the outcomes that were written down before."""

    # --- where polls begin --------------------------------------------------------------------------------------------

    def follow(self, state: JobState, now: float, *, at_once: bool = False) -> None:
        """Polls the job's runs and watches its entries' time."""
        self._context.queue(state).busy_jobs.add(state.job.id)
        if self._context.deadlines.began(state.job.id) is None:
            self._set_deadlines(state, now)
        for run in state.runs.values():
            if run.polled:
                self._poll(state, run, now, at_once=at_once)

    def _set_deadlines(self, state: JobState, now: float) -> None:
        """For runs that another process began, whose time has been counted since then."""
        began_at = state.began_at or min(run.accepted_at for run in state.runs.values())
        age = max(0.0, self._context.clock.wall() - began_at)
        # The vendor may know more of a run that was not read for a while: each is asked once before its time is up.
        once = self._once_s(state.job.vendor)
        for entry in self._run.open_entries(state):
            left = state.entries[entry].policy.timeout_s - age
            self._context.deadlines.set(now + max(left, once), entry, state.job.id)

    def look(self, state: JobState, now: float) -> None:
        """Reads the job's runs now, whatever their age."""
        for run in state.runs.values():
            if run.polled:
                self._poll(state, run, now, at_once=True)

    def _once_s(self, vendor: str) -> float:
        """How long the rates make it take to ask for every run of a vendor once."""
        plan = self._run.plan.vendors[vendor]
        states = [state for state in self._run.jobs.values() if state.job.vendor == vendor]
        runs = sum(run.polled for state in states for run in state.runs.values())
        rates = [rate for rate in (plan.reads, plan.all) if rate is not None]
        return ASK_ONCE_S + max((MARGIN * runs * rate.per_s / rate.count for rate in rates), default=0.0)

    def _poll(self, state: JobState, run: RunState, now: float, *, at_once: bool) -> None:
        """Puts a run's first poll into its queue; an adapter that cannot say how ends its own job alone."""
        queue = self._context.queue(state)
        request = poll_request(queue.vendor, self._run.call(state), run.remote)
        if isinstance(request, Rejected):
            self._refuse(state, run, request)
        else:
            task = Task.poll_of(state, run, request)
            task.read_alone_at = now
            due = self._due_at(task, now)
            task.waits_for_its_time = not at_once
            queue.put(task, now if at_once else due)

    def _due_at(self, task: Task, now: float, *, hint_s: float | None = None) -> float:
        """When a run is asked next; notes in its task how urgent that is."""
        schedule = self._context.queue(task.job).schedule
        born = now - self._age_s(task)
        poll = schedule.next_poll(
            self._expected(task, born),
            born=born,
            running_at=task.seen_running_at,
            now=now,
            hint_s=hint_s,
        )
        task.urgency, task.lateness = poll.urgency, poll.lateness
        return poll.due

    def _expected(self, task: Task, born: float) -> DurationModel:
        """By what is known of its like, and by the run's own progress as of its newest poll."""
        expected, run = self._history.expected(task.job), _run_of(task)
        if task.seen_running_at is None or run.done is None or run.total is None:
            return expected
        return expected.after(task.seen_running_at - born, run.done, run.total)

    def _age_s(self, task: Task) -> float:
        """By the wall clock, since another process may have begun the run."""
        return max(0.0, self._context.clock.wall() - _run_of(task).accepted_at)

    # --- replies ------------------------------------------------------------------------------------------------------

    def settle(self, task: Task, answer: Answer) -> None:
        if task.best_effort and isinstance(answer, Fault):
            answer = Reply(status=0, text=answer.message)
        answers = [*task.answers, answer]
        meaning = self._read(task, answers, best_effort=task.best_effort)
        task.is_alone = False
        self._compare(task, answers, meaning)
        if task.details_end_at is not None:
            self._settle_details(task, answers, meaning)
        elif self._is_wanted(task, meaning):
            self._act(task, answers, meaning)

    # --- lists --------------------------------------------------------------------------------------------------------

    def settle_list(self, task: Task, answer: Answer) -> None:
        listing = self.lists.settle(task, answer)
        if listing is None:
            return
        queue, now = self._context.queue(task.job), self._context.clock.now()
        for read in listing.unlisted:
            self._read_alone(queue, read, now)
        for read, reply in listing.replies.items():
            # What an earlier run came to may have closed this one's job.
            if read in queue.reads.of(read.job):
                self._settle_listed(queue, read, reply, listing)

    def _settle_listed(self, queue: VendorQueue, task: Task, reply: Reply, listing: Listing) -> None:
        """Takes from a list what is beyond doubt; else the run is read by itself, at once if it is over."""
        now, meaning = self._context.clock.now(), self._read(task, [reply], best_effort=False)
        if isinstance(meaning, Running):
            if task in listing.probes:
                task.listed = {}
                self._read_alone(queue, task, now)
                return
        else:
            task.listed = self._verdicts(task, [reply], meaning)
            if not self.lists.believes(task, task.listed or {}):
                task.urgency = FIRST
                self._read_alone(queue, task, now)
                return
        queue.remove(task)
        task.listed, task.polled_at = None, listing.at
        if self._is_wanted(task, meaning):
            self._act(task, [reply], meaning)

    def _read_alone(self, queue: VendorQueue, task: Task, now: float) -> None:
        task.is_alone = True
        queue.put(task, now)

    def _verdicts(self, task: Task, answers: Sequence[Answer], meaning: Meaning) -> Mapping[str, Verdict] | None:
        """What a reply says of each entry; None if it says no end."""
        outcomes = meaning.outcomes if isinstance(meaning, Finished) else None
        if isinstance(meaning, More) and meaning.best_effort:
            outcomes = self._without_details(task, answers)
        return {entry: outcome.verdict for entry, outcome in outcomes.items()} if outcomes else None

    def _compare(self, task: Task, answers: Sequence[Answer], meaning: Meaning) -> None:
        """Lets a run's own reply speak for the list before it, or against it."""
        if task.listed is None:
            return
        if isinstance(meaning, Running):
            self.lists.compare(task, None)
        elif (verdicts := self._verdicts(task, answers, meaning)) is not None:
            self.lists.compare(task, verdicts)

    def _read(self, task: Task, answers: Sequence[Answer], *, best_effort: bool) -> Meaning:
        queue = self._context.queue(task.job)
        return after_read(
            queue.vendor,
            self._run.call(task.job),
            _run_of(task).remote,
            answers,
            polls=task.polls,
            now=self._context.clock.wall(),
            key_worked=queue.key_worked,
            best_effort=best_effort,
        )

    def _act(self, task: Task, answers: list[Answer], meaning: Meaning) -> None:
        match meaning:
            case Running():
                self._still_running(task, meaning)
            case More(best_effort=True) if (outcomes := self._without_details(task, answers)) is not None:
                self._finish(task, outcomes)
                self._ask_details(task, answers, meaning, outcomes)
            case More():
                self._ask_more(task, answers, meaning)
            case Finished():
                self._finish(task, meaning.outcomes)
                self._closer.close_job(task.job)
            case Retry():
                self._retry(task, meaning)
            case Rejected():
                self._refuse(task.job, _run_of(task), meaning)
            case _:
                assert_never(meaning)

    def _ask_more(self, task: Task, answers: list[Answer], more: More) -> None:
        task.answers, task.request, task.best_effort = answers, more.request, more.best_effort
        task.urgency = FIRST
        self._context.queue(task.job).put(task, self._context.clock.now())

    def _finish(self, task: Task, outcomes: Mapping[str, Outcome]) -> None:
        """Writes a run's end down."""
        if task.details_end_at is None:
            self._learn(task)
        at, job, run = self._context.clock.wall(), task.job.job.id, _run_of(task).remote.id
        self._context.record(ev.RunFinishedRemotely(at=at, job=job, run=run, outcomes=outcomes))

    # --- optional details ---------------------------------------------------------------------------------------------

    def _without_details(self, task: Task, answers: Sequence[Answer]) -> Mapping[str, Outcome] | None:
        """What a run comes to if no detail can be read; None if its end depends on the reply after all."""
        for number in range(1, MOST_DETAILS):
            meaning = self._read(task, [*answers, *[_NO_DETAILS] * number], best_effort=True)
            if isinstance(meaning, Finished):
                return meaning.outcomes
            if not isinstance(meaning, More) or not meaning.best_effort:
                break
        return None

    def _ask_details(self, task: Task, answers: list[Answer], more: More, outcomes: Mapping[str, Outcome]) -> None:
        """Asks for details of a run whose verdict is written down; they get a few seconds, and nothing waits longer."""
        now, queue = self._context.clock.now(), self._context.queue(task.job)
        ends_at = now + DETAILS_S
        if not self._context.mode.may_begin or queue.limiter.ready_at(RequestKind.READ, now) >= ends_at:
            self._closer.close_job(task.job)
            return
        task.details_end_at, task.limit_s = ends_at, DETAILS_S
        self._detailed[task] = outcomes
        self._ask_more(task, answers, more)

    def _settle_details(self, task: Task, answers: list[Answer], meaning: Meaning) -> None:
        before = self._detailed.get(task)
        if before is None:  # their time was up
            return
        if isinstance(meaning, More) and meaning.best_effort and len(answers) < MOST_DETAILS:
            self._ask_more(task, answers, meaning)
            return
        if isinstance(meaning, Finished) and meaning.outcomes != before and _fit(before, meaning.outcomes):
            self._finish(task, meaning.outcomes)
        self._end_details(task)

    def next_at(self) -> float | None:
        """When the time for some details is up; None if no details are read."""
        times = (task.details_end_at for task in self._detailed)
        return min((at for at in times if at is not None), default=None)

    def end_details(self, now: float | None = None) -> None:
        """Closes what waits for details: all of it, or what waits for too long by `now`."""
        for task in list(self._detailed):
            if now is None or (task.details_end_at is not None and task.details_end_at <= now):
                self._end_details(task)

    def _end_details(self, task: Task) -> None:
        del self._detailed[task]
        self._context.queue(task.job).remove(task)
        self._closer.close_job(task.job)

    def _is_wanted(self, task: Task, meaning: Meaning) -> bool:
        """True if a reply can still change something. While runs are cancelled, the replies to cancels decide."""
        mode = self._context.mode
        if mode.looks_first or not mode.cancels:
            return True
        return isinstance(meaning, Finished) or (task.is_last_look and isinstance(meaning, (More, Running)))

    def _learn(self, task: Task) -> None:
        """A run was found to be over: it ended somewhere between its last two answers."""
        age_s = self._age_s(task)
        known = 0.0 if task.seen_running_at is None else age_s - (self._context.clock.now() - task.seen_running_at)
        changed = self._history.ended(task.job, known_s=max(0.0, known), found_s=age_s)
        now = self._context.clock.now()
        for state in changed:
            self._move(state, now)

    def _move(self, state: JobState, now: float) -> None:
        """What was learnt says something else of a job: its reads that wait for their time get another one."""
        queue = self._context.queue(state)
        if queue.schedule.override_s is not None:
            return
        for task in queue.reads.of(state):
            # A last look, and a read that a list stands for or has left over, have times of their own.
            if task.waits_for_its_time and task.urgency != FIRST and not task.is_held and not task.is_alone:
                queue.put(task, max(self._due_at(task, now), task.not_before))

    def _still_running(self, task: Task, status: Running) -> None:
        run, mode = _run_of(task), self._context.mode
        entries = {name: count for name, count in status.entries.items() if run.entries.get(name) != tuple(count)}
        outcomes = {name: outcome for name, outcome in status.outcomes.items() if run.settled.get(name) != outcome}
        run.latest.update(status.so_far)
        is_news = (status.note, status.done, status.total) != (run.note, run.done, run.total)
        if run.ended_remotely or run.trouble is not None or entries or outcomes or is_news:
            self._context.record(
                ev.Polled(
                    at=self._context.clock.wall(),
                    job=task.job.job.id,
                    run=run.remote.id,
                    note=status.note,
                    done=status.done,
                    total=status.total,
                    entries=entries,
                    outcomes=outcomes,
                )
            )
        if outcomes or run.settled.keys() & self._run.open_entries(task.job):
            self._closer.close_job(task.job)
        if self._run.ended is not None:
            self._closer.leave(task.job, run, f"its cancel was no good: it is {status.note!r}")
        if mode.cancels and not mode.looks_first:
            return
        task.polls += 1
        task.seen_running_at = task.polled_at
        task.retries = RetryState()
        now = self._context.clock.now()
        if not self._cancels.stop_if_late(task, now) and self._run.open_entries(task.job):
            hint_s = status.wait_s
            task.not_before = now if hint_s is None else now + self._context.queue(task.job).schedule.hinted_s(hint_s)
            self._poll_again(task, self._due_at(task, now, hint_s=hint_s))
            task.waits_for_its_time = True

    def _poll_again(self, task: Task, due: float) -> None:
        task.waits_for_its_time, task.breaks_silence = False, task.is_last_look
        task.request, task.answers, task.best_effort = task.poll or task.request, [], False
        self._context.queue(task.job).put(task, due)

    def _retry(self, task: Task, again: Retry) -> None:
        now, queue, run = self._context.clock.now(), self._context.queue(task.job), _run_of(task)
        task.retries.add(again, now)
        wait, cause = (
            task.retries.backoff(again, self._context.jitter()),
            task.retries.exhausted(again, now, established=True, failing_since=queue.failing_since),
        )
        if again.held and cause is None:
            wait = queue.limiter.hold(wait, now, named=again.wait_s is not None)
        if cause is None and not again.unreadable and self._cancels.may_look_again(task, now + wait):
            self._poll_again(task, now + wait)
            return
        if self._cancels.stop_if_late(task, now):
            return
        if cause is Cause.UNAVAILABLE:
            self._closer.give_up(task.job, run, Outcome(verdict=Verdict.ERROR, message=again.message, cause=cause))
        elif cause is not None and again.cause is not None:
            self._refuse(task.job, run, Rejected(refusal=Refusal(message=again.message, cause=again.cause)))
        elif cause is not None:
            self._closer.give_up(task.job, run, Outcome(verdict=Verdict.UNKNOWN, message=again.message))
        else:
            if again.unreadable:
                # Not a vendor in need of rest but an answer to be looked at again: at the pace of polls.
                wait = max(wait, queue.schedule.shortest_s)
            message, at = again.message, self._context.clock.wall()
            self._context.record(
                ev.Retrying(at=at, job=task.job.job.id, run=run.remote.id, message=message, wait_s=wait)
            )
            self._poll_again(task, now + wait)

    def _refuse(self, state: JobState, run: RunState, never: Rejected) -> None:
        refusal = never.refusal
        message = with_key_name(refusal, self._context.queue(state).key_name)
        self._closer.give_up(state, run, Outcome(verdict=Verdict.ERROR, message=message, cause=refusal.cause))


def _run_of(task: Task) -> RunState:
    assert task.run is not None  # noqa: S101  a read has a run
    return task.run


def _fit(counted: Mapping[str, Outcome], detailed: Mapping[str, Outcome]) -> bool:
    """True if details speak of the same entries, and may replace what their verdicts were made of."""
    return counted.keys() == detailed.keys() and all(
        takes_details(outcome, detailed[entry]) for entry, outcome in counted.items()
    )

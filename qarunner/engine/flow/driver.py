"""The one loop: it owns all state, decides nothing that `decide/` can decide, and writes before it acts.

Everything that touches the world is a parameter, so that a simulation runs this same code in virtual time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from msgspec import Struct

from qarunner.engine.decide.interpret import TOO_MANY, Answer
from qarunner.engine.flow.closing import CancelHandler, EntryCloser
from qarunner.engine.flow.context import RunContext, Write
from qarunner.engine.flow.creates import CreateHandler, Dependencies
from qarunner.engine.flow.polls import PollHandler
from qarunner.engine.flow.resources import ResourceHandler
from qarunner.engine.flow.shutdown import AFTERWARDS_S, BEGINNINGS, LAST_LOOK_S, Shutdown
from qarunner.engine.schedule.queue import Shares, Task, VendorQueue
from qarunner.engine.schedule.rate_limits import RequestKind, Shared
from qarunner.engine.schedule.timing import OBSERVE_S, DurationHistory, PollSchedule
from qarunner.engine.state import events as ev
from qarunner.engine.state.mode import DETACHING, RUNNING
from qarunner.engine.state.run import INTERRUPTED, JobState, Phase, Run
from qarunner.vendors.api import Outcome, Reply, Vendor, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qarunner.engine.io.workers import Clock, Pool


class Options(Struct, frozen=True, kw_only=True):
    """What the command line says of an apply; durations are seconds."""

    poll_interval_s: float | None = None
    timeout_s: float | None = None
    detach_on_interrupt: bool = False
    detach: bool = False
    """Stop when every create is on disk."""


class Engine:
    """Carries a run to its end, or to an interruption. `record` stores events before they are acted upon.

    `sync` puts on disk what `record` has left to it.
    `observe` is called every `observe_every_s` while the run goes on, by the clock and not by events.
    `key_names`: what messages call the keys of vendors, besides the names of their variables.
    """

    def __init__(  # noqa: PLR0913  one engine, by name
        self,
        *,
        run: Run,
        vendors: Mapping[str, Vendor],
        record: Write,
        sync: Callable[[], None],
        pool: Pool,
        clock: Clock,
        options: Options,
        jitter: Callable[[], float],
        history: DurationHistory | None = None,
        shared: Mapping[str, Shared] | None = None,
        observe: Callable[[], None] | None = None,
        observe_every_s: float = OBSERVE_S,
        key_names: Mapping[str, str] | None = None,
    ) -> None:
        self._run, self._pool, self._clock = run, pool, clock
        self._observe, self._observe_every_s = observe, observe_every_s
        self._observes_at = clock.now() + observe_every_s
        self._tokens = 0
        self._abandoned: set[int] = set()
        """Requests under way whose workers are not counted any more."""
        shares = Shares(pool.share)
        queues = {
            name: VendorQueue(
                vendors[name],
                plan,
                PollSchedule.of(plan, vendors[name].info.pacing, options.poll_interval_s),
                shares,
                (shared or {}).get(name),
                key_name=(key_names or {}).get(name),
            )
            for name, plan in run.plan.vendors.items()
        }
        context = self._context = RunContext(
            run=run,
            queues=queues,
            write=record,
            sync=sync,
            clock=clock,
            jitter=jitter,
            mode=DETACHING if options.detach else RUNNING,
            detach_on_interrupt=options.detach_on_interrupt,
        )
        self._closer = EntryCloser(context)
        self._cancels = CancelHandler(context, self._closer)
        self._polls = PollHandler(context, self._closer, self._cancels, history or DurationHistory(run.plan, {}))
        self._resources = ResourceHandler(context, self._closer)
        self._creates = CreateHandler(context, self._closer, self._resources)
        self._dependencies = Dependencies(context, self._closer, self._creates)
        self._shutdown = Shutdown(
            context,
            closer=self._closer,
            cancels=self._cancels,
            creates=self._creates,
            polls=self._polls,
            resources=self._resources,
            timeout_s=options.timeout_s,
        )

    # --- the loop -----------------------------------------------------------------------------------------------------

    def drive(self) -> None:
        """Returns when every entry is closed, or when the mode's time is up. JournalLost at the end, if it was lost."""
        self._begin()
        while True:
            now = self._clock.now()
            self._shutdown.heed(now)
            self._polls.end_details(now)
            self._proceed()
            self._wake_observer(now)
            if not self._is_over():
                self._dispatch(now)
            if self._is_over():
                break
            self._context.settle()
            for token, answer in self._pool.wait(self._pause(self._clock.now())):
                self._settle(token, answer)
                self._proceed()
        self._shutdown.sweep()
        self._context.settle()
        if self._context.lost is not None:
            raise self._context.lost

    def interrupt(self, signal: int) -> None:
        """Asks the loop to stop; safe in a signal handler."""
        self._shutdown.interrupt(signal)
        self._pool.wake()

    @property
    def uncancelled(self) -> Mapping[str, Answer]:
        """The answers to cancels that were refused, by the run's id at the vendor."""
        return self._cancels.refused

    def _is_over(self) -> bool:
        """True if no answer can change anything any more, or if there is no time for one."""
        context = self._context
        if self._shutdown.must_stop:
            return False
        if context.ends_at is not None and self._clock.now() >= context.ends_at:
            return True
        awaited = set(RequestKind) - {RequestKind.LIST} - (set() if self._awaits_reads() else {RequestKind.READ})
        if any(queue.pending(*awaited) for queue in context.queues.values()):
            return False
        return not any(self._awaits(task) for task in context.flying.values())

    def _awaits_reads(self) -> bool:
        return self._context.mode.waits_for_reads or self._context.mode.cancels

    def _awaits(self, task: Task) -> bool:
        """True if a reply can still change something: one about a run that nothing waits for cannot."""
        mode = self._context.mode
        if task.kind is RequestKind.UPLOAD:
            return mode.may_begin and bool(self._resources.waiting_for(task))
        if task.kind is not RequestKind.READ:
            return task.kind is not RequestKind.LIST
        polled = (mode.waits_for_reads or mode.looks_first) and bool(self._run.open_entries(task.job))
        looked_at = task.is_last_look and task.run is not None and task.run.polled
        return self._awaits_reads() and (looked_at or polled)

    def _wake_observer(self, now: float) -> None:
        if self._observe is not None and now >= self._observes_at:
            self._observes_at = now + self._observe_every_s
            self._observe()

    def _pause(self, now: float) -> float | None:
        """Seconds until something is due; None if only an answer can bring more."""
        times = [
            self._shutdown.next_at(),
            self._polls.next_at(),
            None if self._observe is None else self._observes_at,
            *(queue.due_at(now) for queue in self._context.queues.values()),
        ]
        due = min((at for at in times if at is not None), default=None)
        return None if due is None else max(0.0, due - now)

    def _abandon(self) -> None:
        """Takes workers back from requests whose reply nothing waits for: cancels do not stand behind what hangs."""
        mode, deadlines = self._context.mode, self._context.deadlines
        if not mode.cancels and not deadlines.expired:
            return
        for token, task in self._context.flying.items():
            if token not in self._abandoned and self._is_abandoned(task):
                self._abandoned.add(token)
                self._context.queue(task.job).give_back()

    def _is_abandoned(self, task: Task) -> bool:
        mode = self._context.mode
        if task.kind is RequestKind.READ and not task.is_last_look:
            is_late = self._cancels.is_ending(task.job) or not self._run.open_entries(task.job)
            return (mode.cancels and not mode.looks_first) or is_late
        return (task.kind is RequestKind.UPLOAD and not self._awaits(task)) or task.kind is RequestKind.LIST

    def _dispatch(self, now: float) -> None:
        """Sends all that may leave now, once it is on disk that it does, and why."""
        self._abandon()
        tasks = []
        for queue in self._context.queues.values():
            self._polls.lists.gather(queue, now)
            while (task := queue.take(now)) is not None:
                tasks.append(task)
        if not tasks:
            return
        if events := [event for task in tasks if (event := self._submitting(task)) is not None]:
            self._context.record(*events)
        self._context.settle()
        for task in tasks:
            self._send(task)

    def _submitting(self, task: Task) -> ev.Submitting | ev.ResourceAsked | None:
        """What has to be written down before a request leaves."""
        if task.kind is RequestKind.CREATE:
            return self._creates.submitting(task.job)
        return self._resources.submitting(task)

    def _send(self, task: Task) -> None:
        if self._context.lost is not None and task.kind in BEGINNINGS:  # it is written down nowhere
            self._context.queue(task.job).give_back()
            if task.may_have_created:
                self._closer.uncertain(task.job, task.job.message or ev.ANSWER_LOST)
            return
        self._start_clocks(task)
        queue = self._context.queue(task.job)
        queue.silent_since = self._clock.now() if queue.silent_since is None else queue.silent_since
        self._tokens += 1
        task.sends += 1
        self._context.flying[self._tokens] = task
        key = task.job.key if task.kind is RequestKind.CREATE else None
        # A kept connection that the vendor closes just now would lose an answer for nothing.
        is_create_without_key = task.kind is RequestKind.CREATE and key is None
        fresh = is_create_without_key or task.is_sent_once or self._resources.leftover(task) is not None
        vendor, limit_s = task.job.job.vendor, task.limit_s
        self._pool.start(self._tokens, vendor, task.request, key=key, fresh=fresh, limit_s=limit_s)

    def _start_clocks(self, task: Task) -> None:
        """Counts the time of the entries that a request is made for, and bounds what may take long by it."""
        waiting = [task.job] if task.kind is RequestKind.CREATE else self._resources.waiting_for(task)
        for state in waiting:
            self._context.start_clock(state)
        if task.kind in {RequestKind.CREATE, RequestKind.UPLOAD}:
            now, deadlines = self._clock.now(), self._context.deadlines
            ends = [at for state in waiting if (at := deadlines.end_of(state.job.id)) is not None]
            # An upload that ends with its entries is no refusal: they are closed before it is.
            more = LAST_LOOK_S if task.kind is RequestKind.UPLOAD else 0.0
            task.limit_s = max(LAST_LOOK_S, max(ends) - now + more) if ends else None
        if task.kind is RequestKind.CREATE and not self._context.mode.may_begin:  # it clears a doubt before a cancel
            task.limit_s = min(AFTERWARDS_S, task.limit_s or AFTERWARDS_S)

    def _settle(self, token: int, answer: Answer) -> None:
        task = self._context.flying.pop(token)
        queue = self._context.queue(task.job)
        if token in self._abandoned:
            self._abandoned.discard(token)
        else:
            queue.give_back()
        if isinstance(answer, Reply):
            others = any(other.job.job.vendor == task.job.job.vendor for other in self._context.flying.values())
            queue.silent_since = self._clock.now() if others else None
        is_ok = isinstance(answer, Reply) and answer.ok
        queue.established = queue.established or is_ok
        if task.kind is not RequestKind.UPLOAD:  # a store says nothing of the vendor, and is shown no key
            is_held = isinstance(answer, Reply) and answer.status == TOO_MANY
            queue.limiter.note_reply(refused=is_held)
            is_good = isinstance(answer, Reply) and not answer.is_transient
            queue.answered_at = self._clock.now() if is_good else queue.answered_at
            queue.failing_since = None if is_good or is_held else (queue.failing_since or self._clock.now())
            queue.key_worked = queue.key_worked or is_ok
        match task.kind:
            case RequestKind.CREATE:
                self._creates.settle(task, answer)
            case RequestKind.READ:
                self._polls.settle(task, answer)
            case RequestKind.LIST:
                self._polls.settle_list(task, answer)
            case RequestKind.CANCEL:
                self._cancels.settle(task, answer)
            case RequestKind.SETUP | RequestKind.UPLOAD | RequestKind.RELEASE:
                self._resources.settle(task, answer)
            case _:
                assert_never(task.kind)

    # --- what follows -------------------------------------------------------------------------------------------------

    def _proceed(self) -> None:
        """Does what follows from replies and verdicts, until nothing follows any more."""
        context = self._context
        while True:
            self._shutdown.heed_failure()
            if context.created:
                self._shutdown.on_created(context.created.popleft(), self._clock.now())
            elif context.startable:
                self._dependencies.start_if_ready(context.startable.popleft())
            elif context.done:
                self._resources.release_unused(context.done.popleft())
            elif context.closed:
                self._dependencies.start_waiting()
            else:
                return

    def _begin(self) -> None:
        """Starts every job from where it stands; also where a resume enters."""
        if self._run.ended is not None:
            self._shutdown.resume_ended()
        else:
            now = self._clock.now()
            for state in list(self._run.jobs.values()):
                self._begin_job(state, now)
        self._proceed()

    def _begin_job(self, state: JobState, now: float) -> None:
        if not self._run.open_entries(state):
            self._cancels.put_expired(state, now)
            self._context.done.append(state)
            return
        queue = self._context.queue(state)
        match state.phase:
            case Phase.WAITING:
                self._dependencies.start_if_ready(state)
            case Phase.SUBMITTING if queue.vendor.info.idempotency_header:
                self._creates.start(state)
            case Phase.SUBMITTING:
                self._creates.unanswered(state)
            case Phase.RUNNING if any(run.polled for run in state.runs.values()):
                queue.established = True
                self._polls.follow(state, now, at_once=True)
            case Phase.RUNNING if any(run.cancelled for run in state.runs.values()):
                self._closer.close_entries(state, Outcome(verdict=Verdict.CANCELLED, message=INTERRUPTED))
            case Phase.RUNNING | Phase.UNCERTAIN | Phase.DONE:
                self._closer.close_job(state)
            case _:
                assert_never(state.phase)

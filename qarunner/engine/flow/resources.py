"""Builds and environments that creates wait for: each is made once, and environments are removed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.engine.decide.interpret import (
    CONFLICT,
    Rejected,
    Retry,
    after_prepare,
    kept_build,
    leftover_of,
    may_make,
    not_removed,
    release_request,
    remains_after,
    token_of,
    unclear,
    with_key_name,
)
from qarunner.engine.flow.closing import EntryCloser, seconds_to_next_try
from qarunner.engine.schedule.queue import Task, VendorQueue
from qarunner.engine.schedule.rate_limits import RequestKind
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import JobState, Phase, ResourceState, ResourceStatus
from qarunner.vendors.api import Cause, More, Outcome, Prepared, Reply, Request, ResourceKind, Upload, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.flow.context import RunContext
    from qarunner.vendors.api import AnyRequest, Leftover


UPLOADS = 5
"""How often a build is sent at most."""


class ResourceHandler:
    """Makes what jobs wait for, and removes environments that no job needs any more."""

    def __init__(self, context: RunContext, closer: EntryCloser) -> None:
        self._context = context
        self._run = context.run
        self._closer = closer
        self._tasks: dict[str, Task] = {}
        """What is under way for each resource: it is made, or removed."""
        self._waiting_jobs: dict[str, dict[str, JobState]] = {}
        """The jobs that wait for each resource and for nothing else that has to come before."""
        self._requests: dict[str, AnyRequest] = {}
        """The request that makes each resource, while it has no reply."""
        self._taken: set[str] = set()
        """Tokens of which the vendor said once that they are taken, though its list did not have them yet."""
        self._kept: dict[str, bool] = {}
        """Environments that were not removed; true if they are certainly there."""

    def of(self, state: JobState) -> list[ResourceState]:
        return [self._run.resources[name] for name in dict.fromkeys(state.job.uses.values())]

    def values(self, state: JobState) -> dict[str, Mapping[str, str | int]]:
        """What the job's create refers to, by the adapter's keys."""
        return {key: self._run.resources[name].values for key, name in state.job.uses.items()}

    def want(self, state: JobState) -> bool:
        """True if all that the job needs is there; what is not, is begun."""
        missing = [resource for resource in self.of(state) if not self._usable(resource)]
        for resource in missing:
            self._waiting_jobs.setdefault(resource.resource.id, {})[state.job.id] = state
            if resource.phase is ResourceStatus.FAILED:
                self._fail(state, resource.message or "", resource.cause or Cause.REFUSED)
                return False
            task = self._tasks.get(resource.resource.id)
            if task is not None:
                if task.sends:
                    self._context.start_clock(state)
            elif resource.phase is ResourceStatus.READY:
                self._release(state, resource)
            else:
                task = Task(kind=RequestKind.SETUP, job=state, resource=resource, request=_NOTHING)
                self._tasks[resource.resource.id] = task
                self._begin(task, self._context.clock.now())
        return not missing

    def _usable(self, resource: ResourceState) -> bool:
        """True if creates can refer to it.

        One that an earlier process tried to remove may be gone: the removal is tried again. If the vendor refuses it,
        the environment is there and can be used.
        """
        if resource.phase is not ResourceStatus.READY:
            return False
        return resource.trouble is None or self._kept.get(resource.resource.id, False)

    def _begin(self, task: Task, due: float, *, wait_s: float | None = None, message: str | None = None) -> None:
        """The first request of a resource, again from the start if it is repeated, for the reason in `message`."""
        resource = _of(task)
        self._context.record(
            ev.Preparing(
                at=self._context.clock.wall(),
                resource=resource.resource.id,
                attempt=resource.attempt + 1,
                message=message,
                wait_s=wait_s,
            )
        )
        task.answers, task.best_effort = [], False
        self._next(task, due)

    def _next(self, task: Task, due: float) -> None:
        """What the replies so far lead to: one request more, or the end."""
        resource, queue = _of(task), self._queue(_of(task))
        meaning = after_prepare(
            queue.vendor,
            resource.resource,
            self._token(resource),
            task.answers,
            presigned=task.kind is RequestKind.UPLOAD,
            now=self._context.clock.wall(),
            best_effort=task.best_effort,
        )
        is_written = resource.requested is not None  # what came to nothing gets an event of its own
        match meaning:
            case More():
                task.request, task.kind, task.best_effort = meaning.request, RequestKind.SETUP, meaning.best_effort
                queue.put(task, due)
            case Request() | Upload():
                task.request, task.best_effort = meaning, False
                task.kind = RequestKind.UPLOAD if isinstance(meaning, Upload) else RequestKind.SETUP
                queue.put(task, due)
            case Prepared():
                self._made(resource, meaning)
            case Retry():
                if not _is_put_off(task, meaning):
                    self._unmade(task, meaning.message)
                self._again(task, meaning, is_written=is_written)
            case Rejected() if self._unmade(task, meaning.refusal.message) is ev.Remains.TAKEN:
                self._again(task, Retry(message=meaning.refusal.message), is_written=is_written)
            case Rejected():
                self._give_up(resource, with_key_name(meaning.refusal, queue.key_name), meaning.refusal.cause)

    def _token(self, resource: ResourceState) -> str:
        return token_of(self._run.identity, resource)

    def leftover(self, task: Task) -> Leftover | None:
        """What a request may leave at the vendor: an environment, or a build that stays."""
        resource = task.resource
        if task.kind is not RequestKind.SETUP or resource is None:
            return None
        return may_make(self._queue(resource).vendor, resource.resource, self._token(resource), task.request)

    def submitting(self, task: Task) -> ev.ResourceAsked | None:
        """What is written down before a request leaves that makes such a thing; None if it is there already."""
        leftover = self.leftover(task)
        if leftover is None or _of(task).requested is not None:
            return None
        name = _of(task).resource.id
        self._requests[name] = task.request
        return ev.ResourceAsked(at=self._context.clock.wall(), resource=name, leftover=leftover)

    def _unmade(self, task: Task, message: str) -> ev.Remains:
        """Writes down what requests that came to nothing may have left behind."""
        resource, remains = _of(task), ev.Remains.NOTHING
        if resource.requested is None:
            return remains
        vendor, name = self._queue(resource).vendor, resource.resource.id
        if self._requests.get(name) is task.request:
            remains = remains_after(vendor, resource, self._token(resource), task.answers[-1])
        else:  # an earlier request of this attempt went well
            remains = ev.Remains.MAYBE
        looks_again = self._looks_again(task, remains)
        self._context.record(
            ev.ResourceNotMade(
                at=self._context.clock.wall(),
                resource=name,
                message=message,
                remains=ev.Remains.MAYBE if looks_again else remains,
            )
        )
        return ev.Remains.TAKEN if looks_again else remains

    def _looks_again(self, task: Task, remains: ev.Remains) -> bool:
        """True for the first conflict about an environment's name: it is looked for once more, under the same name.

        The name is this run's alone: an earlier request made it, or a repetition of this one by a proxy.
        """
        resource, answer, token = _of(task), task.answers[-1], self._token(_of(task))
        is_conflict = isinstance(answer, Reply) and answer.status == CONFLICT and not resource.tokens_used
        is_environment = resource.resource.kind is ResourceKind.ENVIRONMENT
        if token in self._taken or not is_environment or not (is_conflict or remains is ev.Remains.TAKEN):
            return False
        self._taken.add(token)
        return True

    def _made(self, resource: ResourceState, prepared: Prepared) -> None:
        name, kind, queue = resource.resource.id, resource.resource.kind, self._queue(resource)
        if kind is ResourceKind.ENVIRONMENT:
            leftover: Leftover | None = leftover_of(queue.vendor, resource.resource, self._token(resource), prepared)
        else:
            leftover = kept_build(queue.vendor, resource.resource, prepared)
        self._tasks.pop(name, None)
        at = self._context.clock.wall()
        self._context.record(ev.ResourceReady(at=at, resource=name, values=prepared.values, leftover=leftover))
        if not self._context.mode.may_begin or not self._go_on(resource):
            self._release_if_unused(resource)

    def _go_on(self, resource: ResourceState) -> bool:
        """Lets the jobs that wait for a resource look at it again; false if no job waits."""
        waiting = list(self._waiting(resource))
        self._context.startable.extend(waiting)
        return bool(waiting)

    def _waiting(self, resource: ResourceState) -> Iterator[JobState]:
        """Jobs whose create has not left, or is to be sent again with its key."""
        for state in self._users(resource):
            if state.phase in {Phase.WAITING, Phase.SUBMITTING} and self._run.open_entries(state):
                yield state

    def waiting_for(self, task: Task) -> list[JobState]:
        """The jobs that have begun and that a request for a resource is made for, at the time when it leaves."""
        if task.resource is None or task.kind is RequestKind.RELEASE:
            return []
        return self._begun(task.resource)

    def _begun(self, resource: ResourceState) -> list[JobState]:
        jobs = self._waiting_jobs.get(resource.resource.id, {}).values()
        waiting = {state.job.id for state in self._waiting(resource)}
        return [state for state in jobs if state.job.id in waiting]

    def overdue(self, state: JobState) -> Outcome | None:
        """What a job has waited for in vain: it is still under way, or was refused. None if nothing is under way."""
        tasks = [task for resource in self.of(state) if (task := self._tasks.get(resource.resource.id)) is not None]
        for task in tasks:
            if task.retries.message is not None and task not in self._context.flying.values():
                message = f"{_what(_of(task))} was not taken in time: {task.retries.message}"
                return Outcome(verdict=Verdict.ERROR, cause=Cause.UNAVAILABLE, message=message)
        if not tasks:
            return None
        what = " and ".join(_what(_of(task)) for task in tasks)
        return Outcome(verdict=Verdict.TIMED_OUT, message=f"the time was up while {what} was under way")

    def _users(self, resource: ResourceState) -> Iterator[JobState]:
        return (state for state in self._run.jobs.values() if resource.resource.id in state.job.uses.values())

    def settle(self, task: Task, answer: Answer) -> None:
        """Takes the answer to a request for a resource."""
        if task.kind is RequestKind.RELEASE:
            self._settle_release(task, answer)
            return
        task.answers = [*task.answers, answer]
        if self._begun(_of(task)) or _of(task).requested is not None:
            self._next(task, self._context.clock.now())
        else:  # only what may be at the vendor is of interest any more
            self._tasks.pop(_of(task).resource.id, None)

    def _again(self, task: Task, again: Retry, *, is_written: bool) -> None:
        """Begins to make a resource anew. Of a step that was put off, what came before stays done.

        To begin with the first one again would make a second build.
        """
        resource, now = _of(task), self._context.clock.now()
        queue = self._queue(resource)
        task.retries.add(again, now)
        cause = task.retries.exhausted(again, now, established=queue.established, failing_since=queue.failing_since)
        if resource.resource.kind is ResourceKind.BUILD and task.retries.count >= UPLOADS and not again.held:
            # Each try sends the whole build: a quarter of an hour of them is of no use.
            cause = cause or Cause.UNAVAILABLE
        wait = task.retries.backoff(again, self._context.jitter())
        if again.held:
            wait = queue.limiter.hold(wait, now, named=again.wait_s is not None)
        if cause is not None or not self._context.mode.may_retry:
            if _is_put_off(task, again):
                self._unmade(task, again.message)
            self._give_up(resource, again.message, cause or Cause.UNAVAILABLE)
            return
        for state in self._begun(resource):
            ends_at = self._context.deadlines.end_of(state.job.id)
            if ends_at is not None and now + wait >= ends_at:  # what it waits for cannot come in time
                self._fail(state, f"{_what(resource)}: {again.message}", Cause.UNAVAILABLE)
        if not self._begun(resource):
            self._tasks.pop(resource.resource.id, None)
        elif _is_put_off(task, again):
            task.answers = task.answers[:-1]
            queue.put(task, now + wait)
        else:
            message, wait_s = (None, None) if is_written else (again.message, wait)
            self._begin(task, now + wait, wait_s=wait_s, message=message)

    def _give_up(self, resource: ResourceState, message: str, cause: Cause) -> None:
        name = resource.resource.id
        self._tasks.pop(name, None)
        self._context.record(
            ev.ResourceFailed(at=self._context.clock.wall(), resource=name, message=message, cause=cause)
        )
        for state in list(self._waiting(resource)):
            self._fail(state, f"{_what(resource)}: {message}", cause)

    def _fail(self, state: JobState, message: str, cause: Cause) -> None:
        """A job gets no resource: its create never leaves, or never again."""
        if state.phase is Phase.SUBMITTING:
            self._closer.uncertain(state, message)
        else:
            self._closer.create_failed(state, message, cause)

    def _queue(self, resource: ResourceState) -> VendorQueue:
        return self._context.queues[resource.resource.vendor]

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def release_unused(self, state: JobState) -> None:
        """Stops making what no job waits for any more, and removes the environments that no job needs."""
        for resource in self.of(state):
            task = self._tasks.get(resource.resource.id)
            is_making = task is not None and task.kind is not RequestKind.RELEASE
            if (
                task is not None
                and is_making
                and task not in self._context.flying.values()
                and not self._begun(resource)
            ):
                self._queue(resource).remove(task)
                del self._tasks[resource.resource.id]
            self._release_if_unused(resource)

    def _release_if_unused(self, resource: ResourceState) -> None:
        if not resource.exists or resource.resource.kind is not ResourceKind.ENVIRONMENT:
            return
        users = list(self._users(resource))
        if not self._context.may_cancel or any(self._is_needed_by(state) for state in users):
            return
        if any(self._context.cancels[state.job.id] for state in users):
            # The environment goes after the cancel of its runs.
            return
        if resource.resource.id not in self._kept:
            self._release(users[0], resource)

    def _is_needed_by(self, state: JobState) -> bool:
        """True if a job may start, or has a run that goes on and that this process or a resume waits for."""
        if not self._run.open_entries(state):
            return False
        is_under_way = state.phase is Phase.SUBMITTING or any(run.active for run in state.runs.values())
        return is_under_way or not self._context.mode.leaves_open

    def _release(self, state: JobState, resource: ResourceState) -> None:
        queue, name = self._queue(resource), resource.resource.id
        request = release_request(queue.vendor, resource.resource, Prepared(values=resource.values))
        if request is not None and name not in self._tasks:
            task = self._tasks[name] = Task(kind=RequestKind.RELEASE, job=state, resource=resource, request=request)
            queue.put(task, self._context.clock.now())

    def _settle_release(self, task: Task, answer: Answer) -> None:
        resource, queue = _of(task), self._queue(_of(task))
        message, wall, name = not_removed(queue.vendor, answer), self._context.clock.wall(), resource.resource.id
        if message is not None and (wait := seconds_to_next_try(self._context, task, answer)) is not None:
            queue.put(task, self._context.clock.now() + wait)
            return
        self._tasks.pop(name, None)
        if message is not None:
            self._kept[name] = not unclear(answer)
        self._context.record(ev.ResourceReleased(at=wall, resource=name, message=message))
        if not self._context.mode.may_begin:
            return
        if message is not None and unclear(answer):
            self._lose(resource, message)
        else:
            self._go_on(resource)

    def _lose(self, resource: ResourceState, message: str) -> None:
        """Ends what waits for a resource that may or may not exist."""
        if any(True for _ in self._waiting(resource)):
            self._give_up(resource, f"it may be gone: {message}", Cause.UNAVAILABLE)


_NOTHING = Request(method="GET", path="/")


def _is_put_off(task: Task, again: Retry) -> bool:
    """True if a vendor did nothing, and asks for silence, before a step that must not be sent twice."""
    return again.held and task.best_effort


def _of(task: Task) -> ResourceState:
    assert task.resource is not None  # noqa: S101  a task of this room has one
    return task.resource


def _what(resource: ResourceState) -> str:
    if resource.resource.kind is ResourceKind.ENVIRONMENT:
        return "the environment"
    build = resource.resource.build
    return f"the upload of {build.path}" if build is not None else "the build"

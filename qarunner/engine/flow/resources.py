"""Builds and environments that creates wait for: made before, once each, and environments removed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.engine.decide.interpret import (
    Again,
    Never,
    after_prepare,
    ask_again,
    asked_with,
    leftover_of,
    makes,
    not_removed,
    release_request,
    remains_of,
    retry_after,
    token_of,
    unclear,
)
from qarunner.engine.schedule.queue import Task
from qarunner.engine.schedule.rate_limits import Kind
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Making, Phase
from qarunner.vendors.api import Cause, More, Prepared, Reply, Request, ResourceKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.io.workers import Clock
    from qarunner.engine.schedule.queue import Lane
    from qarunner.engine.state.run import JobState, ResourceState, Run, RunState


RELEASE_TRIES = 3


UPLOADS = 5
"""How often a build is sent at most."""


class Preparer:
    """Makes what jobs wait for. `ready` is told of a job whose last resource came, `failed` of one that gets none.

    `ending` says whether a job's runs are being cancelled: what they run on is not taken from under them.
    """

    def __init__(  # noqa: PLR0913  all by name
        self,
        *,
        run: Run,
        lanes: Mapping[str, Lane],
        record: Callable[[ev.Event], None],
        clock: Clock,
        jitter: Callable[[], float],
        ready: Callable[[JobState], None],
        failed: Callable[[JobState, str, Cause], None],
        ending: Callable[[JobState], bool],
    ) -> None:
        self._run = run
        self._lanes = lanes
        self._record = record
        self._clock = clock
        self._jitter = jitter
        self._ready = ready
        self._failed = failed
        self._ending = ending
        self._under_way: set[str] = set()
        self._asking: dict[str, Request] = {}
        self._kept: dict[str, bool] = {}
        self.stopping = False
        self.leave = False

    def of(self, state: JobState) -> list[ResourceState]:
        return [self._run.resources[each] for each in dict.fromkeys(state.job.uses.values())]

    def values(self, state: JobState) -> dict[str, Mapping[str, str]]:
        """What the job's create refers to, by the adapter's keys."""
        return {key: self._run.resources[each].values for key, each in state.job.uses.items()}

    def want(self, state: JobState) -> bool:
        """Whether all that the job needs is there; what is not, is begun."""
        missing = [resource for resource in self.of(state) if not self._usable(resource)]
        for resource in missing:
            if resource.phase is Making.FAILED:
                self._failed(state, resource.message or "", resource.cause or Cause.REFUSED)
                return False
            if resource.resource.id in self._under_way:
                continue
            if resource.phase is Making.READY:
                self._release(state, resource)
                continue
            self._under_way.add(resource.resource.id)
            self._begin(Task(kind=Kind.SETUP, job=state, resource=resource, request=_NOTHING), self._clock.now())
        return not missing

    def _usable(self, resource: ResourceState) -> bool:
        """Whether creates can refer to it. One that an earlier process tried to remove may be gone: it is tried again.

        If that is refused, it is there, and serves.
        """
        if resource.phase is not Making.READY:
            return False
        return resource.trouble is None or self._kept.get(resource.resource.id, False)

    def _begin(self, task: Task, due: float) -> None:
        """The first request of a resource, again from the start if it is repeated."""
        resource = _of(task)
        attempt = resource.attempt + 1
        self._record(ev.Preparing(at=self._clock.wall(), resource=resource.resource.id, attempt=attempt))
        task.answers, task.best_effort = [], False
        self._next(task, due)

    def _next(self, task: Task, due: float) -> None:
        """What the replies so far lead to: one request more, or the end."""
        resource, lane = _of(task), self._lanes[_of(task).resource.vendor]
        meaning = after_prepare(
            lane.vendor,
            resource.resource,
            self._token(resource),
            task.answers,
            presigned=task.kind is Kind.UPLOAD,
            now=self._clock.wall(),
            best_effort=task.best_effort,
        )
        match meaning:
            case More():
                task.request, task.kind, task.best_effort = meaning.request, Kind.SETUP, meaning.best_effort
                lane.put(task, due)
            case Request():
                task.request, task.best_effort = meaning, False
                task.kind = Kind.UPLOAD if meaning.file is not None else Kind.SETUP
                lane.put(task, due)
            case Prepared():
                self._made(resource, meaning)
            case Again():
                self._unmade(task, meaning.message)
                self._again(task, meaning)
            case Never() if self._unmade(task, meaning.refusal.message) is ev.Remains.TAKEN:
                self._again(task, Again(message=meaning.refusal.message))
            case Never():
                self._give_up(resource, asked_with(meaning.refusal, lane.key_env), meaning.refusal.cause)

    def _token(self, resource: ResourceState) -> str:
        return token_of(self._run.identity, resource)

    def leaving(self, task: Task) -> bool:
        """Writes down that the request that makes an environment leaves; true if this is one."""
        resource = task.resource
        if task.kind is not Kind.SETUP or resource is None or not makes(resource.resource, task.request):
            return False
        if resource.asked is None:
            vendor, name = self._lanes[resource.resource.vendor].vendor, resource.resource.id
            leftover = leftover_of(vendor, resource.resource, self._token(resource), None)
            self._record(ev.ResourceAsked(at=self._clock.wall(), resource=name, leftover=leftover))
            self._asking[name] = task.request
        return True

    def _unmade(self, task: Task, message: str) -> ev.Remains:
        """Writes down what requests that came to nothing may have left behind."""
        resource, remains = _of(task), ev.Remains.NOTHING
        if resource.asked is None:
            return remains
        vendor, name = self._lanes[resource.resource.vendor].vendor, resource.resource.id
        if self._asking.get(name) is task.request:
            remains = remains_of(vendor, resource, self._token(resource), task.answers[-1])
        else:  # an earlier request of this attempt went well
            remains = ev.Remains.MAYBE
        self._record(ev.ResourceNotMade(at=self._clock.wall(), resource=name, message=message, remains=remains))
        return remains

    def _made(self, resource: ResourceState, prepared: Prepared) -> None:
        name, kind, lane = resource.resource.id, resource.resource.kind, self._lanes[resource.resource.vendor]
        leftover = None
        if kind is ResourceKind.ENVIRONMENT:
            leftover = leftover_of(lane.vendor, resource.resource, self._token(resource), prepared)
        self._under_way.discard(name)
        at = self._clock.wall()
        self._record(ev.ResourceReady(at=at, resource=name, values=prepared.values, leftover=leftover))
        if self.stopping or not self._go_on(resource):
            self.release_if_over(resource)

    def _go_on(self, resource: ResourceState) -> bool:
        """Lets the jobs that wait for a resource look at it again; false if there is none."""
        waiting = list(self._waiting(resource))
        for state in waiting:
            self._ready(state)
        return bool(waiting)

    def _waiting(self, resource: ResourceState) -> Iterator[JobState]:
        """Jobs whose create has not left, or is to be sent again with its key."""
        for state in self._users(resource):
            if state.phase in {Phase.WAITING, Phase.SUBMITTING} and self._run.open_entries(state):
                yield state

    def _users(self, resource: ResourceState) -> Iterator[JobState]:
        return (state for state in self._run.jobs.values() if resource.resource.id in state.job.uses.values())

    def settle(self, task: Task, answer: Answer) -> None:
        """Takes the answer to a request for a resource."""
        if task.kind is Kind.RELEASE:
            self._settle_release(task, answer)
        else:
            task.answers = [*task.answers, answer]
            self._next(task, self._clock.now())

    def _again(self, task: Task, again: Again) -> None:
        resource, now = _of(task), self._clock.now()
        lane = self._lanes[resource.resource.vendor]
        task.trouble.add(again, now)
        cause = task.trouble.exhausted(again, now, established=lane.established)
        if resource.resource.kind is ResourceKind.BUILD and task.trouble.count >= UPLOADS and not again.held:
            # Each try sends the whole build: a quarter of an hour of them helps nobody.
            cause = cause or Cause.UNAVAILABLE
        if cause is not None or self.stopping:
            self._give_up(resource, again.message, cause or Cause.UNAVAILABLE)
            return
        wait = task.trouble.backoff(again, self._jitter())
        if again.held:
            wait = lane.pacer.hold(wait, now, named=again.wait_s is not None)
        self._begin(task, now + wait)

    def _give_up(self, resource: ResourceState, message: str, cause: Cause) -> None:
        name = resource.resource.id
        self._under_way.discard(name)
        self._record(ev.ResourceFailed(at=self._clock.wall(), resource=name, message=message, cause=cause))
        for state in list(self._waiting(resource)):
            self._failed(state, f"{_what(resource)}: {message}", cause)

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def job_over(self, state: JobState) -> None:
        """Removes the environments that no other job needs."""
        for resource in self.of(state):
            self.release_if_over(resource)

    def release_if_over(self, resource: ResourceState) -> None:
        if not resource.there or resource.resource.kind is not ResourceKind.ENVIRONMENT:
            return
        users = list(self._users(resource))
        if self.leave or (not self.stopping and any(self._run.open_entries(state) for state in users)):
            return
        if any(self._ending(state) for state in users):
            # The environment goes after the cancel of its runs.
            return
        if self.stopping and any(run.live and self._run.open_entries(state) for state in users for run in _runs(state)):
            # A run that could not be cancelled goes on, and a resume waits for it.
            return
        if resource.resource.id not in self._kept:
            self._release(users[0], resource)

    def _release(self, state: JobState, resource: ResourceState) -> None:
        lane, name = self._lanes[resource.resource.vendor], resource.resource.id
        request = release_request(lane.vendor, resource.resource, Prepared(values=resource.values))
        if request is not None and name not in self._under_way:
            self._under_way.add(name)
            lane.put(Task(kind=Kind.RELEASE, job=state, resource=resource, request=request), self._clock.now())

    def _settle_release(self, task: Task, answer: Answer) -> None:
        resource, lane = _of(task), self._lanes[_of(task).resource.vendor]
        message, wall, name = not_removed(lane.vendor, answer), self._clock.wall(), resource.resource.id
        if message is not None and ask_again(answer) and task.sends < RELEASE_TRIES:
            told = retry_after(answer, wall) if isinstance(answer, Reply) and not self.stopping else None
            lane.put(task, self._clock.now() + max(1.0, told or 0.0))
            return
        self._under_way.discard(name)
        if message is not None:
            self._kept[name] = not unclear(answer)
        self._record(ev.ResourceReleased(at=wall, resource=name, message=message))
        if self.stopping:
            return
        if message is not None and unclear(answer):
            self._lose(resource, message)
        else:
            self._go_on(resource)

    def _lose(self, resource: ResourceState, message: str) -> None:
        """Ends what waits for a resource of which nobody can tell whether it is there."""
        if any(True for _ in self._waiting(resource)):
            self._give_up(resource, f"it may be gone: {message}", Cause.UNAVAILABLE)


def _runs(state: JobState) -> list[RunState]:
    return list(state.runs.values())


_NOTHING = Request(method="GET", path="/")


def _of(task: Task) -> ResourceState:
    assert task.resource is not None  # noqa: S101  a task of this room has one
    return task.resource


def _what(resource: ResourceState) -> str:
    if resource.resource.kind is ResourceKind.ENVIRONMENT:
        return "the environment"
    build = resource.resource.build
    return f"the upload of {build.path}" if build is not None else "the build"

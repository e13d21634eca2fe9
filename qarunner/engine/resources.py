"""Builds and environments that creates wait for: made before, once each, and environments removed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.engine import events as ev
from qarunner.engine.lane import Task
from qarunner.engine.machine import Again, Never, after_prepare, refusal_of, release_request, resource_token
from qarunner.engine.pacing import Kind
from qarunner.engine.state import Making, Phase
from qarunner.vendors.api import Cause, Prepared, Reply, Request, ResourceKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qarunner.engine.lane import Lane
    from qarunner.engine.machine import Answer
    from qarunner.engine.state import JobState, ResourceState, Run
    from qarunner.engine.workers import Clock

RELEASE_TRIES = 3


class Preparer:
    """Makes what jobs wait for. `ready` is told of a job whose last resource came, `failed` of one that gets none."""

    def __init__(
        self,
        *,
        run: Run,
        lanes: Mapping[str, Lane],
        record: Callable[[ev.Event], None],
        clock: Clock,
        jitter: Callable[[], float],
        ready: Callable[[JobState], None],
        failed: Callable[[JobState, str, Cause], None],
    ) -> None:
        self._run = run
        self._lanes = lanes
        self._record = record
        self._clock = clock
        self._jitter = jitter
        self._ready = ready
        self._failed = failed
        self._under_way: set[str] = set()
        self.stopping = False
        self.leave = False

    def of(self, state: JobState) -> list[ResourceState]:
        return [self._run.resources[each] for each in dict.fromkeys(state.job.uses.values())]

    def values(self, state: JobState) -> dict[str, Mapping[str, str]]:
        """What the job's create refers to, by the adapter's keys."""
        return {key: self._run.resources[each].values for key, each in state.job.uses.items()}

    def want(self, state: JobState) -> bool:
        """Whether all that the job needs is there; what is not, is begun."""
        missing = [resource for resource in self.of(state) if resource.phase is not Making.READY]
        for resource in missing:
            if resource.phase is Making.FAILED:
                self._failed(state, resource.message or "", resource.cause or Cause.REFUSED)
                return False
            if resource.resource.id not in self._under_way:
                self._under_way.add(resource.resource.id)
                self._begin(Task(kind=Kind.SETUP, job=state, resource=resource, request=_NOTHING), self._clock.now())
        return not missing

    def _begin(self, task: Task, due: float) -> None:
        """The first request of a resource, again from the start if it is repeated."""
        resource = _of(task)
        attempt = resource.attempt + 1
        self._record(ev.Preparing(at=self._clock.wall(), resource=resource.resource.id, attempt=attempt))
        task.answers = []
        self._next(task, due)

    def _next(self, task: Task, due: float) -> None:
        """What the replies so far lead to: one request more, or the end."""
        resource, lane = _of(task), self._lanes[_of(task).resource.vendor]
        token = resource_token(self._run.run_id, resource.resource.id, resource.attempt)
        meaning = after_prepare(
            lane.vendor,
            resource.resource,
            token,
            task.answers,
            presigned=task.kind is Kind.UPLOAD,
            now=self._clock.wall(),
        )
        match meaning:
            case Request():
                task.request = meaning
                task.kind = Kind.UPLOAD if meaning.file is not None else Kind.SETUP
                lane.put(task, due)
            case Prepared():
                self._made(resource, meaning)
            case Again():
                self._again(task, meaning)
            case Never():
                self._give_up(resource, meaning.refusal.message, meaning.refusal.cause)

    def _made(self, resource: ResourceState, prepared: Prepared) -> None:
        name = resource.resource.id
        self._under_way.discard(name)
        self._record(ev.ResourceReady(at=self._clock.wall(), resource=name, values=prepared.values))
        waiting = [s for s in self._users(resource) if s.phase is Phase.WAITING and self._run.open_entries(s)]
        if self.stopping or not waiting:
            self.release_if_over(resource)
            return
        for state in waiting:
            self._ready(state)

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
        if cause is not None or self.stopping:
            self._give_up(resource, again.message, cause or Cause.UNAVAILABLE)
            return
        if again.held and again.wait_s is not None:
            lane.pacer.hold(now + again.wait_s)
        resource.message = again.message
        self._begin(task, now + task.trouble.backoff(again, self._jitter()))

    def _give_up(self, resource: ResourceState, message: str, cause: Cause) -> None:
        name = resource.resource.id
        self._under_way.discard(name)
        self._record(ev.ResourceFailed(at=self._clock.wall(), resource=name, message=message, cause=cause))
        for state in self._users(resource):
            if state.phase is Phase.WAITING and self._run.open_entries(state):
                self._failed(state, f"{_what(resource)}: {message}", cause)

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def job_over(self, state: JobState) -> None:
        """Removes the environments that no other job needs."""
        for resource in self.of(state):
            self.release_if_over(resource)

    def release_if_over(self, resource: ResourceState) -> None:
        if resource.phase is not Making.READY or resource.resource.kind is not ResourceKind.ENVIRONMENT:
            return
        users = list(self._users(resource))
        if self.leave or (not self.stopping and any(self._run.open_entries(state) for state in users)):
            return
        if self.stopping and any(run.live for state in users for run in state.runs.values()):
            # Its cancel is under way; the environment goes after it.
            return
        lane = self._lanes[resource.resource.vendor]
        request = release_request(lane.vendor, resource.resource, Prepared(values=resource.values))
        if request is not None and resource.resource.id not in self._under_way:
            self._under_way.add(resource.resource.id)
            lane.put(Task(kind=Kind.RELEASE, job=users[0], resource=resource, request=request), self._clock.now())

    def _settle_release(self, task: Task, answer: Answer) -> None:
        resource = _of(task)
        if isinstance(answer, Reply):
            message = None if answer.ok else refusal_of(self._lanes[resource.resource.vendor].vendor, answer).message
        else:
            message = answer.message
        if message is not None and task.sends < RELEASE_TRIES:
            self._lanes[resource.resource.vendor].put(task, self._clock.now() + 1.0)
            return
        self._under_way.discard(resource.resource.id)
        self._record(ev.ResourceReleased(at=self._clock.wall(), resource=resource.resource.id, message=message))


_NOTHING = Request(method="GET", path="/")


def _of(task: Task) -> ResourceState:
    assert task.resource is not None  # noqa: S101  a task of this room has one
    return task.resource


def _what(resource: ResourceState) -> str:
    if resource.resource.kind is ResourceKind.ENVIRONMENT:
        return "the environment"
    build = resource.resource.build
    return f"the upload of {build.path}" if build is not None else "the build"

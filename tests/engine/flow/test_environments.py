"""Environments at a vendor whose answers get lost: none is forgotten, in virtual time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from qarunner.engine.decide.gate import decide
from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.errors import ExitCode
from qarunner.report import json as jsondoc
from qarunner.report.summary import summarise
from qarunner.vendors.api import Leftover, More, Prepared, Reply, Request
from tests.engine.flow.test_resources import ENVIRONMENT, using
from tests.fictional import AFTER, LOST, UNREACHED, VENDORS, Backend, Fictional, entry, ok, plan_of
from tests.worlds import Story, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qarunner.engine.decide.interpret import Answer
    from qarunner.plan.model import Plan
    from qarunner.vendors.api import PrepareStep, Resource


class ResourceStatus(Fictional):
    """GET /projects, POST /environments {key} → {id}, DELETE /environments/<id>."""

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> PrepareStep:
        del resource
        if not replies:
            return Request(method="GET", path="/projects/all")
        if len(replies) == 1:
            return Request(method="POST", path="/environments", body={"key": token})
        return Prepared(values={"key": token, "id": replies[1].json().get("id").text()})

    def release(self, resource: Resource, prepared: Prepared) -> Request | None:
        del resource
        return Request(method="DELETE", path=f"/environments/{prepared.values['id']}")

    def leftover(self, resource: Resource, token: str, prepared: Prepared | None) -> Leftover:
        del resource
        known = {} if prepared is None else {"id": str(prepared.values["id"])}
        return Leftover(what=f"environment {token}", todo="delete it", details={"key": token, **known})


class LooksFirst(ResourceStatus):
    """GET /listed → {key: id} before the create."""

    def prepare(self, resource: Resource, token: str, replies: Sequence[Reply]) -> PrepareStep:
        if len(replies) == 1:
            return More(request=Request(method="GET", path="/listed"), best_effort=True)
        if len(replies) > 1 and replies[1].ok:
            number = replies[1].json().get(token).text_or()
            if number is not None:
                return Prepared(values={"key": token, "id": number})
        return super().prepare(resource, token, [*replies[:1], *replies[2:]])


class Tenant(Backend):
    """The vendor's side. `unique`: a second environment of one key is a conflict. `there`: by id, its key."""

    def __init__(self, *, unique: bool = True, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.unique = unique
        self.there: dict[str, str] = {}
        self.asked: list[str] = []
        self.bodies: list[object] = []
        self.deletes = 0

    def answer(self, vendor: str, request: Request, key: str | None, now: float) -> Reply:
        if request.path == "/projects/all":
            return ok({})
        if request.path == "/listed":
            return ok({key: number for number, key in self.there.items()})
        if request.path == "/environments":
            return self._make(request)
        if request.method == "DELETE":
            self.deletes += 1
            known = self.there.pop(request.path.rpartition("/")[2], None)
            return Reply(status=204, text="") if known else Reply(status=404, text="no such environment")
        if request.path == "/runs":
            self.bodies.append(request.body)
        return super().answer(vendor, request, key, now)

    def _make(self, request: Request) -> Reply:
        assert isinstance(request.body, dict)
        wanted = str(request.body["key"])
        self.asked.append(wanted)
        if self.unique and wanted in self.there.values():
            return Reply(status=409, text=f"environment {wanted} exists")
        number = f"e-{len(self.asked)}"
        self.there[number] = wanted
        return ok({"id": number})


VENDOR = {**VENDORS, "keyed": ResourceStatus("keyed", keyed=True)}
PLAN = using(plan_of(entry("a", "keyed"), entry("b", "keyed")), ENVIRONMENT, "key")
POST, DELETE = "POST /environments", "DELETE /environments"


def faults(*answers: Answer | None, on: str = POST) -> Callable[[str, Request, int], Answer | None]:
    """What comes instead of the first answers to a kind of request; None: nothing is wrong with it."""
    method, path = on.split()
    left = list(answers)

    def fault(_vendor: str, request: Request, _call: int) -> Answer | None:
        strikes = request.method == method and request.path.startswith(path) and left
        return left.pop(0) if strikes else None

    return fault


def named(story: Story) -> set[str]:
    """The keys that the report names as left."""
    left = json.loads(jsondoc.render(summarise(story.run)))["left"]
    assert all(each["todo"] and each["why"] and each["what"].endswith(each["details"]["key"]) for each in left)
    return {each["details"]["key"] for each in left}


def all_known(story: Story, tenant: Tenant) -> None:
    """Whatever is at the vendor is named, and the report of the journal says the same."""
    assert set(tenant.there.values()) <= named(story)


def verdicts(story: Story) -> set[str]:
    return {str(outcome.verdict) for outcome in story.run.closed.values()}


UNCLEAR = [LOST, AFTER, Reply(status=500, text="oops"), Reply(status=504, text="<html>"), ok({}), ok([])]


@pytest.mark.parametrize("unique", [True, False], ids=["conflict", "twice"])
@pytest.mark.parametrize("effect", [True, False], ids=["made", "not-made"])
@pytest.mark.parametrize("answer", UNCLEAR)
def test_an_environment_whose_answer_is_lost_is_asked_for_by_the_same_key(
    *, answer: Answer, effect: bool, unique: bool
) -> None:
    tenant = Tenant(unique=unique)
    fault = faults(answer)

    def world(vendor: str, request: Request, key: str | None, now: float) -> Answer:
        wrong = fault(vendor, request, 0)
        if wrong is not None and effect:
            tenant.answer(vendor, request, key, now)
        return wrong or tenant(vendor, request, key, now)

    story = Story(PLAN, VENDOR, world).drive()
    assert decide(story.run).exit_code is ExitCode.OK
    assert tenant.asked[0] == tenant.asked[-1 if not (effect and unique) else 1]
    assert len(tenant.bodies) == 2
    # The first one may be there, whatever the second answer says: no page tells whether keys are unique.
    assert named(story) == {tenant.asked[0]}
    all_known(story, tenant)


@pytest.mark.parametrize("answer", UNCLEAR)
@pytest.mark.parametrize("unread", [0, 1])
def test_an_environment_that_is_looked_for_first_is_found_used_and_removed(*, answer: Answer, unread: int) -> None:
    """Where all answers to creates are lost, also if the list cannot be read before the first one."""
    tenant = Tenant()
    no_list = faults(*[Reply(status=502, text="")] * unread, on="GET /listed")

    def world(vendor: str, request: Request, key: str | None, now: float) -> Answer:
        said = tenant(vendor, request, key, now)
        return answer if request.path == "/environments" else no_list(vendor, request, 0) or said

    story = Story(PLAN, {**VENDORS, "keyed": LooksFirst("keyed", keyed=True)}, world).drive()
    assert decide(story.run).exit_code is ExitCode.OK
    assert len(tenant.bodies) == 2
    assert len(tenant.asked) == 1
    assert not tenant.there
    assert not named(story)


def test_an_environment_that_the_list_shows_late_is_found_after_the_conflict() -> None:
    tenant = Tenant()
    fault, late = faults(LOST), faults(ok({}), ok({}), on="GET /listed")

    def world(vendor: str, request: Request, key: str | None, now: float) -> Answer:
        said = tenant(vendor, request, key, now)
        return fault(vendor, request, 0) or late(vendor, request, 0) or said

    story = Story(PLAN, {**VENDORS, "keyed": LooksFirst("keyed", keyed=True)}, world).drive()
    assert decide(story.run).exit_code is ExitCode.OK
    assert len(set(tenant.asked)) == 1
    assert not tenant.there
    assert not named(story)


@pytest.mark.parametrize(
    "answer", [UNREACHED, Reply(status=429, text="slow down"), Reply(status=403, text="no"), Reply(status=400, text="")]
)
def test_what_certainly_made_nothing_is_not_named(answer: Answer) -> None:
    tenant = Tenant(fault=faults(answer))
    story = Story(PLAN, VENDOR, tenant).drive()
    assert not named(story)
    assert not tenant.there


def test_a_key_that_was_never_asked_for_and_is_always_taken_is_named() -> None:
    tenant = Tenant(fault=faults(Reply(status=429, text=""), *[Reply(status=409, text="exists")] * 3))
    story = Story(PLAN, VENDOR, tenant).drive()
    assert verdicts(story) == {"error"}
    assert "exists" in (story.run.closed["a"].message or "")
    assert not tenant.bodies
    assert len(named(story)) == 1


def test_an_environment_of_which_the_first_answer_is_a_conflict_is_found_used_and_removed() -> None:
    """A proxy repeats the create by itself, and hands the second answer over."""
    tenant = Tenant()

    def world(vendor: str, request: Request, key: str | None, now: float) -> Answer:
        said = tenant(vendor, request, key, now)
        return tenant(vendor, request, key, now) if request.path == "/environments" else said

    story = Story(PLAN, {**VENDORS, "keyed": LooksFirst("keyed", keyed=True)}, world).drive()
    assert decide(story.run).exit_code is ExitCode.OK
    assert len(tenant.bodies) == 2
    assert not tenant.there
    assert not named(story)


def test_a_vendor_that_says_conflict_for_ever_is_not_asked_for_ever() -> None:
    tenant = Tenant(fault=faults(LOST, *[Reply(status=409, text="exists")] * 50))
    story = Story(PLAN, VENDOR, tenant).drive()
    assert verdicts(story) == {"error"}
    assert sum(request.path == "/environments" for _, _, request, _ in story.pool.sent) == 4
    assert len(named(story)) == 1


def test_answers_that_are_lost_again_and_again_leave_one_name() -> None:
    tenant = Tenant(fault=faults(*[LOST] * 999))
    story = Story(PLAN, VENDOR, tenant, options=Options(timeout_s=60)).drive()
    assert len(named(story)) == 1
    assert not tenant.bodies


@pytest.mark.parametrize("status", [401, 403])
def test_a_removal_that_is_refused_is_not_repeated(status: int) -> None:
    refusal = Reply(status=status, text="not yours")
    tenant = Tenant(fault=faults(*[refusal] * 9, on=DELETE))
    story = Story(PLAN, VENDOR, tenant).drive()
    assert sum(request.method == "DELETE" for _, _, request, _ in story.pool.sent) == 1
    assert decide(story.run).exit_code is ExitCode.OK
    (left,) = summarise(story.run).left
    assert left.certain
    assert left.details == {"key": tenant.asked[0], "id": "e-1"}
    assert "not yours" in left.why


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_is_not_left(status: int) -> None:
    story = Story(PLAN, VENDOR, Tenant(fault=faults(Reply(status=status, text="?"), on=DELETE))).drive()
    assert sum(request.method == "DELETE" for _, _, request, _ in story.pool.sent) == 1
    assert not named(story)


@pytest.mark.parametrize("answer", [LOST, AFTER, Reply(status=503, text=""), Reply(status=409, text="in use")])
def test_a_removal_that_fails_is_repeated(answer: Answer) -> None:
    tenant = Tenant(fault=faults(answer, answer, on=DELETE))
    story = Story(PLAN, VENDOR, tenant).drive()
    assert not tenant.there
    assert not named(story)


def test_a_resume_tries_again_to_remove_what_was_left() -> None:
    tenant = Tenant(fault=faults(*[Reply(status=403, text="no")], on=DELETE))
    story = Story(PLAN, VENDOR, tenant).drive()
    assert named(story)
    later = Story(PLAN, VENDOR, tenant, before=story.events, resumed=True, clock=story.clock).drive()
    assert [request.method for _, _, request, _ in later.pool.sent] == ["DELETE"]
    assert not named(later)
    assert not tenant.there


def test_after_a_time_out_the_cancel_is_answered_before_the_environment_goes() -> None:
    plan = using(plan_of(entry("a", "keyed", timeout_s=30), entry("b", "keyed", timeout_s=30)), ENVIRONMENT, "key")
    events: list[str] = []
    slow = faults(*[Reply(status=503, text="")] * 2, on="POST /runs/keyed-run-1/cancel")

    def fault(vendor: str, request: Request, call: int) -> Answer | None:
        events.extend([request.method] if request.method == "DELETE" else ["cancel"] * ("cancel" in request.path))
        return slow(vendor, request, call)

    story = Story(plan, VENDOR, Tenant(lasts=1e9, fault=fault)).drive()
    assert events == ["cancel", "cancel", "cancel", "cancel", "DELETE"]
    assert decide(story.run).exit_code is ExitCode.TIMEOUT
    assert not named(story)


def test_a_cancel_that_is_given_up_does_not_keep_the_environment() -> None:
    plan = using(plan_of(entry("a", "keyed", timeout_s=30)), ENVIRONMENT, "key")
    fault = faults(*[Reply(status=503, text="")] * 9, on="POST /runs/keyed-run-1/cancel")
    tenant = Tenant(lasts=1e9, fault=fault)
    story = Story(plan, VENDOR, tenant).drive()
    assert not tenant.there
    assert [run.remote.id for _, run in story.run.active_runs()] == ["keyed-run-1"]


@pytest.mark.parametrize("at", [0.12, 0.16, 5.0, 40.0])
def test_an_interruption_leaves_nothing_that_is_not_named(at: float) -> None:
    """Also while the request that makes the environment is on its way: its answer is waited for."""
    tenant = Tenant(lasts=1e9)
    story = Story(PLAN, VENDOR, tenant)
    story.pool._latency = 0.1
    story.pool.at.append((at, lambda: story.engine.interrupt(2)))
    story.drive()
    assert not tenant.there
    assert not named(story)
    assert decide(story.run).exit_code is ExitCode.INTERRUPTED


def test_an_environment_whose_answer_hangs_is_named_after_an_interruption() -> None:
    tenant = Tenant(lasts=1e9)
    story = Story(PLAN, VENDOR, tenant)
    real = story.pool.start

    def start(
        token: int, vendor: str, request: Request, *, key: str | None, fresh: bool, limit_s: float | None = None
    ) -> None:
        story.pool._latency = 90.0 if request.path == "/environments" else 0.05
        assert fresh or request.path != "/environments"
        real(token, vendor, request, key=key, fresh=fresh, limit_s=limit_s)

    story.pool.start = start  # type: ignore[method-assign]
    story.pool.at.append((1.0, lambda: story.engine.interrupt(15)))
    story.drive()
    assert tenant.there
    all_known(story, tenant)
    (left,) = summarise(story.run).left
    assert not left.certain


def test_a_run_that_could_not_be_cancelled_keeps_its_environment_for_the_resume() -> None:
    tenant = Tenant(lasts=60, fault=faults(Reply(status=403, text="no"), on="POST /runs/keyed-run-1/cancel"))
    story = Story(PLAN, VENDOR, tenant)
    story.pool.at.append((40.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert tenant.there
    all_known(story, tenant)
    later = Story(PLAN, VENDOR, tenant, before=story.events, resumed=True, clock=story.clock).drive()
    assert str(later.run.closed["a"].verdict) == "passed"
    assert not tenant.there
    assert not named(later)


def cut(plan: Plan, whole: list[ev.Event], length: int, *, arrived: bool, unique: bool) -> tuple[Tenant, Story]:
    """A resume of a journal's first events; `arrived`: what its last one announces reached the vendor."""
    tenant = Tenant(unique=unique)
    for number, event in enumerate(whole[:length]):
        reached = arrived or number + 1 < length
        if isinstance(event, ev.Submitting) and reached:
            tenant.answer("keyed", Request(method="POST", path="/runs"), event.key, event.at - 1_790_000_000)
        if isinstance(event, ev.ResourceAsked) and reached:
            body = dict(event.leftover.details)
            tenant.answer("keyed", Request(method="POST", path="/environments", body=dict(body)), None, 0)
        if isinstance(event, ev.ResourceReleased):
            tenant.there.clear()
    clock = VirtualClock()
    clock.seconds = 100.0
    return tenant, Story(plan, VENDOR, tenant, before=whole[:length], resumed=length > 0, clock=clock).drive()


@pytest.mark.parametrize("unique", [True, False], ids=["conflict", "twice"])
@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "not-arrived"])
@pytest.mark.parametrize("lost", [True, False], ids=["lost-once", "plain"])
def test_a_process_that_is_lost_after_any_line_forgets_no_environment(
    *, lost: bool, arrived: bool, unique: bool
) -> None:
    whole = Story(PLAN, VENDOR, Tenant(unique=unique, fault=faults(*[AFTER] * lost))).drive().events
    for length in range(len(whole) + 1):
        tenant, story = cut(PLAN, whole, length, arrived=arrived, unique=unique)
        assert verdicts(story) == {"passed"}, length
        assert len(tenant.began) == 2, length
        all_known(story, tenant)
        if not tenant.there and not lost and not isinstance(whole[length - 1], ev.ResourceAsked):
            assert not named(story), length


def test_a_create_that_may_have_happened_is_repeated_with_the_same_body_and_its_environment() -> None:
    tenant = Tenant(fault=faults(*[LOST] * 999, on="POST /runs"))
    story = Story(PLAN, VENDOR, tenant, options=Options(timeout_s=60)).drive()
    assert verdicts(story) == {"unknown"}
    assert not tenant.there
    tenant.fault = None
    later = Story(PLAN, VENDOR, tenant, before=story.events, resumed=True, clock=story.clock).drive()
    assert verdicts(later) == {"passed"}
    sent = [request.body for _, _, request, _ in [*story.pool.sent, *later.pool.sent] if request.path == "/runs"]
    assert all(body == sent[0] for body in sent)
    assert len(tenant.began) == 2
    assert not tenant.there


def test_a_create_that_may_have_happened_is_not_repeated_with_another_body() -> None:
    tenant = Tenant(fault=faults(*[LOST] * 999, on="POST /runs"))
    story = Story(PLAN, VENDOR, tenant, options=Options(timeout_s=60)).drive()
    tenant.fault = faults(LOST, *[Reply(status=409, text="this key was used before")] * 2)
    later = Story(PLAN, VENDOR, tenant, before=story.events, resumed=True, clock=story.clock).drive()
    assert verdicts(later) == {"unknown"}
    assert not tenant.began
    assert not [request for _, _, request, _ in later.pool.sent if request.path == "/runs"]


def test_an_environment_that_may_be_gone_is_removed_and_made_again_for_who_still_waits() -> None:
    plan = using(plan_of(entry("a", "keyed"), entry("b", "keyed"), max_in_flight=1), ENVIRONMENT, "key")
    tenant = Tenant(lasts=1e9, fault=faults(AFTER, LOST, LOST, on=DELETE))
    story = Story(plan, VENDOR, tenant)
    story.pool.at.append((5.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert named(story)
    tenant.lasts = 10
    later = Story(plan, VENDOR, tenant, before=story.events, resumed=True, clock=story.clock).drive()
    assert {name: str(each.verdict) for name, each in later.run.closed.items()} == {"a": "cancelled", "b": "passed"}
    methods = [(request.method, request.path.split("/")[1]) for _, _, request, _ in later.pool.sent]
    assert methods.index(("DELETE", "environments")) < methods.index(("POST", "environments"))
    assert not tenant.there
    assert not named(later)

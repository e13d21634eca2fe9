"""The emulated Certyn keeps to certyn.md, and refuses whatever is not on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.amount import PATIENCE_S

if TYPE_CHECKING:
    import requests

    from tests.emulator.conftest import Stand, Start

RUNS = "POST /api/ci/runs"
SMOKE = {"projectSlug": "my-app", "processSlug": "smoke-suite"}
ENVIRONMENT = {"key": "pr-7", "label": "PR 7", "baseUrl": "https://pr-7.example", "version": "abc"}


def create(stand: Stand, body: object = None, key: str | None = None) -> requests.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return stand.call("certyn", RUNS, SMOKE if body is None else body, headers=headers)


def status(stand: Stand, run: dict[str, Any]) -> Any:  # noqa: ANN401
    return stand.json("certyn", f"GET {run['statusPath']}")


def test_a_create_answers_with_paths_that_work(stand: Stand) -> None:
    reply = create(stand)
    run = reply.json()
    assert reply.status_code == 201
    assert set(run) == {"runId", "testCaseCount", "statusPath", "cancelPath", "statusUrl", "appUrl", "message"}
    assert run["testCaseCount"] == 3
    assert status(stand, run)["runId"] == run["runId"]
    assert stand.session.get(run["appUrl"], timeout=PATIENCE_S).headers["content-type"].startswith("text/html")
    assert stand.call("certyn", f"GET {run['statusUrl']}").json()["runId"] == run["runId"]


def test_counters_grow_until_the_run_is_completed(start: Start) -> None:
    counters = {"total": 5, "failed": 1, "blocked": 1, "aborted": 1, "skipped": 1, "duration": "4s", "queued": 0}
    stand = start({"certyn": {"processes": {"smoke-suite": counters}}})
    run = create(stand).json()
    first = status(stand, run)
    assert (first["state"], first["pending"], first["passed"], first["conclusion"]) == ("in_progress", 5, 0, None)
    stand.clock.advance(2)
    assert [status(stand, run)[name] for name in ("passed", "failed", "pending")] == [1, 1, 3]
    stand.clock.advance(2)
    last = status(stand, run)
    assert [last[name] for name in ("passed", "failed", "blocked", "aborted", "skipped", "pending")] == [
        1,
        1,
        1,
        1,
        1,
        0,
    ]
    assert (last["state"], last["total"], last["processSlug"]) == ("completed", 5, "smoke-suite")
    assert last["conclusion"]
    assert "retryAfterSeconds" not in last


def test_conclusions_come_from_several_vocabularies(stand: Stand) -> None:
    runs = [create(stand).json() for _ in range(3)]
    stand.clock.advance(3)
    assert len({status(stand, run)["conclusion"] for run in runs}) == 3


def test_a_run_that_its_vendor_cancels_leaves_tests_pending(start: Start) -> None:
    stand = start({"certyn": {"processes": {"smoke-suite": {"total": 4, "outcome": "cancelled"}}}})
    run = create(stand).json()
    stand.clock.advance(10)
    last = status(stand, run)
    assert (last["state"], last["passed"], last["pending"]) == ("cancelled", 2, 2)


def test_a_hanging_run_never_ends_and_an_empty_one_does(start: Start) -> None:
    processes: dict[str, object] = {"never": "hang", "nothing": {"total": 0}}
    stand = start({"certyn": {"processes": processes}})
    never, nothing = (create(stand, SMOKE | {"processSlug": slug}).json() for slug in processes)
    stand.clock.advance(86_400)
    assert (status(stand, never)["state"], status(stand, never)["pending"]) == ("in_progress", 1)
    assert (status(stand, nothing)["state"], status(stand, nothing)["total"]) == ("completed", 0)


@pytest.mark.parametrize(("speed", "hint"), [(1, 10), (5, 2), (100, 1)])
def test_the_hint_shrinks_with_the_speed(start: Start, speed: float, hint: int) -> None:
    stand = start(speed=speed)
    assert status(stand, create(stand).json())["retryAfterSeconds"] == hint


def test_a_repeated_create_is_replayed(stand: Stand) -> None:
    first, again = create(stand, key="k1"), create(stand, key="k1")
    assert first.json() == again.json()
    assert again.status_code == first.status_code
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(stand.records("runs")) == 1
    assert create(stand, key="k2").json()["runId"] != first.json()["runId"]


def test_a_key_with_another_body_is_a_conflict(stand: Stand) -> None:
    create(stand, key="k1")
    assert create(stand, {**SMOKE, "ref": "main"}, key="k1").status_code == 409
    assert len(stand.records("runs")) == 1


def test_a_refused_create_uses_its_key_not_up(stand: Stand) -> None:
    assert create(stand, {"projectSlug": "my-app"}, key="k1").status_code == 400
    assert create(stand, key="k1").status_code == 201


def test_without_a_key_every_create_makes_a_run(stand: Stand) -> None:
    assert create(stand).json()["runId"] != create(stand).json()["runId"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"processSlug": "s"}, "projectSlug: is required"),
        ({"projectSlug": "p"}, "exactly one of processSlug, tags"),
        (SMOKE | {"tags": ["a"]}, "only one of processSlug and tags"),
        ({"projectSlug": "p", "tags": []}, "tags: must not be empty"),
        ({"projectSlug": "p", "tags": "smoke"}, "tags: expected a list, got a string"),
        (SMOKE | {"projectSlug": 7}, "projectSlug: expected a string, got an integer"),
        (SMOKE | {"commitSha": None}, "commitSha: expected a string, got null"),
        (SMOKE | {"baseUrl": "https://x.example"}, "unknown field 'baseUrl'"),
    ],
)
def test_a_create_outside_the_page_is_refused(stand: Stand, body: object, said: str) -> None:
    reply = create(stand, body)
    assert reply.status_code == 400
    assert said in reply.json()["error"]


def test_optional_fields_come_back_in_the_status(stand: Stand) -> None:
    extra = {"environmentKey": "staging", "commitSha": "abc", "externalUrl": "https://ci.example/1"}
    answer = status(stand, create(stand, {"projectSlug": "p", "tags": ["a", "b"], **extra, "event": "push"}).json())
    assert {name: answer[name] for name in extra} == extra
    assert (answer["tags"], answer["processSlug"]) == (["a", "b"], None)


def test_an_instruction_stands_alone_and_starts_a_conversation(stand: Stand) -> None:
    assert "conversationId" in create(stand, {"projectSlug": "p", "instruction": "Buy something"}).json()


def test_tags_choose_the_first_course_that_is_named(start: Start) -> None:
    stand = start({"certyn": {"tags": {"pay": {"total": 9}}, "default": {"total": 2}}})
    assert create(stand, {"projectSlug": "p", "tags": ["x", "pay"]}).json()["testCaseCount"] == 9
    assert create(stand, {"projectSlug": "p", "tags": ["x"]}).json()["testCaseCount"] == 2


def test_cancel_ends_a_run_and_keeps_what_was_done(stand: Stand) -> None:
    run = create(stand).json()
    stand.clock.advance(1.5)
    assert stand.call("certyn", f"POST {run['cancelPath']}", {"reason": "superseded"}).ok
    stand.clock.advance(10)
    answer = status(stand, run)
    assert (answer["state"], answer["passed"], answer["pending"]) == ("cancelled", 1, 2)
    assert stand.call("certyn", f"POST {run['cancelPath']}").status_code == 409


def test_cancel_takes_no_body_or_a_reason_alone(stand: Stand) -> None:
    run = create(stand).json()
    assert stand.call("certyn", f"POST {run['cancelPath']}", {"force": True}).status_code == 400
    assert stand.call("certyn", f"POST {run['cancelPath']}").ok
    assert stand.call("certyn", "POST /api/ci/runs/nope/cancel").status_code == 404


def test_the_first_polls_miss_the_run_only_if_a_scenario_says_so(start: Start) -> None:
    stand = start({"certyn": {"invisible_polls": 2}})
    for _ in range(2):
        run = create(stand).json()
        codes = [stand.call("certyn", f"GET {run['statusPath']}").status_code for _ in range(3)]
        assert codes == [404, 404, 200]


def test_twenty_creates_a_minute(start: Start) -> None:
    stand = start(speed=50)  # rate limits are not scaled
    codes = [create(stand).status_code for _ in range(21)]
    assert codes == [201] * 20 + [429]
    stand.clock.advance(59)
    reply = create(stand)
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "1")
    stand.clock.advance(1)
    assert create(stand).status_code == 201


def test_sixty_reads_and_a_hundred_requests_a_minute(stand: Stand) -> None:
    run = create(stand).json()
    reads = [stand.call("certyn", f"GET {run['statusPath']}").status_code for _ in range(61)]
    assert reads == [200] * 60 + [429]
    cancels = [stand.call("certyn", f"POST {run['cancelPath']}").status_code for _ in range(40)]
    assert cancels[:39] == [202] + [409] * 38
    assert cancels[39] == 429
    assert len(stand.records("runs")) == 1


def test_refusals_by_rate_have_bodies_of_all_kinds(start: Start) -> None:
    stand = start({"certyn": {"rates": {"reads": 1}}})
    stand.call("certyn", "GET /api/projects/overview")
    replies = [stand.call("certyn", "GET /api/projects/overview") for _ in range(3)]
    assert all(reply.status_code == 429 and reply.headers["Retry-After"] == "60" for reply in replies)
    assert sorted(reply.text[:1] for reply in replies) == ["", "<", "{"]


def test_details_need_their_scope(start: Start) -> None:
    stand = start({"certyn": {"scopes": ["ci:trigger", "ci:status", "ci:cancel"]}})
    run = create(stand).json()
    assert status(stand, run)["state"] == "in_progress"
    reply = stand.call("certyn", "GET /api/projects/overview")
    assert (reply.status_code, set(reply.json())) == (403, {"error", "details"})
    assert stand.call("certyn", f"POST {run['cancelPath']}").ok


def test_items_tell_each_outcome(start: Start) -> None:
    stand = start({"certyn": {"processes": {"smoke-suite": {"total": 4, "failed": 1, "skipped": 1}}}})
    run = create(stand).json()
    overview = stand.json("certyn", "GET /api/projects/overview")
    project = next(project["id"] for project in overview["projects"] if project["slug"] == "my-app")
    route = f"GET /api/projects/{project}/process-runs/{run['runId']}"
    early = stand.json("certyn", route)
    assert (early["runningItems"], early["pendingItems"]) == (1, 3)
    assert {item["testOutcome"] for item in early["items"]} == {None}
    stand.clock.advance(3)
    late = stand.json("certyn", route)
    assert (late["totalItems"], late["passedItems"], late["failedItems"], late["pendingItems"]) == (4, 2, 1, 0)
    assert [item["testOutcome"] for item in late["items"]] == ["passed", "passed", "failed", None]
    assert late["items"][0]["testCaseName"] == "Smoke Suite 1"
    assert len({item["executionId"] for item in late["items"]}) == 4
    assert stand.call("certyn", f"GET /api/projects/other/process-runs/{run['runId']}").status_code == 404


def test_a_preview_environment_lives_from_create_to_delete(start: Start) -> None:
    stand = start({"certyn": {"projects": ["my-app"], "environments": ["staging"]}})
    preview = SMOKE | {"environmentKey": "pr-7"}
    assert create(stand, preview).status_code == 404
    project = stand.json("certyn", "GET /api/projects/overview")["defaultProjectId"]
    route = f"/api/projects/{project}/environments"
    made = stand.json("certyn", f"POST {route}", ENVIRONMENT)
    assert set(made) == {"id"}
    assert stand.call("certyn", f"POST {route}", ENVIRONMENT).status_code == 409
    assert create(stand, preview).status_code == 201
    assert stand.call("certyn", f"DELETE {route}/{made['id']}").status_code == 204
    assert stand.call("certyn", f"DELETE {route}/{made['id']}").status_code == 404
    assert create(stand, preview).status_code == 404


def test_a_deleted_environment_is_gone_also_where_any_key_is_known(stand: Stand) -> None:
    project = stand.json("certyn", "GET /api/projects/overview")["defaultProjectId"]
    route = f"/api/projects/{project}/environments"
    made = stand.json("certyn", f"POST {route}", ENVIRONMENT)
    assert stand.call("certyn", f"DELETE {route}/{made['id']}").ok
    assert create(stand, SMOKE | {"environmentKey": "pr-7"}).status_code == 404
    assert create(stand, SMOKE | {"environmentKey": "pr-8"}).status_code == 201


@pytest.mark.parametrize("missing", list(ENVIRONMENT))
def test_every_field_of_an_environment_is_required(stand: Stand, missing: str) -> None:
    project = stand.json("certyn", "GET /api/projects/overview")["defaultProjectId"]
    body = {name: value for name, value in ENVIRONMENT.items() if name != missing}
    reply = stand.call("certyn", f"POST /api/projects/{project}/environments", body)
    assert reply.status_code == 400
    assert missing in reply.json()["error"]


def test_unknown_names_are_refused_where_a_scenario_lists_them(start: Start) -> None:
    section = {"projects": ["my-app"], "only_known": True, "processes": {"smoke-suite": {}}, "tags": {"pay": {}}}
    stand = start({"certyn": section})
    assert create(stand).status_code == 201
    assert create(stand, SMOKE | {"projectSlug": "other"}).status_code == 404
    assert create(stand, SMOKE | {"processSlug": "other"}).status_code == 404
    assert create(stand, {"projectSlug": "my-app", "tags": ["other"]}).status_code == 404
    assert create(stand, {"projectSlug": "my-app", "tags": ["pay"]}).status_code == 201


@pytest.mark.parametrize("key", ["", "cyn_live_", "dk_live_x"])
def test_a_key_of_another_shape_is_refused(stand: Stand, key: str) -> None:
    reply = stand.call("certyn", "GET /api/projects/overview", headers={"X-API-Key": key})
    assert (reply.status_code, set(reply.json())) == (401, {"error"})


def test_what_the_vendors_cli_asks_for_a_run_is_there(stand: Stand) -> None:
    """The requests of `certyn run --environment staging`, in its order; its source is YevheniiGera/certyn-cli."""
    project = stand.json("certyn", "GET /api/projects/overview")["defaultProjectId"]
    top = f"/api/projects/{project}"
    environments = stand.json("certyn", f"GET {top}/environments?page=1&pageSize=100")
    assert {"production", "staging"} <= {each["key"] for each in environments["items"]}
    (process,) = stand.json("certyn", f"GET {top}/processes")
    assert (process["slug"], process["isActive"], process["isExploratory"]) == ("smoke-suite", True, False)
    body = {"projectSlug": "my-app", "processSlug": "smoke-suite", "environmentKey": "staging", "instruction": "Hurry"}
    made = stand.json("certyn", "POST /api/ci/runs", body, headers={"Idempotency-Key": "k"})
    stand.clock.advance(3)
    assert stand.json("certyn", f"GET /api/ci/runs/{made['runId']}")["state"] == "completed"
    (run,) = stand.json("certyn", f"GET {top}/ci-runs?take=50&skip=0")["items"]
    assert (run["runId"], run["passed"], "aborted" in run) == (made["runId"], 3, False)
    shown = stand.json("certyn", f"GET {top}/process-runs/{made['runId']}")
    assert (shown["id"], shown["processSlug"], shown["status"]) == (made["runId"], "smoke-suite", "completed")
    assert {"number", "processId", "processName", "triggerType", "startedAt", "completedAt", "summaryMarkdown"} < set(
        shown
    )
    item = shown["items"][0]
    listed = stand.json("certyn", f"GET {top}/executions?status=completed,failed&environmentKey=staging&pageSize=2")
    assert (listed["totalCount"], listed["items"][0]["id"]) == (3, item["executionId"])
    assert stand.json("certyn", f"GET {top}/executions?environmentKey=production")["items"] == []
    execution = f"GET {top}/executions/{item['executionId']}"
    (test,) = stand.json("certyn", f"{execution}/testcases")["items"]
    assert test["testCaseId"] == item["testCaseId"]
    assert [stand.json("certyn", f"{execution}/{what}")["totalCount"] for what in ("artifacts", "notes")] == [0, 0]
    assert stand.json("certyn", f"GET {top}/executions/{item['executionId']}")["status"] == "completed"
    told = stand.json("certyn", f"GET /api/assistant/conversations/{made['conversationId']}")
    assert told["messages"][0]["role"] == "assistant"


def test_tests_are_listed_page_by_page(start: Start) -> None:
    """certyn.md: Inventories; `tag` and `isQuarantined` choose among them."""
    stand = start({"certyn": {"tags": {"pay": {"total": 21}, "cart": {"total": 2}}}})
    project = stand.json("certyn", "GET /api/projects/overview")["projects"][0]["id"]
    path = f"GET /api/projects/{project}/testcases"
    first = stand.json("certyn", path)
    assert (len(first["items"]), first["totalCount"], first["hasNextPage"]) == (20, 23, True)
    second = stand.json("certyn", f"{path}?page=2")
    assert (len(second["items"]), second["hasNextPage"], second["hasPreviousPage"]) == (3, False, True)
    assert stand.json("certyn", f"{path}?tag=cart&pageSize=1")["totalPages"] == 2
    assert stand.json("certyn", f"{path}?isQuarantined=true")["items"] == []
    test = first["items"][0]
    assert {"id", "number", "name", "description", "instructions", "tags", "isQuarantined", "needsReview"} == set(test)
    (record, *_) = stand.json("certyn", path.replace("testcases", "testcases/overview"))["items"]
    assert test.items() <= record.items()
    assert {"totalRuns", "passRate", "flakinessRate", "lastRunStatus", "lastRunStartedAt"} == set(record) - set(test)


def test_projects_and_environments_are_read_one_by_one(start: Start) -> None:
    stand = start({"certyn": {"projects": ["shop", "blog"], "environments": ["staging"]}})
    page = stand.json("certyn", "GET /api/projects?page=2&pageSize=1")
    assert (page["totalCount"], page["hasNextPage"], page["items"][0]["slug"]) == (2, False, "blog")
    folder = f"/api/projects/{page['items'][0]['id']}"
    assert stand.json("certyn", f"GET {folder}") == page["items"][0]
    first = stand.json("certyn", f"GET {folder}/environments")["items"][0]
    assert stand.json("certyn", f"GET {folder}/environments/{first['id']}") == first
    assert stand.call("certyn", f"GET {folder}/environments/none").status_code == 404

"""Run it with pytest: bodies as the vendor's OpenAPI file and its own client have them."""

import json

from qarunner.testing import Conformance, Example
from qarunner.vendors.api import Metadata, Reply, Request, Verdict, resource_ref

from rainforest_qa import VENDOR

SITE = "https://pr-7.example.com"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def run(state: str, result: str = "no_result", *, final: bool, **counters: int) -> dict[str, object]:
    counted = {"total": 2, "complete": 2, "passed": 0, "failed": 0, "no_result": 0, **counters}
    return {
        "id": 33,
        "state": state,
        "state_details": {"is_final_state": final},
        "result": result,
        "current_progress": counted,
        "frontend_url": "https://app.rainforestqa.com/runs/33",
    }


def page(number: int, test: int, result: str) -> Reply:
    """One of two pages; a real one has up to a hundred tests."""
    element = {"id": test, "test_id": test, "run_id": 33, "title": f"Test {test}", "result": result}
    headers = {"x-total-pages": "2", "x-current-page": str(number), "x-total-results": "2"}
    return Reply(status=200, text=json.dumps([element]), headers=headers)


def story(state: str, result: str, last: str, **counters: int) -> tuple[object, ...]:
    return (run(state, result, final=True, **counters), page(1, 1, "passed"), page(2, 2, last))


PASSED = story("complete", "passed", "passed", passed=2)
FAILED = story("complete", "failed", "failed", passed=1, failed=1)
RUNNING = run("in_progress", final=False, complete=1, passed=1)
ENDS = {
    "no result": (story("complete", "no_result", "no_result", passed=1, no_result=1), Verdict.UNKNOWN),
    "aborted": (story("aborted", "no_result", "no_result", passed=1, no_result=1), Verdict.CANCELLED),
    "timed out": (story("timed_out", "no_result", "no_result", passed=1, no_result=1), Verdict.TIMED_OUT),
    "error": (story("error", "no_result", "no_result", passed=1, no_result=1), Verdict.ERROR),
    "failed before it was aborted": (story("aborted", "failed", "failed", passed=1, failed=1), Verdict.FAILED),
}


def environment(request: Request) -> object:
    return {"id": 1770, "name": "qarunner-1", "default": False, "is_temporary": True, "site_environments": []}


def create(path: str, **body: object) -> Request:
    return Request(method="POST", path=path, body={**body, "release": COMMIT})


def example(ends: dict[str, tuple[object, Verdict]], sent: Request, **row: object) -> Example:
    return Example(
        rows=[{"id": "checkout", "platform": "web", **row}],
        metadata=Metadata(commit=COMMIT),
        sent=sent,
        created=run("queued", final=False, complete=0),
        passed=PASSED,
        failed=FAILED,
        running=RUNNING,
        ends=ends,
        made=environment,
    )


BROWSERS = ["windows11_chrome"]
MADE = resource_ref("environment", "id")
EXAMPLES = [
    example(
        ENDS,
        create("/1/runs", tests="1,2", environment_id=MADE, browsers=BROWSERS),
        target={"web_url": SITE},
        test_ids=[1, 2],
        options={"browsers": BROWSERS},
    ),
    example(
        {}, create("/1/run_groups/8/runs", environment_id=1770), target={"environment": "1770"}, category_ids=["8"]
    ),
]


class TestRainforest(Conformance):
    vendor = VENDOR
    examples = EXAMPLES

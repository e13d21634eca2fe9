"""Run it with pytest: bodies as the vendor's pages and its OpenAPI file have them."""

from qarunner.testing import Conformance, Example
from qarunner.vendors.api import Metadata, Request, Verdict

from qatech import VENDOR

RUN = "550e8400-e29b-41d4-a716-446655440000"


def case(number: int, status: str, result: str | None) -> dict[str, object]:
    return {
        "id": f"0000000{number}-e29b-41d4-a716-446655440000",
        "shortId": f"xyz78{number}",
        "name": f"Test {number}",
        "status": status,
        "result": result,
        "resultTitle": None,
        "evaluationThought": None,
        "promptGoal": "Test the login flow",
        "promptExamples": None,
    }


def run(status: str, result: str | None, *cases: tuple[str, str | None]) -> dict[str, object]:
    tests = [case(number, *words) for number, words in enumerate(cases, 1)]
    return {"id": RUN, "shortId": "abc123", "status": status, "result": result, "runTestCases": tests}


DONE = ("COMPLETED", "PASSED")
EXAMPLE = Example(
    rows=[
        {
            "id": "smoke",
            "platform": "web",
            "category_ids": ["pln_abc123"],
            "target": {"web_url": "https://pr-7.example.com"},
            "options": {"application": "app_gXeBl2"},
        }
    ],
    sent=Request(
        method="POST",
        path="/run",
        body={
            "testPlanShortId": "pln_abc123",
            "applications": [{"applicationShortId": "app_gXeBl2", "environment": {"url": "https://pr-7.example.com"}}],
            "trigger": "GITHUB",
            "actor": "ada",
            "branch": "main",
            "commitHash": "0123456789abcdef",
            "repository": "acme/shop",
        },
    ),
    created={
        "success": True,
        "run": {
            "id": RUN,
            "shortId": "abc123",
            "url": "https://app.qa.tech/p/shop/results/abc123",
            "testCount": 2,
            "testPlan": {"name": "Smoke", "shortId": "pln_abc123"},
        },
    },
    passed=run("COMPLETED", "PASSED", DONE, DONE),
    failed=run("COMPLETED", "FAILED", DONE, ("COMPLETED", "FAILED")),
    running=run("RUNNING", None, DONE, ("RUNNING", None)),
    ends={
        "skipped": (run("COMPLETED", "SKIPPED", *[("COMPLETED", "SKIPPED")] * 2), Verdict.SKIPPED),
        "error": (run("ERROR", None, DONE, ("ERROR", None)), Verdict.ERROR),
        "cancelled": (run("CANCELLED", None, DONE, ("CANCELLED", None)), Verdict.CANCELLED),
        "cancelled after a failure": (
            run("CANCELLED", None, ("COMPLETED", "FAILED"), ("CANCELLED", None)),
            Verdict.FAILED,
        ),
    },
    metadata=Metadata(ci="github", actor="ada", branch="main", commit="0123456789abcdef", repository="acme/shop"),
)
EXAMPLES = [EXAMPLE]


class TestQaTech(Conformance):
    vendor = VENDOR
    examples = EXAMPLES

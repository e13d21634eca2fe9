"""Run it with pytest: the suite asks the adapter everything that the engine relies on."""

from qarunner.testing import Conformance, Example
from qarunner.vendors.api import Request, Verdict

from acme_qa import VENDOR


def done(**results: str) -> dict[str, object]:
    return {"id": "run-1", "state": "done", "tests": [{"id": test, "result": word} for test, word in results.items()]}


EXAMPLES = [
    Example(
        rows=[
            {
                "id": "checkout",
                "platform": "web",
                "target": {"web_url": "https://staging.example.com"},
                "test_ids": ["t1", "t2"],
                "options": {"browsers": 2},
            }
        ],
        settings={"team": "web"},
        sent=Request(
            method="POST",
            path="/runs",
            body={"url": "https://staging.example.com", "tests": ["t1", "t2"], "team": "web", "browsers": 2},
        ),
        created={"id": "run-1"},
        passed=done(t1="ok", t2="ok"),
        failed=done(t1="ok", t2="broken"),
        running={"id": "run-1", "state": "queued"},
        ends={"without a result": (done(t1="ok"), Verdict.UNKNOWN)},
    )
]


class TestAcme(Conformance):
    vendor = VENDOR
    examples = EXAMPLES

"""QA.tech (qa.tech). README.md beside this file says where each fact comes from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from qarunner.vendors import api
from qarunner.vendors import replies as answers
from qarunner.vendors.api import Auth, Case, Cause, Platform, SelectionKind, TargetKind, Verdict

_STATES = {"ERROR": Verdict.ERROR, "CANCELLED": Verdict.CANCELLED}  # besides COMPLETED, which has a result
_RESULTS = {"PASSED": Verdict.PASSED, "FAILED": Verdict.FAILED, "SKIPPED": Verdict.SKIPPED}
_WEB = frozenset({TargetKind.WEB_URL, TargetKind.ENVIRONMENT})
_NO_ALLOWANCE = 402


def _short_id(kind: str, description: str) -> dict[str, api.Json]:
    example = f"{kind}_abc123"
    pattern = f"^{kind}(-.+_.+|_.+)$"
    return {"type": "string", "pattern": pattern, "description": f"{description}, {example}", "examples": [example]}


class QaTech(api.Vendor):
    """The adapter: it translates, and nothing else."""

    info = api.VendorInfo(
        name="qatech",
        title="QA.tech",
        docs="https://docs.qa.tech/api-reference/introduction",
        base_url="https://api.qa.tech/v1",
        url_env=("QARUNNER_QATECH_URL",),
        key_env="QATECH_API_TOKEN",
        auth=Auth(headers={"Authorization": "Bearer {key}"}),
        capabilities=api.Capabilities(
            targets={None: _WEB, Platform.WEB: _WEB},
            target_required=False,
            selections=frozenset({SelectionKind.CATEGORY_IDS}),
            several_ids=False,
            instead={"test_ids": "QA.tech starts a test plan: name it in category_ids, such as pln_abc123"},
        ),
        pacing=api.Pacing(every_s=20, max_s=60),  # client: asks every 20 s
        options={
            "application": _short_id("app", "The application whose environment the target is, such as"),
            "device_preset": _short_id("preset", "The device preset of the application, such as"),
        },
    )

    def check(self, row: Mapping[str, object], settings: Mapping[str, api.Json]) -> Iterable[api.Complaint]:
        options = row.get("options")
        named = isinstance(options, dict) and options.get("application") is not None
        if not named and row.get("target"):
            message = "qatech needs options.application: the application whose environment the target is"
            yield api.Complaint(path=("target",), message=message, hint="Settings → Applications shows its short id")
        if not named and isinstance(options, dict) and options.get("device_preset") is not None:
            yield api.Complaint(path=("options", "device_preset"), message="a preset goes with options.application")

    def submit(self, call: api.Call) -> api.Request:
        (entry,) = call.entries
        assert entry.selection is not None, "the capability table requires one"
        body = {"testPlanShortId": entry.selection.ids[0], **_applications(entry), **_trigger(call.metadata)}
        return api.Request(method="POST", path="/run", body=body)

    def accepted(self, call: api.Call, reply: api.Reply) -> tuple[api.RemoteRun, ...]:
        body = reply.json()
        if body.get("success").value is not True:
            raise body.get("success").fail("true")
        run = body.get("run")
        url = run.get("url").text_or() or ""
        return (
            api.RemoteRun(
                id=answers.path_id(run.get("shortId")),
                url=url if url.startswith("https://") else None,
                memo={"id": run.get("id").identifier(), "tests": answers.count(run.get("testCount"))},
            ),
        )

    def poll(self, call: api.Call, run: api.RemoteRun) -> api.Request:
        return api.Request(method="GET", path=f"/run/{answers.segment(run.id)}", query=(("testCases", "all"),))

    def read(self, call: api.Call, run: api.RemoteRun, replies: Sequence[api.Reply], *, polls: int) -> api.Status:
        body = answers.status_body(replies[0], self.refused(replies[0]))
        answers.check_about(body.get("shortId"), run.id)
        answers.check_about(body.get("id"), str(run.memo["id"]))
        state, (entry,) = body.get("status").text().upper(), call.entries
        cases = tuple(_cases(body))
        if state != "COMPLETED" and state not in _STATES:
            done = sum(case.verdict is not Verdict.UNKNOWN for case in cases)
            so_far = {entry.id: api.Outcome(verdict=Verdict.UNKNOWN, cases=cases)} if cases else {}
            return api.Running(note=state, done=done, total=len(cases) or None, so_far=so_far)
        verdict, message = _verdict(state, answers.word(body.get("result")).upper(), cases, run.memo["tests"])
        outcome = api.Outcome(verdict=verdict, cases=cases, message=message, url=run.url, raw_status=state)
        return api.Finished(outcomes={entry.id: outcome})

    def refused(self, reply: api.Reply) -> api.Refusal:
        if reply.status == _NO_ALLOWANCE:
            return api.Refusal(message=answers.error_text(reply, "message"), cause=Cause.ALLOWANCE)
        return answers.refusal(reply, "message")


def _applications(entry: api.Entry) -> dict[str, api.Json]:
    """Documented: an environment by its address or its id, and a device preset, of one application."""
    application: dict[str, api.Json] = {"applicationShortId": entry.options.get("application")}
    if application["applicationShortId"] is None:
        return {}
    if entry.target:
        key = "url" if entry.target.kind is TargetKind.WEB_URL else "shortId"
        application["environment"] = {key: entry.target.value}
    if "device_preset" in entry.options:
        application["devicePresetShortId"] = entry.options["device_preset"]
    return {"applications": [application]}


def _trigger(metadata: api.Metadata) -> dict[str, api.Json]:
    """Documented for GitHub alone: who started the build, and of what it is."""
    if metadata.ci != "github":
        return {"trigger": "API"}
    facts = {
        "actor": metadata.actor,
        "branch": metadata.branch,
        "commitHash": metadata.commit,
        "repository": metadata.repository,
    }
    return {"trigger": "GITHUB", **{name: value for name, value in facts.items() if value}}


def _cases(body: api.JsonReader) -> Iterator[Case]:
    found: list[Case] = []
    for test in body.get("runTestCases").items_or_none():
        case = _case(test)
        found += [case] if case not in found else []  # twice the same is one; two results are two cases
    yield from found


def _case(test: api.JsonReader) -> Case:
    state, result = (answers.word(test.get(key)).upper() for key in ("status", "result"))
    verdict = _RESULTS.get(result, Verdict.UNKNOWN) if state == "COMPLETED" else _STATES.get(state)
    texts = [text for text in (test.get(key).text_or() for key in ("resultTitle", "evaluationThought")) if text]
    return Case(
        id=test.get("id").identifier(),
        verdict=verdict or Verdict.UNKNOWN,
        name=test.get("name").text_or(),
        raw_status=result or state or None,
        message=": ".join(texts) or None,
        ids={"short": short} if (short := test.get("shortId").text_or()) else {},
    )


def _verdict(state: str, result: str, cases: Sequence[Case], expected: api.Json) -> tuple[Verdict, str | None]:
    verdicts = {case.verdict for case in cases}
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED, None
    if state != "COMPLETED":
        return _STATES[state], None
    verdict = _RESULTS.get(result, Verdict.UNKNOWN)
    if verdict is Verdict.PASSED and (verdicts != {Verdict.PASSED} or len(cases) != expected):
        return Verdict.UNKNOWN, f"the run says PASSED, but not all of its {expected} tests do"
    if verdict is Verdict.FAILED:
        return Verdict.UNKNOWN, "the run says FAILED, but none of its tests does"
    return verdict, None


VENDOR = QaTech()

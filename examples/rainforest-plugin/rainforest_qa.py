"""Rainforest QA (app.rainforestqa.com). README.md beside this file says where each fact comes from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from qarunner.vendors import api
from qarunner.vendors import replies as answers
from qarunner.vendors.api import Auth, Case, Platform, SelectionKind, TargetKind, Verdict

_ENDS = {  # what a run without a failed test comes to, by its last state; None: its tests say so
    "complete": None,
    "aborted": Verdict.CANCELLED,
    "timed_out": Verdict.TIMED_OUT,
    "error": Verdict.ERROR,
}
_RESULTS = {"passed": Verdict.PASSED, "failed": Verdict.FAILED}  # `no_result`, and any other word, is no result
_PAGE_SIZE = "100"  # documented: the most that a page holds
_METHODS = ["crowd", "automation", "automation_and_crowd", "on_premise"]
_WEB = frozenset({TargetKind.WEB_URL, TargetKind.ENVIRONMENT})
_ENVIRONMENT = "environment"


class Rainforest(api.Vendor):
    """The adapter: it translates, and nothing else."""

    info = api.VendorInfo(
        name="rainforest",
        title="Rainforest QA",
        docs="https://help.rainforestqa.com/reference",
        base_url="https://app.rainforestqa.com/api",
        url_env=("QARUNNER_RAINFOREST_URL", "RAINFOREST_API_URL"),
        url_suffix="/1",  # client: RAINFOREST_API_URL ends in /api/1/
        key_env="RAINFOREST_API_TOKEN",
        auth=Auth(headers={"CLIENT_TOKEN": "{key}"}),
        capabilities=api.Capabilities(
            targets={None: _WEB, Platform.WEB: _WEB},
            target_required=False,
            selections=frozenset({SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS, SelectionKind.TAGS}),
            several_ids=False,
            integer_ids=True,
            cancel=True,
            instead={"binary": "upload the app with `rainforest mobile-upload`, and name its environment"},
        ),
        pacing=api.Pacing(every_s=5, max_s=30),  # client: asks every 5 s
        options={
            "browsers": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Platforms, instead of the usual",
            },
            "execution_method": {"enum": _METHODS, "description": "Who runs the tests"},
        },
    )

    def check_call(self, call: api.Call) -> Iterable[api.Complaint]:
        target = call.entries[0].target
        if target and target.kind is TargetKind.ENVIRONMENT and not target.value.isdecimal():
            message = f"{target.value!r} is no id of an environment: it is a number, as `rainforest environments` shows"
            yield api.Complaint(path=("target", "environment"), message=message)

    def resources(self, call: api.Call) -> Iterable[api.Dependency]:
        target = call.entries[0].target
        if target and target.kind is TargetKind.WEB_URL:
            kind, data = api.ResourceKind.ENVIRONMENT, {"url": target.value}
            yield api.Dependency(key=_ENVIRONMENT, kind=kind, data=data)

    def notices(self, call: api.Call) -> Iterable[str]:
        made = "rainforest gets a temporary environment for {url}, which is deleted afterwards"
        return [made.format(url=need.data["url"]) for need in self.resources(call)]

    def prepare(self, resource: api.Resource, token: str, replies: Sequence[api.Reply]) -> api.PrepareStep:
        if not replies:
            body = {"name": f"qarunner-{token}", "url": resource.data["url"], "is_temporary": True}
            return api.Request(method="POST", path="/1/environments", body=body)
        return api.Prepared(values={"id": replies[0].json().get("id").integer()})

    def release(self, resource: api.Resource, prepared: api.Prepared) -> api.Request:
        return api.Request(method="DELETE", path=f"/1/environments/{answers.segment(str(prepared.values['id']))}")

    def leftover(self, resource: api.Resource, token: str, prepared: api.Prepared | None) -> api.Leftover:
        todo = "delete it in Rainforest, which does so 72 hours after its last use"
        return api.Leftover(what=f"environment qarunner-{token}", todo=todo)

    def submit(self, call: api.Call) -> api.Request:
        (entry,) = call.entries
        assert entry.selection, "the capability table requires one"
        body, ids = {**_environment(entry), **entry.options}, entry.selection.ids
        if call.metadata.commit:
            body["release"] = call.metadata.commit
        if entry.selection.kind is SelectionKind.CATEGORY_IDS:
            return api.Request(method="POST", path=f"/1/run_groups/{answers.segment(ids[0])}/runs", body=body)
        tests = {"tests": ",".join(ids)} if entry.selection.kind is SelectionKind.TEST_IDS else {"tags": list(ids)}
        return api.Request(method="POST", path="/1/runs", body={**body, **tests})

    def accepted(self, call: api.Call, reply: api.Reply) -> tuple[api.RemoteRun, ...]:
        body = reply.json()
        return (api.RemoteRun(id=answers.path_id(body.get("id")), url=_page(body)),)

    def poll(self, call: api.Call, run: api.RemoteRun) -> api.Request:
        return api.Request(method="GET", path=_path(run))

    def cancel(self, call: api.Call, run: api.RemoteRun) -> api.Request:
        return api.Request(method="DELETE", path=_path(run))

    def read(self, call: api.Call, run: api.RemoteRun, replies: Sequence[api.Reply], *, polls: int) -> api.Status:
        body = answers.status_body(replies[0], self.refused(replies[0]))
        answers.check_about(body.get("id"), run.id)
        state, final = body.get("state").text().lower(), body.get("state_details").get("is_final_state").value
        (entry,) = call.entries
        if (state not in _ENDS and final is not True) or final is False:
            return _running(entry, state, body.get("current_progress"))
        pages = replies[1:]
        if not pages or len(pages) < _header(pages[-1], "x-total-pages"):
            query = (("page", str(len(pages) + 1)), ("page_size", _PAGE_SIZE))
            return api.More(request=api.Request(method="GET", path=f"{_path(run)}/tests", query=query))
        cases = tuple(_cases(entry, run, pages))
        verdict, message = _verdict(state, body, cases, total=_header(pages[0], "x-total-results"))
        outcome = api.Outcome(verdict=verdict, cases=cases, message=message, url=_page(body), raw_status=state)
        return api.Finished(outcomes={entry.id: outcome})

    def refused(self, reply: api.Reply) -> api.Refusal:
        return answers.refusal(reply, "error")


def _path(run: api.RemoteRun) -> str:
    return f"/1/runs/{answers.segment(run.id)}"


def _page(body: api.JsonReader) -> str | None:
    url = body.get("frontend_url").text_or() or ""
    return url if url.startswith("https://") else None


def _environment(entry: api.Entry) -> dict[str, api.Json]:
    if entry.target is None:
        return {}
    made = entry.target.kind is TargetKind.WEB_URL
    return {"environment_id": api.resource_ref(_ENVIRONMENT, "id") if made else int(entry.target.value)}


def _counts(progress: api.JsonReader) -> Mapping[Verdict, int]:
    words = {Verdict.PASSED: "passed", Verdict.FAILED: "failed", Verdict.UNKNOWN: "no_result"}
    return {verdict: answers.count(progress.get(word)) or 0 for verdict, word in words.items()}


def _running(entry: api.Entry, state: str, progress: api.JsonReader) -> api.Running:
    done, total = answers.count(progress.get("complete")), answers.count(progress.get("total"))
    counts = {**_counts(progress), Verdict.UNKNOWN: max(0, (total or 0) - (done or 0))}
    so_far = {entry.id: api.Outcome(verdict=Verdict.UNKNOWN, counts=counts)} if done else {}
    return api.Running(note=state, done=done, total=total, so_far=so_far)


def _header(reply: api.Reply, name: str) -> int:
    text = reply.headers.get(name, "")
    if not reply.ok or not text.isdecimal():
        raise api.UnexpectedData(f"a list of tests without the header {name}: HTTP {reply.status}")
    return int(text)


def _cases(entry: api.Entry, run: api.RemoteRun, pages: Sequence[api.Reply]) -> Iterator[Case]:
    """A case for each result, and one for each requested test without a result."""
    found: list[Case] = []
    for number, page in enumerate(pages, 1):
        if _header(page, "x-current-page") != number:
            raise api.UnexpectedData(f"page {number} of the tests came as page {page.headers['x-current-page']}")
        for test in page.json().items():
            answers.check_about(test.get("run_id"), run.id)
            case = _case(test)
            found += [case] if case not in found else []  # twice the same is one; two results are two cases
    yield from found
    asked = entry.selection.ids if entry.selection and entry.selection.kind is SelectionKind.TEST_IDS else ()
    for name in asked:
        if str(int(name)) not in {case.id for case in found}:
            yield Case(id=name, verdict=Verdict.UNKNOWN, message="the run has no result of it")


def _case(test: api.JsonReader) -> Case:
    word = test.get("result").text_or()
    verdict = _RESULTS.get((word or "").lower(), Verdict.UNKNOWN)
    if verdict is Verdict.PASSED and (answers.count(test.get("total_retries")) or 0):
        verdict = Verdict.FLAKY  # client: a retry in the same run is made after a failure
    name, url = test.get("title").text_or(), _page(test)
    return Case(id=test.get("test_id").identifier(), verdict=verdict, name=name, raw_status=word, url=url)


def _verdict(state: str, body: api.JsonReader, cases: Sequence[Case], total: int) -> tuple[Verdict, str | None]:
    verdicts = [Verdict.PASSED if case.verdict is Verdict.FLAKY else case.verdict for case in cases]
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED, None
    if (end := _ENDS.get(state, Verdict.UNKNOWN)) is not None:
        return end, body.get("error_reason").text_or()
    told, progress = body.get("result").text().lower(), body.get("current_progress")
    expected = {Verdict.PASSED: total, Verdict.FAILED: 0, Verdict.UNKNOWN: 0}
    agreed = progress.value is None or (_counts(progress), answers.count(progress.get("total"))) == (expected, total)
    if told != "passed" or set(verdicts) != {Verdict.PASSED} or len(verdicts) != total or not agreed:
        return Verdict.UNKNOWN, f"the run says {told!r}, its {total} tests and its counters do not agree on a pass"
    return (Verdict.FLAKY if Verdict.FLAKY in {case.verdict for case in cases} else Verdict.PASSED), None


VENDOR = Rainforest()

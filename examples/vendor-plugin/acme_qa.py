"""Acme QA, an imaginary vendor: POST /runs {url, tests} starts a run, GET /runs/ID tells of it and of each test."""

from collections.abc import Iterator, Sequence

from qarunner.vendors import api
from qarunner.vendors import replies as answers
from qarunner.vendors.api import Auth, Platform, SelectionKind, TargetKind, Verdict

_VERDICTS = {"ok": Verdict.PASSED, "broken": Verdict.FAILED}  # every other word is no result


class Acme(api.Vendor):
    """The adapter: it translates, and nothing else. It keeps no state and never touches the network."""

    info = api.VendorInfo(
        name="acme",
        title="Acme QA",
        docs="https://acme.example/docs",
        base_url="https://api.acme.example",
        url_env=("QARUNNER_ACME_URL",),
        key_env="ACME_API_KEY",
        auth=Auth(headers={"Authorization": "Bearer {key}"}),
        capabilities=api.Capabilities(
            targets={Platform.WEB: frozenset({TargetKind.WEB_URL})},
            target_required=True,
            selections=frozenset({SelectionKind.TEST_IDS}),
            instead={"category_ids": "acme has no categories: name the tests in test_ids"},
        ),
        pacing=api.Pacing(every_s=5, max_s=30),
        options={"browsers": {"type": "integer", "minimum": 1, "maximum": 4, "description": "How many at once"}},
        settings={"team": {"type": "string", "minLength": 1, "description": "Whose allowance the runs use"}},
    )

    def submit(self, call: api.Call) -> api.Request:
        (entry,) = call.entries  # each entry has a call of its own, as `group` is not overridden
        assert entry.target and entry.selection, "the capability table requires both"
        body = {"url": entry.target.value, "tests": list(entry.selection.ids), **call.settings, **entry.options}
        return api.Request(method="POST", path="/runs", body=body)

    def accepted(self, call: api.Call, reply: api.Reply) -> tuple[api.RemoteRun, ...]:
        return (api.RemoteRun(id=answers.path_id(reply.json().get("id"))),)

    def poll(self, call: api.Call, run: api.RemoteRun) -> api.Request:
        return api.Request(method="GET", path=f"/runs/{answers.segment(run.id)}")

    def read(self, call: api.Call, run: api.RemoteRun, replies: Sequence[api.Reply], *, polls: int) -> api.Status:
        body = answers.status_body(replies[0], self.refused(replies[0]))
        answers.check_about(body.get("id"), run.id)
        state = body.get("state").text()
        if state.lower() != "done":
            return api.Running(note=state)
        (entry,) = call.entries
        cases = tuple(_cases(entry, body))
        return api.Finished(outcomes={entry.id: api.Outcome(verdict=_worst(cases), cases=cases)})

    def refused(self, reply: api.Reply) -> api.Refusal:
        return answers.refusal(reply, "error")


def _cases(entry: api.Entry, body: api.JsonReader) -> Iterator[api.Case]:
    """A case for each result, and one for each requested test without a result."""
    results = ((test.get("id").identifier(), test.get("result").text_or()) for test in body.get("tests").items())
    told = list(dict.fromkeys(results))  # told twice it is one; with two words it is two cases, and no pass
    asked = entry.selection.ids if entry.selection else ()
    missing = [(test, None) for test in asked if test not in dict(told)]
    for test, word in [*told, *missing]:
        yield api.Case(id=test, verdict=_VERDICTS.get((word or "").lower(), Verdict.UNKNOWN), raw_status=word)


def _worst(cases: Sequence[api.Case]) -> Verdict:
    verdicts = {case.verdict for case in cases}
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED
    return Verdict.PASSED if verdicts == {Verdict.PASSED} else Verdict.UNKNOWN


VENDOR = Acme()

"""Secrets reach the vendor that they are meant for, and nothing else."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from msgspec import structs
from msgspec.structs import replace

from qarunner.app.apply.connect import connect
from qarunner.errors import UserError
from qarunner.plan.model import from_json

if TYPE_CHECKING:
    from pathlib import Path

    from tests.program.conftest import AtOnce, Begin, Ended, Stage

TOKEN = "pr3view/T0ken+with=odd&chars"
ALLOWED = ("--allow-secret", "PREVIEW_TOKEN@shop.example")


def private(stage: Stage, *, url: str = "https://shop.example/?token={{ env.PREVIEW_TOKEN | urlencode }}") -> None:
    stage.environ["PREVIEW_TOKEN"] = TOKEN
    stage.commit(stage.doksi("login", url=url), env={"PREVIEW_TOKEN": {"secret": True}})


def traces(text: str, *secrets: str) -> list[str]:
    """The secrets that stand in a text, in any form in which one might come back."""
    seen = []
    for secret in secrets:
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        forms = {secret, quote(secret), quote(secret, safe=""), encoded, json.dumps(secret)[1:-1]}
        seen += [form for form in forms if form in text]
    return seen


def written(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def kept(stage: Stage, *ended: Ended) -> None:
    """No secret and no credential is in any output, or in any file that the program wrote."""
    keys = [stage.vendors.environ[name] for name in ("DOKSI_API_KEY", "CERTYN_API_KEY")]
    for each in ended:
        assert traces(each.text, TOKEN, *keys) == [], each
    assert traces(written(stage.folder), TOKEN, *keys) == []


def test_an_allowed_secret_reaches_its_vendor_and_nothing_else(stage: Stage) -> None:
    private(stage)
    reports = ("--report", "json=out/report.json", "--report", "junit=out/report.xml")
    ended = stage.apply(*ALLOWED, "-v", *reports)
    assert ended.code == 0, ended
    assert stage.creates("doksi")[0]["body"]["matrix"][0]["web_url"] == (
        f"https://shop.example/?token={quote(TOKEN, safe='')}"
    )
    again = [stage.run("report", "--format", form) for form in ("json", "junit")]
    kept(stage, ended, *again)


def test_a_secret_that_fails_or_is_quoted_back_by_the_vendor_is_kept_too(begin: Begin, at_once: AtOnce) -> None:
    faults: list[dict[str, object]] = [
        {"on": "POST /runs", "status": 400, "body": {"error": f"bad address ?token={TOKEN}"}},
        {"on": "POST /runs", "status": 500, "body": f"<p>{quote(TOKEN, safe='')}</p>"},
        {"on": "GET /runs/{run_id}", "state": TOKEN, "to": 2},
        {"on": "POST /runs", "status": 302, "headers": {"Location": f"https://elsewhere.example/{quote(TOKEN)}"}},
    ]

    def check(fault: dict[str, object]) -> None:
        stage = begin(doksi={"tests": {"login": "failed"}, "faults": [fault]})
        private(stage)
        ended = [stage.apply(*ALLOWED, "-v"), stage.run("report", "--format", "junit")]
        assert ended[0].code in {1, 8}, ended[0]
        kept(stage, *ended)

    at_once(faults, check)


def test_a_secret_that_nobody_allowed_is_not_sent(stage: Stage, at_once: AtOnce) -> None:
    private(stage)

    def check(words: tuple[str, ...]) -> None:
        ended = stage.apply(*words)
        assert ended.code == 2, ended
        assert "--allow-secret PREVIEW_TOKEN@shop.example" in ended.err

    at_once([(), ("--allow-secret", "OTHER@shop.example"), ("--allow-secret", "PREVIEW_TOKEN")], check)
    assert stage.sent() == []
    assert stage.apply(QARUNNER_ALLOW_SECRETS="OTHER,PREVIEW_TOKEN@shop.example").code == 0


def test_a_plan_shows_no_secret(stage: Stage) -> None:
    private(stage)
    ended = [
        stage.run("plan", *ALLOWED),
        stage.run("plan", *ALLOWED, "--format", "json", "--out", "plan.json"),
    ]
    assert {each.code for each in ended} == {0}
    assert "***" in ended[0].out
    kept(stage, *ended)
    assert stage.sent() == []


def test_a_template_cannot_read_a_credential(stage: Stage) -> None:
    for declared in ({"default": "x"}, {"secret": True}):
        stage.commit(
            stage.doksi("login", url="https://shop.example/{{ env.CERTYN_API_KEY }}"), env={"CERTYN_API_KEY": declared}
        )
        ended = stage.apply("--allow-secret", "CERTYN_API_KEY@shop.example")
        assert ended.code == 2, ended
        assert "CERTYN_API_KEY" in ended.err
        kept(stage, ended)
    assert stage.sent() == []


def test_a_value_that_is_a_credential_is_not_sent_under_another_name(stage: Stage) -> None:
    stage.commit(stage.doksi("login", url="https://shop.example/{{ env.HARMLESS }}"), env={"HARMLESS": {}})
    ended = stage.apply("--env", "HARMLESS", HARMLESS=stage.environ["CERTYN_API_KEY"])
    assert ended.code == 2, ended
    assert "HARMLESS" in ended.err
    kept(stage, ended)
    assert stage.sent() == []


def test_a_resume_that_still_has_to_send_the_secret_needs_its_permission_again(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": "POST /runs", "call": 1, "drop": "before"}]})
    private(stage)
    assert stage.apply(*ALLOWED).code == 8
    for words, variables in (
        (["--resubmit", "login"], {}),
        (["--resubmit", "login", *ALLOWED], {"PREVIEW_TOKEN": None}),
    ):
        ended = stage.resume(*words, **variables)
        assert ended.code == 2, ended
        assert "PREVIEW_TOKEN" in ended.err
    assert stage.paid() == []
    ended = stage.resume("--resubmit", "login", *ALLOWED)
    assert ended.code == 0, ended
    kept(stage, ended)


def test_a_secret_that_is_bound_to_a_host_is_not_sent_to_another(begin: Begin) -> None:
    stage = begin(doksi={"faults": [{"on": "POST /runs", "call": 1, "drop": "before"}]})
    private(stage, url="https://elsewhere.example/?token={{ env.PREVIEW_TOKEN | urlencode }}")
    ended = stage.apply(*ALLOWED)
    assert ended.code == 2, ended
    assert "would be sent to elsewhere.example" in ended.err
    assert stage.sent() == []
    kept(stage, ended)
    private(stage)
    assert stage.apply(*ALLOWED).code == 8
    other = stage.resume("--resubmit", "login", "--allow-secret", "PREVIEW_TOKEN@elsewhere.example")
    assert other.code == 2, other
    assert "would be sent to shop.example" in other.err
    assert stage.paid() == []
    ended = stage.resume(
        "--resubmit", "login", QARUNNER_ALLOW_SECRETS="PREVIEW_TOKEN@*.example.com,PREVIEW_TOKEN@shop.example"
    )
    assert ended.code == 0, ended
    kept(stage, ended)


def test_whatever_plan_asks_for_more_than_the_pipeline_allows_sends_nothing(stage: Stage) -> None:
    """A stored run may be written by somebody else, and a digest without a key does not tell."""
    private(stage)
    assert stage.run("plan", *ALLOWED, "--out", "plan.json").code == 0
    path = stage.folder / "plan.json"
    plan = from_json(path.read_bytes(), path=path)
    allowed, secrets = frozenset({ALLOWED[1]}), {"PREVIEW_TOKEN": TOKEN}
    connect(plan, stage.environ, secrets, allowed=allowed)
    (job,), vendor = plan.jobs, plan.vendors["doksi"]
    assert isinstance(job.request.body, dict)
    elsewhere = {**job.request.body, "matrix": [{"web_url": "https://collect.example/?t=⟦secret:PREVIEW_TOKEN⟧"}]}
    forged = {
        "--allow-secret PREVIEW_TOKEN@collect.example is missing": replace(job.request, body=elsewhere),
        "--allow-secret PREVIEW_TOKEN@doksi is missing": replace(job.request, query=(("q", "⟦secret:PREVIEW_TOKEN⟧"),)),
        "has to begin with exactly one /": replace(job.request, path="http://collect.example/runs"),
        "the secret OTHER is not set": replace(job.request, path="/⟦secret:OTHER⟧"),
    }
    for words, request in forged.items():
        other = structs.replace(plan, jobs=(structs.replace(job, request=request),))
        with pytest.raises(UserError, match=re.escape(words)) as caught:
            connect(other, stage.environ, secrets, allowed=allowed)
        assert traces(f"{caught.value.message} {caught.value.hint}", TOKEN) == []
        connect(other, stage.environ, secrets, allowed=allowed, cancels=True)
    stolen = structs.replace(plan, vendors={"doksi": structs.replace(vendor, key_env="AWS_SECRET_ACCESS_KEY")})
    environ = {**stage.environ, "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}
    for cancels in (False, True):
        with pytest.raises(UserError, match="AWS_SECRET_ACCESS_KEY must not be sent to doksi as its key"):
            connect(stolen, environ, secrets, allowed=allowed, cancels=cancels)


def test_a_cancel_masks_what_it_may_not_send(begin: Begin) -> None:
    """As the reaper calls it: without the options of the apply."""
    error = {"error": f"?token={TOKEN} is over"}
    stage = begin(
        certyn={"default": "hang", "faults": [{"on": "POST /api/ci/runs/{runId}/cancel", "status": 422, "body": error}]}
    )
    stage.environ["PREVIEW_TOKEN"] = TOKEN
    entry = stage.certyn("smoke", options={"instruction": "{{ env.PREVIEW_TOKEN }}"})
    stage.commit(entry, env={"PREVIEW_TOKEN": {"secret": True}})
    applied = stage.apply("--detach", "--allow-secret", "PREVIEW_TOKEN@certyn")
    assert applied.code == 0, applied
    cancelled = stage.run("cancel", "r1")
    assert "is over" in cancelled.text
    kept(stage, applied, cancelled, stage.run("status", "r1"))


def test_a_cancel_masks_what_is_set_and_not_meant(begin: Begin) -> None:
    error = {"error": f"?token={TOKEN} is over"}
    faults = [{"on": "POST /api/ci/runs/{runId}/cancel", "status": 422, "body": error}]
    stage = begin(certyn={"default": "hang", "faults": faults})
    entry = stage.certyn("smoke", options={"instruction": "{{ env.PREVIEW_TOKEN }}"})
    stage.commit(entry, env={"PREVIEW_TOKEN": {"secret": True}})
    applied = stage.apply("--detach", "--allow-secret", "PREVIEW_TOKEN@certyn", PREVIEW_TOKEN=TOKEN)
    for variables in (
        {"PREVIEW_TOKEN": TOKEN, "QARUNNER_ENV": "!PREVIEW_TOKEN"},
        {"QARUNNER_VAR_PREVIEW_TOKEN": TOKEN},
    ):
        cancelled = stage.run("cancel", "r1", **variables)
        assert "is over" in cancelled.text
        kept(stage, applied, cancelled)

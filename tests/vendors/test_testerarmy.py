from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from qarunner.diagnostics import Place
from qarunner.engine.decide.interpret import CreatedNothing, Rejected, Retry, after_create
from qarunner.entry import Entry, Platform, Policy, Selection, SelectionKind, Target, TargetKind
from qarunner.vendors.api import Call, Cause, Metadata, Outcome, Reply, Verdict
from qarunner.vendors.testerarmy.adapter import VENDOR
from qarunner.vendors.testerarmy.info import FITS, INFO, RULES
from tests.matrices import objections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.decode import Json

TEST = "11111111-1111-4111-8111-111111111111"
GROUP = "22222222-2222-4222-8222-222222222222"
PROJECT = "33333333-3333-4333-8333-333333333333"
APP = "55555555-5555-4555-8555-555555555555"
URL = "https://staging.example.com"

ONE_TEST: dict[str, Any] = {"id": "login", "test_ids": [TEST]}
ONE_GROUP: dict[str, Any] = {"id": "smoke", "category_ids": [GROUP]}
PREVIEW: dict[str, Any] = {"id": "preview", "options": {"pull_request": True}, "target": {"web_url": URL}}


def row(base: dict[str, Any], *, options: Mapping[str, object] | None = None, **changes: object) -> dict[str, object]:
    merged = {**base.get("options", {}), **(options or {})}
    return {**base, **({"options": merged} if merged else {}), **changes}


def complained(data: Mapping[str, object], project: str | None = PROJECT) -> list[tuple[str, str]]:
    """What schema, table and adapter say together: each place, and the words."""
    settings: dict[str, Json] = {} if project is None else {"project": project}
    result = objections(VENDOR, {key: value for key, value in data.items() if value is not None}, settings)
    return [(".".join(map(str, path)), f"{message} | {hint}") for path, message, hint in result]


@pytest.mark.parametrize(
    "data",
    [
        ONE_TEST,
        ONE_GROUP,
        PREVIEW,
        row(ONE_TEST, platform="web", options={"mode": "deep"}),
        row(ONE_TEST, platform="ios", target={"environment": APP}, options={"device_model": "ipad"}),
        row(ONE_TEST, platform="android", target={"binary": "build/app.apk"}, options={"remove_after": 60}),
        row(ONE_TEST, platform="android", target={"target_id": APP}, options={"project_environment_id": APP}),
        row(ONE_TEST, test_ids=["{{ vars.test }}"]),
        row(ONE_GROUP, category_ids=[GROUP.upper()]),
        row(ONE_GROUP, target={"web_url": URL}, options={"environment_label": "preview"}),
        row(ONE_GROUP, platform="{{ matrix.platform }}", target={"binary": "{{ vars.app }}"}),
        row(ONE_GROUP, platform="ios", target={"bundle_id": "com.acme"}, options={"build_id": "7"}),
        row(ONE_GROUP, platform="ios", target={"binary_url": f"{URL}/Shop.app.tar.gz?sig=1"}),
        row(ONE_GROUP, platform="ios", target={"binary_url": "{{ env.APP }}"}),
        row(
            ONE_GROUP,
            platform="android",
            target={"binary_url": f"{URL}/download"},
            options={"artifact_filename": "shop.apk"},
        ),
        row(ONE_GROUP, platform="web", options={"device_model": "{{ matrix.device }}"}) | {"platform": "ios"},
        row(PREVIEW, options={"title": "A", "description": "B", "base_branch": "main"}),
        {"platform": "ios", "options": {"pull_request": True, "simulator_region": "us-west1"}},
        {"options": {"pull_request": "{{ ci.pr_number }}"}, "target": {"web_url": URL}},
    ],
)
def test_what_is_documented_is_taken(data: dict[str, object]) -> None:
    assert complained(data) == []


@pytest.mark.parametrize(
    ("data", "path", "words"),
    [
        ({}, "", "needs exactly one of test_ids, category_ids"),
        ({"options": {"pull_request": False}}, "", "needs exactly one of test_ids, category_ids"),
        (row(ONE_TEST, test_ids=[TEST, APP]), "test_ids", "a variant for each, or name a group"),
        (row(ONE_GROUP, category_ids=[GROUP, APP]), "category_ids", "runs one group at a time"),
        (row(ONE_TEST, test_ids=["abc123"]), "test_ids.0", "which is a UUID, got 'abc123'"),
        (row(ONE_TEST, test_ids=[7]), "test_ids.0", "an id of TesterArmy, which is a UUID"),
        (row(ONE_TEST, test_ids=[TEST + "\n"]), "test_ids.0", "an id of TesterArmy, which is a UUID"),
        (row(ONE_GROUP, category_ids=["smoke"]), "category_ids.0", "an id looks like 3f2b8c1e-"),
        ({"tags": ["smoke"]}, "tags", "name one in category_ids, or a single test in test_ids"),
        (row(ONE_GROUP, artifacts=[{"type": "authentication"}]), "artifacts", "set the account up there"),
        (row(ONE_TEST, target={"web_url": URL}), "target.web_url", "cannot point a single test at a web_url | save it"),
        (row(ONE_TEST, target={"web_url": URL}), "target.web_url", "name that in target.environment, or put the test"),
        (row(ONE_TEST, platform="ios", target={"bundle_id": "a"}), "target.bundle_id", "target.target_id, or put the"),
        (row(ONE_TEST, platform="ios", target={"binary_url": URL}), "target.binary_url", "upload it: target.binary"),
        (row(ONE_GROUP, platform="ios", target={"target_id": "app"}), "target.target_id", "which is a UUID, got 'app'"),
        (row(ONE_GROUP, target={"target_id": APP}), "target.target_id", "add platform: android or ios"),
        (
            row(ONE_GROUP, platform="web", target={"target_id": APP}),
            "target.target_id",
            "with platform: web testerarmy takes",
        ),
        (
            row(ONE_GROUP, platform="ios", target={"web_url": URL}),
            "target.web_url",
            "with platform: android or ios testerarmy takes",
        ),
        (
            row(ONE_GROUP, platform="ios", target={"binary": "a/Shop.ipa"}),
            "target.binary",
            "takes no .ipa | testerarmy",
        ),
        (
            row(ONE_GROUP, platform="ios", target={"binary": "a/Shop.app/"}),
            "target.binary",
            "zip the .app as NAME.app.",
        ),
        (row(ONE_GROUP, platform="android", target={"binary": "a.AAB"}), "target.binary", "build a universal one"),
        (row(ONE_GROUP, platform="android", target={"binary": "a.xapk"}), "target.binary", "takes no .xapk"),
        (row(ONE_GROUP, platform="android", target={"binary_url": f"{URL}/a.apks?x"}), "target.binary_url", ".apks"),
        (row(ONE_GROUP, platform="android", target={"binary_url": URL}), "target.binary_url", "options.artifact_filen"),
        (row(ONE_GROUP, platform="ios", target={"binary_url": "https://[::1"}), "target.binary_url", "is no host"),
        (
            row(ONE_TEST, options={"environment_label": "staging"}),
            "options.environment_label",
            "with category_ids alone",
        ),
        (row(ONE_TEST, options={"build_id": "1"}), "options.build_id", "category_ids or options.pull_request alone"),
        (row(ONE_GROUP, options={"mode": "fast"}), "options.mode", "goes with test_ids alone"),
        (row(ONE_GROUP, options={"title": "A"}), "options.title", "goes with options.pull_request alone"),
        (row(ONE_GROUP, options={"build_id": "1"}), "options.build_id", "platform android or ios alone"),
        (row(ONE_GROUP, platform="web", options={"device_model": "ipad"}), "options.device_model", "ios alone"),
        (row(ONE_GROUP, options={"remove_after": 60}), "options.remove_after", "goes with target.binary alone"),
        (row(ONE_GROUP, options={"artifact_filename": "a"}), "options.artifact_filename", "target.binary_url alone"),
        (
            row(ONE_GROUP, options={"project_environment_id": "x"}),
            "options.project_environment_id",
            "which is a UUID, got 'x'",
        ),
        (row(PREVIEW, category_ids=[GROUP]), "category_ids", "cannot stand beside options.pull_request"),
        (row(PREVIEW, test_ids=[TEST]), "test_ids", "cannot stand beside options.pull_request"),
        (row(PREVIEW, target=None), "", "add target: { web_url: … }"),
        (row(PREVIEW, target={"environment": APP}), "target.environment", "give the address: target.web_url"),
        (row(PREVIEW, options={"device_model": "ipad"}), "options.device_model", "test_ids alone"),
        (row(PREVIEW, options={"simulator_region": "eu-north1"}), "options.simulator_region", "android or ios alone"),
    ],
)
def test_what_cannot_be_done_is_said_at_its_place(data: dict[str, object], path: str, words: str) -> None:
    said = complained(data)
    assert [place for place, _ in said] == [path]
    assert words in said[0][1]


def test_an_environment_is_not_named_twice() -> None:
    data = row(ONE_GROUP, target={"environment": APP}, options={"project_environment_id": APP})
    assert complained(data) == [
        (
            "options.project_environment_id",
            "the environment is named twice: here and in target.environment | take one of them out",
        )
    ]


@pytest.mark.parametrize(
    ("project", "uploads", "previews"),
    [
        (PROJECT, True, True),
        ("shop", False, True),
        ("{{ vars.project }}", True, True),
        ("", False, False),
        (None, False, False),
    ],
)
def test_a_project_is_needed_for_uploads_and_pull_requests(
    project: str | None, *, uploads: bool, previews: bool
) -> None:
    upload = row(ONE_TEST, platform="android", target={"binary": "build/app.apk"})
    assert (complained(upload, project) == []) is uploads
    assert (complained(PREVIEW, project) == []) is previews
    assert complained(ONE_TEST, project) == complained(ONE_GROUP, project) == []
    for _, words in [*complained(upload, project), *complained(PREVIEW, project)]:
        assert "vendors.testerarmy.project" in words


def test_every_option_says_with_what_it_goes() -> None:
    assert set(FITS) == set(INFO.options)


@pytest.mark.parametrize(
    ("options", "valid"),
    [
        (
            {"mode": "fast", "device_model": "iphone", "environment_label": "custom", "simulator_region": "us-west1"},
            True,
        ),
        ({"remove_after": 60, "title": "a" * 500, "description": "b" * 5000, "base_branch": "c" * 255}, True),
        ({"mode": "slow"}, False),
        ({"device_model": "pixel"}, False),
        ({"environment_label": "test"}, False),
        ({"simulator_region": "us-east-1"}, False),
        ({"remove_after": 59}, False),
        ({"remove_after": 604801}, False),
        ({"title": ""}, False),
        ({"title": "a" * 501}, False),
        ({"description": "a" * 5001}, False),
        ({"base_branch": "a" * 256}, False),
        ({"project_environment_id": "staging"}, False),
        ({"pull_request": 7}, False),
    ],
)
def test_options_have_the_documented_bounds(options: dict[str, Json], *, valid: bool) -> None:
    schema = {"type": "object", "properties": dict(INFO.options), "additionalProperties": False}
    assert jsonschema.Draft202012Validator(schema).is_valid(options) is valid


def test_the_documented_files_are_taken() -> None:
    endings = {ending for rules in RULES.values() for ending in rules.endings}
    assert endings == {".app.zip", ".app.tar.gz", ".zip", ".tgz", ".apk"}
    assert set(RULES) == {Platform.ANDROID, Platform.IOS}


# --- creates ----------------------------------------------------------------------------------------------------------


def entry(kind: SelectionKind | None, *ids: str, options: Mapping[str, Json] | None = None) -> Entry:
    return Entry(
        id="smoke",
        vendor="testerarmy",
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=12, column=5),
        platform=Platform.WEB,
        target=Target(kind=TargetKind.WEB_URL, value=URL) if kind is None else None,
        selection=None if kind is None else Selection(kind=kind, ids=ids),
        options=options or {},
    )


GROUP_CALL = Call(entries=(entry(SelectionKind.CATEGORY_IDS, GROUP),))


def test_each_entry_is_a_call_of_its_own() -> None:
    one, other = entry(SelectionKind.TEST_IDS, TEST), entry(SelectionKind.CATEGORY_IDS, GROUP)
    assert [tuple(group) for group in VENDOR.group([one, other])] == [(one,), (other,)]


@pytest.mark.parametrize("kind", [SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS])
def test_a_second_id_is_a_bug_and_never_dropped_in_silence(kind: SelectionKind) -> None:
    with pytest.raises(ValueError, match="too many values"):
        VENDOR.submit(Call(entries=(entry(kind, TEST, APP),)))


def test_an_entry_that_asks_for_nothing_is_a_bug() -> None:
    with pytest.raises(ValueError, match="smoke: the check let"):
        VENDOR.submit(Call(entries=(entry(None),)))


@pytest.mark.parametrize(
    ("metadata", "missing"),
    [
        (Metadata(), "no number and no commit"),
        (Metadata(commit="abc"), "no number"),
        (Metadata(commit="abc", pr_number=0), "no number"),
        (Metadata(pr_number=7), "no commit"),
    ],
)
def test_a_build_that_is_no_pull_request_is_said_so_before_anything_is_sent(metadata: Metadata, missing: str) -> None:
    call = Call(entries=(entry(None, options={"pull_request": True}),), settings={"project": "shop"}, metadata=metadata)
    (complaint,) = VENDOR.check_call(call)
    assert complaint.message == f"this build is not known to be a pull request's: it has {missing}"
    assert complaint.path == ("options", "pull_request")
    assert "pull-request builds alone" in (complaint.hint or "")


@pytest.mark.parametrize(
    "where",
    [{"ci": "gitlab"}, {"ci": "jenkins"}, {"ci": "circleci", "host": "bitbucket.org"}, {"host": "git.acme.test"}],
)
def test_a_merge_request_of_another_host_is_not_passed_off_as_a_pull_request_of_github(where: dict[str, str]) -> None:
    metadata = Metadata(commit="abc", pr_number=44, **where)
    call = Call(entries=(entry(None, options={"pull_request": True}),), settings={"project": "shop"}, metadata=metadata)
    (complaint,) = VENDOR.check_call(call)
    assert "GitHub alone" in complaint.message
    group = VENDOR.submit(Call(entries=(entry(SelectionKind.CATEGORY_IDS, GROUP),), metadata=metadata)).body
    assert group == {"platform": "web", "commitSha": "abc"}, "nor is its number"


def test_a_pull_request_is_told_in_its_own_words() -> None:
    metadata = Metadata(
        commit="abc", pr_number=7, pr_title="t" * 600, pr_description="Why", branch="b", base_branch="main"
    )
    call = Call(entries=(entry(None, options={"pull_request": True}),), settings={"project": "shop"}, metadata=metadata)
    body = VENDOR.submit(call).body
    assert isinstance(body, dict)
    assert body["pullRequest"] == {
        "provider": "github",
        "number": 7,
        "title": "t" * 500,
        "description": "Why",
        "baseBranch": "main",
        "headBranch": "b",
        "commitSha": "abc",
    }


def reply(status: int, body: object) -> Reply:
    return Reply(status=status, text=json.dumps(body))


def test_an_accepted_create_without_a_run_is_known_and_not_uncertain() -> None:
    made = after_create(VENDOR, GROUP_CALL, reply(202, {"status": "cancelled", "runIds": []}), now=0)
    message = "TesterArmy accepted the create but started no run (status 'cancelled')"
    assert made == CreatedNothing(
        outcomes={"smoke": Outcome(verdict=Verdict.CANCELLED, message=message, raw_status="cancelled")}
    )


@pytest.mark.parametrize(
    ("body", "again"),
    [
        ({"error": "RateLimited", "message": "Too many requests"}, True),
        ({"error": "RateLimited", "message": "Rate limit exceeded"}, True),
        ({}, True),
        ({"error": "RateLimited", "message": "usage limit exceeded"}, False),
        ({"error": "UsageLimit", "message": "Usage limit exceeded"}, False),
        ({"error": "USAGE_LIMIT_EXCEEDED"}, False),
    ],
)
def test_429_is_repeated_unless_it_is_the_usage_limit(body: dict[str, str], *, again: bool) -> None:
    meaning = after_create(VENDOR, GROUP_CALL, reply(429, body), now=0)
    if again:
        assert isinstance(meaning, Retry)
    else:
        assert isinstance(meaning, Rejected)
        assert meaning.refusal.cause is Cause.ALLOWANCE

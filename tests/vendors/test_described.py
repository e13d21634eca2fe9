"""What an adapter sends is valid by the vendor's own OpenAPI file, in closed objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from qarunner.testing.adapter import Example, Scene
from qarunner.vendors import registry
from qarunner.vendors.api import Metadata, Prepared, RemoteRun, Reply, Request, resolve_refs
from qarunner.vendors.testerarmy.info import INFO
from tests.described import violations

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = {"category_ids": ["22222222-2222-4222-8222-222222222222"]}
TEST = {"test_ids": ["11111111-1111-4111-8111-111111111111"]}
ID = "55555555-5555-4555-8555-555555555555"
SITE = {"web_url": "https://staging.example.com"}
ARCHIVE = {"binary_url": "https://cdn.example.com/Shop.app.tar.gz?sig=1"}
BINARY = {"binary": "build/app.apk"}
METADATA = Metadata(
    repository="acme/shop",
    ref="main",
    commit="0123456789abcdef0123456789abcdef01234567",
    event="pull_request",
    build_url="https://github.com/acme/shop/actions/runs/7",
    pr_number=7,
    branch="fix-cart",
    base_branch="main",
    pr_title="Fix the cart",
    pr_description="",
    ci="github",
    host="github",
    run_id="7",
)


def pull_request(**options: object) -> dict[str, object]:
    return {"options": {"pull_request": True, **options}}


ROWS: list[dict[str, Any]] = [
    GROUP,
    {**GROUP, "platform": "web", "target": SITE, "options": {"environment_label": "staging"}},
    {**GROUP, "target": {"environment": ID}},
    {**GROUP, "platform": "ios", "target": {"target_id": ID}, "options": {"device_model": "ipad", "build_id": "7"}},
    {**GROUP, "platform": "android", "target": {"bundle_id": "com.acme"}},
    {**GROUP, "platform": "ios", "target": ARCHIVE},
    {
        **GROUP,
        "platform": "android",
        "target": {"binary_url": "https://cdn.example.com/latest"},
        "options": {"artifact_filename": "shop.apk"},
    },
    {**GROUP, "platform": "android", "target": BINARY, "options": {"remove_after": 3600}},
    TEST,
    {**TEST, "platform": "web", "options": {"mode": "deep", "project_environment_id": ID}},
    {**TEST, "platform": "android", "target": {"target_id": ID}},
    {**TEST, "platform": "android", "target": BINARY},
    {**pull_request(), "target": SITE},
    {**pull_request(title="A", description="B", base_branch="main"), "target": SITE},
    {**pull_request(simulator_region="us-west1", build_id="7"), "platform": "ios", "target": {"target_id": ID}},
    {**pull_request(), "platform": "android", "target": BINARY},
]


def sent(row: dict[str, Any]) -> Iterator[Request]:
    """Everything that the adapter asks for a row's sake, from its upload to its cancel."""
    nothing = Reply(status=200, text="{}")
    example = Example(
        rows=[{"id": "one", **row}],
        created={},
        passed={},
        failed={},
        running={},
        settings={"project": ID},
        metadata=METADATA,
    )
    scene = Scene(registry.get("testerarmy"), example)
    vendor = scene.vendor
    for resource in scene.plan.resources:
        upload = Reply(status=200, text=f'{{"uploadUrl": "https://x.example/u", "storageKey": "{ID}"}}')
        replies = [upload, nothing]
        steps = [vendor.prepare(resource, "token", replies[:number]) for number in range(3)]
        yield from (step for step in steps if isinstance(step, Request))
        removal = vendor.release(resource, Prepared(values={"app_id": ID}))
        yield from (removal,) if removal else ()
    yield replace(scene.job.request, body=resolve_refs(scene.job.request.body, {"app": {"app_id": ID}}))
    run = RemoteRun(id=ID, memo={"batch": ID})
    for request in (vendor.poll(scene.call, run), vendor.cancel(scene.call, run), vendor.cancel_all(scene.call, [run])):
        yield from (request,) if request else ()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_testerarmys_file_allows_every_request(row: dict[str, Any]) -> None:
    for request in sent(row):
        violated = violations("testerarmy", request.method, request.path, query=dict(request.query), body=request.body)
        assert not violated, f"{request}: {violated}"


def test_a_field_that_the_file_does_not_have_is_a_violation() -> None:
    (violation,) = violations("testerarmy", "POST", f"/groups/{ID}/runs", body={"url": "https://x.example"})
    assert "'url' was unexpected" in violation
    (violation,) = violations("testerarmy", "GET", "/groups", reply=(200, "{}"))
    assert "'groups' is a required property" in violation


def test_every_option_is_in_a_row() -> None:
    assert {name for row in ROWS for name in row.get("options", {})} == set(INFO.options)

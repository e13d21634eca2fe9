"""Presigned uploads take one file for a while, and never a credential."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
import requests

from tests.amount import PATIENCE_S

if TYPE_CHECKING:
    from tests.emulator.conftest import Stand, Start

PROJECT = "33333333-3333-4333-8333-333333333333"
ANNOUNCE = {
    "doksi": ("POST /uploads", {}, "upload_url", 3600),
    "docketqa": (
        "POST /apps/upload-url",
        {"filename": "a.apk", "platform": "android", "file_size": 3},
        "s3_presigned_url",
        900,
    ),
    "testerarmy": (
        f"POST /projects/{PROJECT}/mobile/upload",
        {"filename": "a.apk", "fileSize": 3},
        "uploadUrl",
        1800,
    ),
}
TYPES = {"doksi": "application/zip", "docketqa": "application/octet-stream", "testerarmy": "application/octet-stream"}


def announce(stand: Stand, vendor: str) -> str:
    route, body, field, _ = ANNOUNCE[vendor]
    return str(stand.json(vendor, route, body)[field])


@pytest.mark.parametrize("vendor", ANNOUNCE)
def test_the_url_lies_outside_the_vendors_api(stand: Stand, vendor: str) -> None:
    url = announce(stand, vendor)
    assert url.startswith(f"{stand.running.url}/storage/{vendor}/")
    assert stand.put(url, b"apk", TYPES[vendor]).status_code == 200
    (upload,) = stand.records("uploads")
    assert (upload["size"], upload["sha256"]) == (3, hashlib.sha256(b"apk").hexdigest())


@pytest.mark.parametrize("vendor", ANNOUNCE)
@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_a_credential_is_refused_there(stand: Stand, vendor: str, header: str) -> None:
    reply = stand.put(announce(stand, vendor), b"apk", TYPES[vendor], **{header: "secret"})
    assert reply.status_code == 400
    assert stand.records("uploads")[0]["size"] is None


@pytest.mark.parametrize("vendor", ANNOUNCE)
def test_the_content_type_is_part_of_the_signature(stand: Stand, vendor: str) -> None:
    assert stand.put(announce(stand, vendor), b"apk", "text/plain").status_code == 403


@pytest.mark.parametrize("vendor", ANNOUNCE)
def test_a_url_expires_when_its_page_says(stand: Stand, vendor: str) -> None:
    url, valid = announce(stand, vendor), ANNOUNCE[vendor][3]
    stand.clock.advance(valid)
    assert stand.put(url, b"apk", TYPES[vendor]).status_code == 200
    stand.clock.advance(1)
    assert stand.put(url, b"apk", TYPES[vendor]).status_code == 403


def test_a_url_that_was_changed_is_refused(stand: Stand) -> None:
    url = announce(stand, "doksi")
    plain, _, query = url.partition("?")
    assert stand.put(plain, b"apk", "application/zip").status_code == 403
    assert stand.put(f"{url}x", b"apk", "application/zip").status_code == 403
    assert stand.put(f"{plain}x?{query}", b"apk", "application/zip").status_code == 404
    assert stand.put(url.replace("/doksi/", "/docketqa/"), b"apk", "application/zip").status_code == 404
    assert stand.session.post(url, data=b"apk", timeout=PATIENCE_S).status_code == 405
    assert stand.session.get(plain.rpartition("/")[0], timeout=PATIENCE_S).status_code == 404


def test_a_second_upload_replaces_the_first(stand: Stand) -> None:
    url = announce(stand, "doksi")
    for data in (b"one", b"another"):
        assert stand.put(url, data, "application/zip").ok
    assert [upload["size"] for upload in stand.records("uploads")] == [7]


def test_a_large_upload_arrives_whole(stand: Stand) -> None:
    data = bytes(range(256)) * (48 << 12)  # 48 MiB, more than is held in memory
    assert stand.put(announce(stand, "testerarmy"), data, "application/octet-stream").ok
    assert stand.records("uploads")[0]["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("moment", "size"), [("before", None), ("after", 3)])
def test_an_upload_can_be_dropped(start: Start, moment: str, size: int | None) -> None:
    stand = start({"doksi": {"faults": [{"on": "PUT /storage/{token}", "call": 1, "drop": moment}]}})
    url = announce(stand, "doksi")
    with pytest.raises(requests.ConnectionError):
        stand.put(url, b"apk", "application/zip")
    assert stand.records("uploads")[0]["size"] == size
    assert stand.put(url, b"apk", "application/zip").ok


def test_an_upload_can_be_refused_by_the_scenario(start: Start) -> None:
    stand = start({"doksi": {"faults": [{"on": "PUT /storage/{token}", "call": 1, "status": 503, "body": "<Error/>"}]}})
    url = announce(stand, "doksi")
    assert [stand.put(url, b"apk", "application/zip").status_code for _ in range(2)] == [503, 200]

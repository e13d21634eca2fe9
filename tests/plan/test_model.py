"""A plan as data: its digest, its bytes, and what is refused when it is read back."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from qarunner.errors import UserError
from qarunner.plan.model import (
    Allowance,
    Cost,
    Plan,
    Price,
    Sources,
    checked_json,
    from_json,
    seal,
    to_json,
)
from tests.plan.acme import METADATA, compiled

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = """
defaults: { vendor: acme, test_ids: [t] }
matrix:
  - { id: a, platform: web, target: { web_url: 'https://one.example' }, options: { size: 1 } }
  - { id: b, platform: web, target: { web_url: 'https://two.example' } }
  - { id: c, labels: [x] }
"""
PATH = Path("plan.json")
SOURCES = Sources(manifest="qa-matrix.yml", files={"qa-matrix.yml": "1"}, variables={}, endpoints={})


def plan() -> Plan:
    return compiled(TEXT, settings={"acme": {"team": "shop"}})


def altered(change: Callable[[dict[str, Any]], object]) -> bytes:
    data = json.loads(to_json(plan()))
    change(data)
    return json.dumps(data).encode()


def test_a_plan_reads_back_as_it_was_written() -> None:
    data = to_json(plan())
    assert from_json(data, path=PATH) == plan()
    assert to_json(from_json(data, path=PATH)) == data
    assert data.endswith(b"}\n")
    assert b'\n  "version": 1' in data
    assert checked_json(data, path=PATH) == json.loads(data)


def test_the_digest_covers_everything_but_itself() -> None:
    first = plan()
    assert first.digest.startswith("sha256:")
    assert seal(msgspec.structs.replace(first, digest="anything")) == first
    assert seal(msgspec.structs.replace(first, name="other")).digest != first.digest
    assert seal(msgspec.structs.replace(first, jobs=())).digest != first.digest


@pytest.mark.parametrize("read", [from_json, checked_json])
def test_a_plan_that_was_altered_is_refused(read: Callable[..., object]) -> None:
    for data in (
        altered(lambda data: data["jobs"][0]["request"].update(path="/other")),
        altered(lambda data: data.update(digest="sha256:0")),
        altered(lambda data: data["entries"].pop()),
    ):
        with pytest.raises(UserError) as caught:
            read(data, path=PATH)
        assert caught.value.message == "plan.json: was changed after qarunner wrote it"
        assert caught.value.hint == "make the plan again"


def test_a_plan_of_another_version_is_refused_before_its_shape_matters() -> None:
    with pytest.raises(UserError) as caught:
        from_json(b'{"version": 2, "digest": 7}', path=PATH)
    assert caught.value.message == "plan.json: a plan of version 2; this qarunner reads version 1"
    assert caught.value.hint == "use the qarunner that wrote it"
    with pytest.raises(UserError) as caught:
        from_json(b'{"version": 2, "tool": "9.9.0"}', path=PATH)
    assert caught.value.hint == "use qarunner 9.9.0, which wrote it"
    with pytest.raises(UserError, match="a plan of version None"):
        from_json(b"{}", path=PATH)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"version": 1', b"\xff"])
@pytest.mark.parametrize("read", [from_json, checked_json])
def test_what_is_no_plan_is_refused(read: Callable[..., object], data: bytes) -> None:
    with pytest.raises(UserError) as caught:
        read(data, path=PATH)
    assert caught.value.message.startswith("plan.json: not a plan of qarunner: ")


def test_a_plan_without_one_of_its_parts_is_refused() -> None:
    with pytest.raises(UserError, match=r"^plan\.json: not a plan of qarunner: .*vendors"):
        from_json(altered(lambda data: data.pop("vendors")), path=PATH)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("jobs", "vendor", "certyn"),
        ("jobs", "entries", ["z"]),
        ("jobs", "uses", {"app": "z"}),
        ("entries", "vendor", "z"),
    ],
)
def test_a_plan_of_other_hands_that_names_what_it_lacks_is_refused(part: str, key: str, value: object) -> None:
    data = json.loads(altered(lambda data: data[part][0].update({key: value})))
    whole = to_json(seal(msgspec.convert(data, type=Plan)))
    with pytest.raises(UserError, match=r"not a plan of qarunner: it names \w+, which it does not have$"):
        from_json(whole, path=PATH)


def test_equal_plans_are_equal_bytes_whatever_came_first() -> None:
    first, second = ({"tag": None, "branch": "main"}, {"branch": "main", "tag": None})
    plans = [seal(msgspec.structs.replace(plan(), git=git)) for git in (first, second)]
    assert to_json(plans[0]) == to_json(plans[1])


@pytest.mark.parametrize("number", [0, 1, 1000, 1001, 2500])
def test_a_plan_of_any_length_has_the_digest_of_its_sorted_data(number: int) -> None:
    whole = seal(msgspec.structs.replace(plan(), notices=tuple(f"notice {index}" for index in range(number))))
    data = {**msgspec.json.decode(msgspec.json.encode(whole)), "digest": ""}
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert whole.digest == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert from_json(to_json(whole), path=PATH) == whole


def test_a_digest_is_that_of_the_sorted_data_with_an_empty_digest() -> None:
    """Plans that an earlier qarunner saved have it, so it can never change."""
    digest = "sha256:" + hashlib.sha256(b'{"a":1,"digest":"","version":1}').hexdigest()
    data = f'{{"version": 1, "digest": "{digest}", "a": 1}}'.encode()
    assert checked_json(data, path=PATH) == {"version": 1, "digest": digest, "a": 1}


def test_a_later_field_is_no_change_as_long_as_the_digest_holds() -> None:
    data = json.loads(to_json(plan()))
    data["later"] = True
    with pytest.raises(UserError, match="was changed"):
        from_json(json.dumps(data).encode(), path=PATH)


def test_a_rehearsal_and_its_sources_are_sealed_too() -> None:
    first = plan()
    rehearsed, made = seal(first, rehearsal=True), seal(first, sources=SOURCES)
    assert (first.rehearsal, rehearsed.rehearsal) == (False, True)
    assert (first.sources, made.sources) == (None, SOURCES)
    assert len({first.digest, rehearsed.digest, made.digest}) == 3
    for each in (rehearsed, made):
        assert from_json(to_json(each), path=PATH) == each


def test_the_adapter_is_asked_with_what_the_job_was_made_of() -> None:
    subject = plan()
    call = subject.call(subject.jobs[0], subject.entry_map())
    assert call.entries == subject.entries
    assert (call.settings, call.metadata) == ({"team": "shop"}, METADATA)
    assert list(subject.entry_map()) == ["a", "b", "c"]


def test_the_material_has_each_target_under_its_kind_and_goes_to_its_vendor() -> None:
    material: list[tuple[str, Any]] = list(plan().material())
    assert [vendor for vendor, _ in material] == ["acme"] * 4
    assert [data["target"] for _, data in material[:3]] == [
        {"web_url": "https://one.example"},
        {"web_url": "https://two.example"},
        {},
    ]
    assert material[0][1]["options"] == {"size": 1}
    assert material[3][1]["settings"] == {"team": "shop"}


PRICE = Price(currency="EUR", per_test=Decimal("0.250"))


def test_a_plan_with_amounts_reads_back_whatever_zeros_they_end_with() -> None:
    priced = msgspec.structs.replace(plan(), cost=Cost(planned=Decimal("0.250"), up_to=Decimal("1.50"), currency="EUR"))
    allowed = seal(plan(), allowance=Allowance(max_cost=Decimal("4.20"), per_vendor={"acme": 3}))
    vendors = {name: msgspec.structs.replace(vendor, price=PRICE) for name, vendor in plan().vendors.items()}
    for written in (seal(priced), allowed, seal(msgspec.structs.replace(plan(), vendors=vendors))):
        again = from_json(to_json(written), path=PATH)
        assert again == written
        assert to_json(again) == to_json(written)
    assert allowed.allowance == Allowance(max_cost=Decimal("4.2"), per_vendor={"acme": 3})
    assert allowed.digest != plan().digest

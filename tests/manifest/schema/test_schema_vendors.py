"""What a vendor cannot do, the schema says, to the editor and to the program; the adapter says what is missing."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.manifest import codes as fault_codes
from qarunner.manifest.expand import overlay_row as overlay
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.yaml import reader as document
from qarunner.plan.capabilities import GENERAL_SETTINGS, in_table
from qarunner.vendors import registry
from tests.amount import examples, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.diagnostics import Path as Route
    from qarunner.manifest.schema.explain import SchemaError
    from qarunner.vendors.api import Complaint

SCHEMA = json.loads(schema.text())
DEFINITIONS = SCHEMA["$defs"]
VENDORS = registry.names_builtin()
UUID = "3f2b8c1e-5d4a-4c7b-9e6f-0a1b2c3d4e5f"
IDS = {"certyn": "smoke", "docketqa": "12", "doksi": "abc123", "testerarmy": UUID}
GENERAL = set(GENERAL_SETTINGS)
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "certyn": {"instruction": "Buy a book"},
    "docketqa": {
        "app_id": 7,
        "set_current": True,
        "build_name": "7.1",
        "login_url": "https://x.example/login",
        "test_urls": {"12": "https://x.example/12"},
    },
    "doksi": {},
    "testerarmy": {
        "mode": "deep",
        "device_model": "ipad",
        "project_environment_id": UUID,
        "environment_label": "staging",
        "build_id": "1.2",
        "artifact_filename": "app.apk",
        "simulator_region": "us-west1",
        "pull_request": True,
        "title": "A title",
        "description": "",
        "base_branch": "main",
        "remove_after": 3600,
    },
}
"""A value for each option."""

MISSING = re.compile(r"\bneeds? |must be told")
"""What only the adapter can say: that something is missing, which may come from the defaults or a variant."""


def target(vendor: str, kind: TargetKind) -> dict[str, object]:
    values = {
        TargetKind.WEB_URL: "https://x.example",
        TargetKind.BINARY_URL: "https://x.example/app.apk",
        TargetKind.BINARY: "build/app.apk",
        TargetKind.BUNDLE_ID: "com.example.app",
    }
    return {kind.value: values.get(kind, IDS[vendor])}


def row(vendor: str, **keys: object) -> dict[str, object]:
    return {"id": "a", "vendor": vendor, **keys}


def category(vendor: str) -> dict[str, object]:
    return {"category_ids": [IDS[vendor]]}


def valid(data: Mapping[str, object]) -> bool:
    return not schema.faults(data, part="row")


def message(vendor: str, word: str) -> str:
    """What the schema says of a word that the vendor cannot take."""
    data: dict[str, object]
    if word in list(Platform):
        data = row(vendor, **category(vendor), platform=word)
    elif word in list(TargetKind):
        data = row(vendor, **category(vendor), target=target(vendor, TargetKind(word)))
    elif word in list(SelectionKind):
        data = row(vendor, **{word: [IDS[vendor]]})
    else:
        data = row(vendor, **category(vendor), artifacts=[{"type": "authentication", "strategy": "generated"}])
    (fault,) = schema.faults(data, part="row")
    assert fault.code == fault_codes.CAPABILITY
    return fault.message


# --- the capability table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", VENDORS)
def test_what_a_vendor_offers_is_what_its_table_says(vendor: str) -> None:
    offered = registry.get(vendor).info.capabilities
    for platform in Platform:
        on = row(vendor, **category(vendor), platform=platform.value)
        assert valid(on) == (platform in offered.targets), platform
        for kind in TargetKind if valid(on) else ():
            taken = valid({**on, "target": target(vendor, kind)})
            assert taken == (kind in offered.targets[platform]), (platform, kind)
    for selection in SelectionKind:
        data = row(vendor, **{selection.value: [IDS[vendor]]})
        assert valid(data) == (selection in offered.selections), selection
    other = UUID.replace("3", "4") if vendor == "testerarmy" else "34"
    for selection in offered.selections & {SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS}:
        assert valid(row(vendor, **{selection: [IDS[vendor], other]})) != offered.takes_one(selection)
    artifacts = [{"type": "authentication", "strategy": "generated"}]
    assert valid(row(vendor, **category(vendor), artifacts=artifacts)) == offered.artifacts


@pytest.mark.parametrize("vendor", VENDORS)
def test_refusals_are_in_the_words_of_the_adapter(vendor: str) -> None:
    words = registry.get(vendor).info.capabilities.instead
    assert {word: message(vendor, word) for word in words if word != "options"} == {
        word: reason for word, reason in words.items() if word != "options"
    }


def test_doksi_says_where_options_would_go() -> None:
    (fault,) = schema.faults(row("doksi", **category("doksi"), options={"a": 1}), part="row")
    assert fault.hint == registry.get("doksi").info.capabilities.instead["options"]


# --- options and settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", VENDORS)
def test_there_is_a_value_for_each_option(vendor: str) -> None:
    assert set(OPTIONS[vendor]) == set(registry.get(vendor).info.options)


@pytest.mark.parametrize("vendor", VENDORS)
def test_options_may_be_templates_and_secrets_until_they_are_known(vendor: str) -> None:
    for name, value in OPTIONS[vendor].items():
        templated = row(vendor, **category(vendor), options={name: "{{ vars.x }}"})
        refused = [fault for fault in schema.faults(templated, part="row") if fault.code != fault_codes.CAPABILITY]
        assert not refused or isinstance(value, dict), name
    ids = row(vendor, category_ids=["***"])
    assert schema.faults(ids, part="row", templates=False) == ()


# --- what goes together -----------------------------------------------------------------------------------------------


def rows(vendor: str) -> Iterator[dict[str, object]]:
    """Every platform with every target, selection and option, also those that do not fit."""
    targets: list[Mapping[str, object]] = [{}, *({"target": target(vendor, kind)} for kind in TargetKind)]
    selections: list[Mapping[str, object]] = [{}, *({kind.value: [IDS[vendor]]} for kind in SelectionKind)]
    options = [{}, *({name: value} for name, value in OPTIONS[vendor].items())]
    if vendor == "docketqa":
        options += [{"app_id": 7, "set_current": consent} for consent in (True, False)]
    if vendor == "testerarmy":
        options += [{**item, "pull_request": True} for item in options] + [{"pull_request": False}]
    for platform, aim, selection, option in product((None, *Platform), targets, selections, options):
        on: dict[str, object] = {} if platform is None else {"platform": platform.value}
        more: dict[str, object] = {"options": option} if option else {}
        yield row(vendor, **on, **aim, **selection, **more)


def complaints(vendor: str, data: Mapping[str, object]) -> list[Complaint]:
    """What table and adapter say of a row in which the schema finds nothing."""
    adapter = registry.get(vendor)
    return [*in_table(adapter.info, data), *adapter.check(data, {"project": UUID})]


MOST_ROWS = 150
"""Of each vendor, where not all of them are wanted."""


@cache
def judged(vendor: str) -> list[tuple[dict[str, object], tuple[SchemaError, ...]]]:
    return [(data, schema.faults(data, part="row")) for data in some(list(rows(vendor)), MOST_ROWS)]


@pytest.mark.parametrize("vendor", VENDORS)
def test_only_what_is_missing_is_left_to_the_adapter(vendor: str) -> None:
    for data, faults in judged(vendor):
        if not faults:
            messages = [
                complaint.message for complaint in complaints(vendor, data) if not MISSING.search(complaint.message)
            ]
            assert not messages or ("goes with" in messages[0] and not {"target", "platform"} <= set(data)), (
                data,
                messages,
            )


# --- defaults, entries and variants -----------------------------------------------------------------------------------


@st.composite
def layers(draw: st.DrawFn) -> dict[str, object]:
    """Keys of a row, as the defaults, an entry or a variant may have some of them."""
    vendor = draw(st.sampled_from(VENDORS))
    chosen, _ = draw(st.sampled_from(judged(vendor)))
    kept = draw(st.sets(st.sampled_from(["vendor", "platform", "target", "options", "test_ids", "category_ids"])))
    return {key: value for key, value in chosen.items() if key in kept}


def merged(defaults: dict[str, object], entry: dict[str, object]) -> Iterator[tuple[Route, dict[str, object]]]:
    """Where each row's own line is, and the row."""
    base = overlay(defaults, entry)
    variants = cast("dict[str, dict[str, object]]", base.pop("variants", {}))
    if not variants:
        yield (), base
    for name, variant in variants.items():
        yield ("variants", name), overlay(base, variant)


@examples(3)
@given(defaults=layers(), entry=layers(), variants=st.lists(layers(), max_size=2))
def test_nothing_is_marked_that_no_row_is_refused_for(
    defaults: dict[str, object], entry: dict[str, object], variants: list[dict[str, object]]
) -> None:
    whole = {"id": "a", **entry}
    if variants:
        whole["variants"] = {f"v{number}": variant for number, variant in enumerate(variants)}
    faults = schema.faults({"version": 1, "name": "x", "defaults": defaults, "matrix": [whole]})
    expanded = list(merged(defaults, whole))
    assume(all(len(cast("dict[str, object]", data.get("target", {}))) < 2 for _, data in expanded))
    refusals = [(at, fault) for at, data in expanded for fault in schema.faults(data, part="row")]
    refused = {at for at, _ in refusals}
    for fault in faults:
        path = fault.path[2:]
        if fault.code == fault_codes.CAPABILITY and path != ("platform",):
            # A row tells the first of its reasons alone: which one it is may differ from the file's.
            of_variant = path[:2] if path[:1] == ("variants",) else None
            assert of_variant in refused if of_variant else refused, (fault, refusals)


# --- the examples -----------------------------------------------------------------------------------------------------

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_example_shows_every_option_and_is_valid_with_what_it_only_hints_at(vendor: str) -> None:
    text = (EXAMPLES / vendor / "qa-matrix.yml").read_text(encoding="utf-8")
    whole = re.sub(r"^( *)# (- id:|local:|extra:|  )", r"\1\2", text, flags=re.MULTILINE)
    assert schema.faults(document.read("qa-matrix.yml", whole).data) == ()
    info = registry.get(vendor).info
    shown = [word for word in (*info.options, *info.settings) if re.search(rf"\b{word}:", whole)]
    assert shown == [*info.options, *info.settings]

"""What an adapter says of itself: complete, consistent, and safe to act upon."""

# ruff: noqa: S101  a conformance suite asserts

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.plan.check import GENERAL_SETTINGS
from qarunner.plan.own_schema import faults_of_options, faults_of_settings
from qarunner.vendors import registry
from qarunner.vendors.api import Vendor, VendorInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.cursor import Json
    from qarunner.vendors.api import Capabilities, Pacing

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_METHODS = [name for name in vars(Vendor) if not name.startswith("_") and callable(getattr(Vendor, name))]
WORDS = frozenset({*Platform, *TargetKind, *SelectionKind, "artifacts", "options"})


def check_info(vendor: Vendor) -> None:
    """AssertionError for the first thing that is not as the engine relies on it."""
    info = vendor.info
    assert not isinstance(vendor, type), "give an instance of the adapter, not its class"
    assert isinstance(info, VendorInfo), f"info is a VendorInfo, got {info!r}"
    missing = [name for name in _METHODS if not callable(getattr(vendor, name, None))]
    assert not missing, f"methods are missing: {', '.join(missing)}; inherit from Vendor"
    hash(vendor)
    _check_names(info)
    _check_address(info)
    _check_capabilities(info.capabilities)
    _check_pacing(info.pacing)
    _check_schema("options", info.options)
    _check_schema("settings", info.settings)
    taken = GENERAL_SETTINGS.intersection(info.settings)
    assert not taken, f"settings: every vendor has {', '.join(sorted(taken))} already"
    # These raise for what is no JSON Schema.
    faults_of_options(vendor, {"-": None}, templates=False)
    faults_of_settings(vendor, {"-": None}, GENERAL_SETTINGS, templates=False)


def _check_names(info: VendorInfo) -> None:
    assert _NAME.fullmatch(info.name), f"name: {info.name!r} cannot be written as a vendor in a manifest"
    assert info.title.strip(), "title: is empty"
    assert info.docs.startswith("https://"), f"docs: expected the https address of the documentation: {info.docs!r}"
    variables = [info.key_env, *info.url_env, *info.credential_environ]
    for variable in variables:
        assert _VARIABLE.fullmatch(variable), f"{variable!r} is no name of an environment variable"
    assert len(variables) == len(set(variables)), f"the same variable for two things: {variables}"
    for other in registry.names_builtin():
        if other != info.name:
            theirs = registry.get(other).info
            shared = {theirs.key_env, *theirs.credential_environ, *theirs.url_env}.intersection(variables)
            assert not shared, f"{', '.join(shared)} belongs to {other}"


def _check_address(info: VendorInfo) -> None:
    url = info.base_url
    assert url.startswith("https://"), f"base_url: expected https: {url!r}"
    assert not re.search(r"[\s?#@]|/$", url), f"base_url: expected no query, user or last slash: {url!r}"
    assert info.url_env, "url_env: without a variable nobody can lead the adapter to a test server"
    header, text = info.auth
    assert _HEADER.fullmatch(header), f"auth: {header!r} is no name of a header"
    assert text.count("{key}") == 1, f"auth: expected {{key}} once in {text!r}"
    assert not re.search(r"[{}\r\n]", text.replace("{key}", "")), f"auth: only {{key}} is filled in: {text!r}"
    if info.idempotency_header is not None:
        assert _HEADER.fullmatch(info.idempotency_header), "idempotency_header: no name of a header"


def _check_capabilities(able: Capabilities) -> None:
    assert able.targets, "targets: there is no platform that the vendor takes; None is an entry without one"
    for platform, kinds in able.targets.items():
        assert platform is None or isinstance(platform, Platform), f"targets: {platform!r} is no Platform"
        assert all(isinstance(kind, TargetKind) for kind in kinds), f"targets: expected TargetKinds: {kinds}"
        assert kinds or not able.target_required, f"targets: required, but there is none for {platform}"
    assert all(isinstance(kind, SelectionKind) for kind in able.selections), "selections: expected SelectionKinds"
    assert able.selections, "selections: there is no way to choose tests"
    offered = {*able.targets, *able.selections, *(kind for kinds in able.targets.values() for kind in kinds)}
    for word, reason in able.instead.items():
        assert word in WORDS, f"instead: {word!r} is no word of the manifest"
        assert word not in offered, f"instead: {word!r} is offered"
        assert reason.strip(), f"instead: {word!r} has no reason"
    for platform, rules in able.builds.items():
        assert TargetKind.BINARY in able.targets.get(platform, ()), f"builds: {platform} takes no binary"
        assert rules.endings, f"builds: {platform} takes no file"
        odd = [ending for ending in rules.endings if not ending.startswith(".") or ending != ending.lower()]
        assert not odd, f"builds: endings begin with a dot and are in lower case: {odd}"
        assert rules.max_bytes is None or rules.max_bytes > 0, f"builds: {platform}: max_bytes"


def _check_pacing(pacing: Pacing) -> None:
    assert 0 < pacing.every_s <= pacing.max_s, f"pacing: expected 0 < every_s <= max_s: {pacing}"
    for name in ("reads", "creates", "all"):
        rate = getattr(pacing, name)
        assert rate is None or (isinstance(rate, int) and rate >= 1), f"pacing: {name} is None or requests a minute"
    assert pacing.max_in_flight >= 1, "pacing: max_in_flight lets nothing begin"
    if pacing.hint_s is not None:
        least, most = pacing.hint_s
        assert 0 < least <= most, f"pacing: hint_s: {pacing.hint_s}"


def _check_schema(what: str, properties: Mapping[str, Json]) -> None:
    for name, schema in properties.items():
        assert _NAME.fullmatch(name), f"{what}: {name!r}: expected lower-case letters, digits, '_' and '-'"
        assert isinstance(schema, dict), f"{what}.{name}: expected a JSON Schema"
        described = isinstance(schema.get("description"), str) and schema["description"]
        assert described, f"{what}.{name}: expected a description"
        assert set(schema) - {"description"}, f"{what}.{name}: takes anything; say at least its type"

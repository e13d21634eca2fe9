"""Manifests in tests: only what a test is about is written, the rest is filled in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from qarunner.errors import ManifestError
from qarunner.manifest.expand import expand
from qarunner.manifest.load import load
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.templates.env import Names, Values, nothing_set
from qarunner.manifest.templates.evaluate import check_templates, evaluate, render
from qarunner.plan.capabilities import complaints
from qarunner.vendors import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qarunner.decode import Json
    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.model import Manifest
    from qarunner.manifest.templates.evaluate import Evaluated
    from qarunner.vendors.api import Vendor

ENTRY = "matrix:\n  - { id: a, vendor: doksi, test_ids: [t1], name: %s }\n"


def objections(
    vendor: Vendor, row: Mapping[str, object], settings: Mapping[str, Json]
) -> list[tuple[tuple[str | int, ...], str, str | None]]:
    """What is wrong with a row: place, words, hint. What breaks the schema is shown to no adapter."""
    faults = schema.faults({"id": "a", "vendor": vendor.info.name, **row}, part="row")
    found = sorted(faults, key=lambda fault: str(fault.path)) or complaints(vendor, row, settings)
    return [(each.path, each.message, each.hint) for each in found]


def manifest(text: str) -> Manifest:
    return load("qa-matrix.yml", "version: 1\nname: shop\n" + text, vendor_keys=registry.keys_builtin())


def named(template: str, top: str = "") -> Manifest:
    """A manifest with one entry, whose name is a template."""
    return manifest(top.rstrip() + "\n" + ENTRY % json.dumps(template))


def checked(template: str, top: str = "") -> tuple[Diagnostic, ...]:
    """What is wrong with a template before any value is known."""
    subject = named(template, top)
    return check_templates(subject, expand(subject))


def rendered(subject: Manifest, values: Values | None = None) -> Evaluated:
    """What is to be sent: the same whether a part of it was known before or not."""
    rows = expand(subject)
    before = evaluate(subject, rows, nothing_set(len(rows)))
    whole = render(subject, rows, values or Values())
    assert before.problems or repr(render(subject, rows, values or Values(), before)) == repr(whole)
    return whole


def values(env: Mapping[str, str], *allow: str, **more: Mapping[str, str]) -> Values:
    """An environment all of whose variables the pipeline names, and words of --allow-secret."""
    keys = registry.keys_builtin()
    return Values(env=env, names=Names(tuple(env)), allow_secrets=frozenset(allow), vendor_keys=keys, **more)  # type: ignore[arg-type]


def name_of(template: str, top: str = "", **env: str) -> object:
    """The rendered name; all secrets may go to the entry's vendor."""
    subject = named(template, top)
    given = values(env, *(f"{name}@doksi" for name, declared in subject.env.items() if declared.secret))
    build = replace(given, git=GIT, ci={"name": "local", "pr_number": 7})
    return rendered(subject, build).rows[0].data["name"]


GIT: Mapping[str, str | None] = {
    "sha": "0123456789abcdef",
    "short_sha": "0123456",
    "branch": "release/1.2",
    "tag": None,
}


def refusal(call: Callable[[], object]) -> tuple[Diagnostic, ...]:
    """The problems that a call ends with."""
    with pytest.raises(ManifestError) as caught:
        call()
    return caught.value.diagnostics


def only(diagnostics: tuple[Diagnostic, ...]) -> Diagnostic:
    assert len(diagnostics) == 1, [str(diagnostic) for diagnostic in diagnostics]
    return diagnostics[0]

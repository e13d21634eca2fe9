"""What an editor with yaml-language-server shows, completes and underlines, asked of that server itself."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qarunner.diagnostics import in_order
from qarunner.entry import NameKind
from qarunner.manifest import codes as fault_codes
from qarunner.manifest.schema import validate as published
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.yaml import reader as document
from tests.editor.server import started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.editor.server import Server

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOLDEN = ROOT / "tests" / "golden" / "schema"
INSTALLED = HERE / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
PATH = Path(os.environ.get("YAML_LANGUAGE_SERVER", INSTALLED))
HEAD = "version: 1\nname: storefront\n"
ENTRY = f"{HEAD}matrix:\n  - id: checkout\n"

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not PATH.exists(), reason="no yaml-language-server: `make editor` installs it, or YAML_LANGUAGE_SERVER names it"
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("editor") / "qa-matrix.schema.json"
    path.write_text(published.for_editors(), encoding="utf-8")
    with started(["node", str(PATH)], path) as running:
        yield running


# --- diagnostics ------------------------------------------------------------------------------------------------------


VALID = [*ROOT.glob("examples/*/qa-matrix.yml"), *GOLDEN.glob("valid-*/qa-matrix.yml")]


@pytest.mark.parametrize("path", sorted(VALID), ids=lambda path: path.parent.name)
def test_a_valid_manifest_is_not_underlined(server: Server, path: Path) -> None:
    assert server.diagnostics(path.read_text(encoding="utf-8").removeprefix("\ufeff")) == []


def test_templates_are_taken_where_values_are(server: Server) -> None:
    entry = (
        'vendor: doksi\n    platform: "{{ vars.p }}"\n    test_ids: ["{{ vars.id }}"]\n    timeout: "{{ vars.t }}"\n'
    )
    more = '    retries: { failed: "{{ vars.n }}" }\n    target: { web_url: "{{ env.URL }}/de" }\n'
    vendors = 'vendors: { doksi: { max_in_flight: "{{ vars.n }}", poll: { every: "{{ vars.t }}" } } }\n'
    assert server.diagnostics(f"{ENTRY}    {entry}{more}{vendors}") == []


def faulty() -> list[str]:
    """Cases with faults of the schema alone; of broken YAML every reader says something else."""
    return sorted(path.name for path in GOLDEN.iterdir() if not path.name.startswith(("valid-", "yaml-")))


@pytest.mark.parametrize("case", faulty())
def test_every_line_with_a_fault_is_underlined(server: Server, case: str) -> None:
    text = (GOLDEN / case / "qa-matrix.yml").read_text(encoding="utf-8")
    read = document.read("qa-matrix.yml", text)
    found = in_order(schema.placed(read, schema.faults(read.data)))
    # Keys that exclude each other are underlined where their mapping begins.
    lines = {each.place.line for each in found if each.code != fault_codes.EXCLUSIVE}
    underlined = {line for line, _ in server.diagnostics(text)}
    assert underlined
    assert underlined >= lines


def test_what_a_vendor_does_not_offer_is_said_in_words(server: Server) -> None:
    found = server.diagnostics(f"{ENTRY}    vendor: docketqa\n    tags: [smoke]\n")
    assert (6, "docketqa has suites: name one in category_ids, or single tests in test_ids") in found
    found = server.diagnostics(f"{ENTRY}    vendor: doksi\n    test_ids: [abc123]\n    platfrom: web\n")
    assert found == [(7, "Property platfrom is not allowed.")]


# --- hovering ---------------------------------------------------------------------------------------------------------


def test_a_text_of_the_wrong_form_is_told_in_words(server: Server) -> None:
    entry = "    vendor: doksi\n    test_ids: [abc123]\n    timeout: soon\n"
    found = " ".join(message for _, message in server.diagnostics(f"{ENTRY}{entry}"))
    assert "expected a duration such as 30s, 10m or 1h30m" in found
    assert "[0-9]" not in found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{ENTRY}    plat‸form: web\n", ["What the tests run on", "* `android`: An Android app."]),
        (f"{ENTRY}    retries: {{ fai‸led: 1 }}\n", ["#### Number", "after one with failed tests", "`0`"]),
        (f"{ENTRY}    tar‸get: {{ web_url: x }}\n", ["#### Target", 'web_url: "{{ env.STAGING_URL }}"']),
        (f"{ENTRY}    variants:\n      web:\n        time‸out: 5m\n", ["`1h30m`", "Default: `1h`"]),
        (f"{HEAD}ga‸te: {{ min_tests: 1 }}\n", ["#### Gate", "What has to hold"]),
        (f"{HEAD}vendors:\n  cer‸tyn: {{ project: a }}\n", ["Settings of Certyn", "CERTYN_API_KEY"]),
        (f"{ENTRY}    vendor: testerarmy\n    options: {{ mo‸de: fast }}\n", ["Options of TesterArmy", "* `deep`"]),
        (f"{HEAD}env:\n  LOCALE: {{ for‸mat: uri }}\n", ["* `hostname`: A host name"]),
    ],
)
def test_hovering_teaches(server: Server, text: str, shown: list[str]) -> None:
    found = server.hover(text)
    assert [words for words in shown if words not in found] == [], found


def test_hovering_shows_no_word_of_the_programs_own(server: Server) -> None:
    for line in ("ve‸ndor: doksi", "artif‸acts: []", "quaran‸tine: {}", "o‸ptions: {}", "test_‸ids: [a]"):
        found = server.hover(f"{ENTRY}    {line}\n")
        assert len(found) > 60, line
        assert "x-" not in re.sub(r"\(.*\)", "", found)


# --- completion -------------------------------------------------------------------------------------------------------


def keys_of(definition: str) -> set[str]:
    return set(json.loads(schema.text())["$defs"][definition]["properties"])


def test_keys_are_completed(server: Server) -> None:
    offered = set(server.completion(f"{ENTRY}    ‸"))
    assert offered >= keys_of("entry") - {"id"}
    assert "entry at Doksi" in offered
    assert set(server.completion("‸")) >= {"version", "name", "matrix", "gate", "env"}
    assert set(server.completion(f"{ENTRY}    target:\n      ‸")) >= keys_of("target")
    assert set(server.completion(f"{ENTRY}    variants:\n      web:\n        ‸")) >= keys_of("variant")
    assert set(server.completion(f"{HEAD}vendors:\n  ‸")) >= {"doksi", "docketqa", "testerarmy", "certyn"}


def test_options_are_those_of_the_entrys_vendor(server: Server) -> None:
    offered = server.completion(f"{ENTRY}    vendor: testerarmy\n    options:\n      ‸")
    assert {"mode", "pull_request"} <= set(offered)
    assert "instruction" not in offered
    assert "instruction" in server.completion(f"{ENTRY}    vendor: certyn\n    options:\n      ‸")


def test_values_are_completed(server: Server) -> None:
    assert set(server.completion(f"{ENTRY}    platform: ‸")) - {"null"} == {"web", "android", "ios"}
    assert set(server.completion(f"{ENTRY}    vendor: ‸")) >= {"doksi", "docketqa", "testerarmy", "certyn"}
    assert set(server.completion(f"{HEAD}env:\n  A:\n    format: ‸")) >= {"uri", "hostname"}


def test_what_a_snippet_inserts_is_valid(server: Server) -> None:
    offered = server.completion(f"{HEAD}matrix:\n  - ‸")
    snippets = {label: text for label, text in offered.items() if label.startswith("entry at ")}
    assert len(snippets) == 4
    for label, text in snippets.items():
        entry = re.sub(r"\$\{\d+:([^}]*)\}", r"\1", text).replace("\n", "\n  ")
        assert server.diagnostics(f"{HEAD}matrix:\n  - {entry}\n") == [], label


def test_names_of_a_lock_are_completed(tmp_path: Path) -> None:
    names = {
        NameKind.TESTS: {"Checkout flow": "12 at docketqa", "Is it: odd?": "13 at docketqa"},
        NameKind.CATEGORIES: {"Smoke": "7 at docketqa"},
        NameKind.ENVIRONMENTS: {"Staging": "9 at testerarmy"},
    }
    path = tmp_path / "qa-matrix.schema.json"
    path.write_text(published.for_editors(names=names), encoding="utf-8")
    with started(["node", str(PATH)], path) as server:
        # Any other name may stand there as well, until the lock says what it is.
        assert server.diagnostics(f"{ENTRY}    vendor: docketqa\n    tests: [Another, Checkout flow]\n") == []
        offered = server.completion(f"{ENTRY}    vendor: docketqa\n    tests: [‸]")
        assert {"Checkout flow", '"Is it: odd?"'} <= set(offered)
        assert "Smoke" in server.completion(f"{ENTRY}    vendor: docketqa\n    categories:\n    - ‸")
        assert "Staging" in server.completion(f"{ENTRY}    vendor: testerarmy\n    target:\n      environment: ‸")

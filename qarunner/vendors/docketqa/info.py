"""What is known of DocketQA as data: how it is reached, how often it may be asked, and what it can do.

Sources: docs.docketqa.com/api-reference and /essentials; "client" is the vendor's action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.vendors.api import (
    Auth,
    BuildRules,
    Capabilities,
    InventoryKind,
    Pacing,
    Starter,
    VendorInfo,
    options_go_with,
    refuse,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.decode import Json

_URL: Mapping[str, Json] = {
    "type": "string",
    "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/?# \\t\\r\\n][^ \\t\\r\\n]*$",
    "x-expected": "a URL that begins with https:// or http://",
}


def _number(expected: str, hint: str | None = None) -> dict[str, Json]:
    """Documented: all ids are integers; the manifest may have them as text."""
    return {
        "type": ["integer", "string"],
        "minimum": 0,
        "maximum": 10**18 - 1,
        "pattern": "^[0-9]{1,18}$",
        "x-expected": f"{expected}, which is a whole number",
        **({"x-hint": hint} if hint else {}),
    }


OPTIONS: Mapping[str, Json] = {
    "app_id": {
        "type": "integer",
        "minimum": 1,
        "description": "The id of DocketQA's app that target.binary or target.target_id is a build of",
        "examples": [7],
        "x-expected": "the number of an app, such as 7",
    },
    "set_current": {
        "type": "boolean",
        "description": "true: make the build the app's current one, which moves it for everybody; builds need it",
        "examples": [True],
    },
    "build_name": {
        "type": "string",
        "minLength": 1,
        "description": "What the uploaded build is called, unique within the app; else its file's name and a mark",
        "examples": ["{{ git.short_sha }}"],
    },
    "login_url": {
        **_URL,
        "description": "With category_ids: where the suite's account signs in, instead of the saved address",
        "examples": ["https://staging.example.com/login"],
    },
    "test_urls": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[0-9]{1,18}$", "x-expected": "the id of a test, which is a whole number"},
        "additionalProperties": {**_URL},
        "description": "With category_ids: addresses of single tests of the suite by their ids, before target.web_url",
        "examples": [{"12": "https://staging.example.com/cart"}],
        "x-expected": "a mapping of test ids to URLs",
        "x-hint": 'write `test_urls: { "12": "https://…" }`',
    },
}

_MAX_BYTES = 1_073_741_824

RULES = {
    Platform.ANDROID: BuildRules(endings=(".apk", ".xapk", ".apks", ".apkm"), max_bytes=_MAX_BYTES),
    Platform.IOS: BuildRules(endings=(".zip",), max_bytes=_MAX_BYTES),  # a simulator's .app
}

_UPLOADED = "docketqa runs the current build of an app: upload one with target.binary, or name one in target.target_id"

_BUILDS = frozenset({TargetKind.BINARY, TargetKind.TARGET_ID})

CAPABILITIES = Capabilities(
    # Documented: a test knows its own device type, so that the platform may be left out.
    targets={
        None: _BUILDS | {TargetKind.WEB_URL},  # only an upload needs it, and `check` asks for it
        Platform.WEB: frozenset({TargetKind.WEB_URL}),
        Platform.ANDROID: _BUILDS,
        Platform.IOS: _BUILDS,
    },
    target_required=False,
    selections=frozenset({SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS}),
    # The documented create takes one suite; the client's route would take several, but promises no verdicts.
    several_ids=False,
    integer_ids=True,
    builds=RULES,
    instead={
        "binary_url": _UPLOADED,
        "bundle_id": _UPLOADED,
        "environment": "docketqa saves addresses with its tests; target.web_url gives a suite another one",
        "tags": "docketqa has suites: name one in category_ids, or single tests in test_ids",
        "artifacts": "docketqa signs in as its tests say: set the account up there; "
        "options.login_url moves a suite's login",
    },
)

WHERE_IDS = {
    SelectionKind.TEST_IDS: "the number stands in DocketQA's list of tests, GET /test_blueprint/list, as id",
    SelectionKind.CATEGORY_IDS: "the number stands in DocketQA's list of tests, GET /test_blueprint/list, "
    "as test_blueprint_category_id",
}

NO_ADDRESS = "docketqa cannot point single tests at a web_url: they start at the address saved with them"

NAME_SUITE = (
    "name their suite in category_ids: target.web_url and options.test_urls work there; or change the saved test"
)

OF_SUITES = ("login_url", "test_urls")

OF_BUILDS = ("app_id", "set_current", "build_name")

CONSENT = (
    "target.{} needs options.set_current: true. "
    "DocketQA's tests always run the app's current build, so that pinning one changes it for everybody"
)

GIVE_CONSENT = "write options.set_current: true if that is meant, or leave the target out"


def _with_target(target: Json, options: Mapping[str, Json]) -> Json:
    return {
        "if": {"required": ["target"], "properties": {"target": target}},
        "then": {"properties": {"options": {"properties": dict(options)}}},
    }


RULES_OF_ENTRIES: Mapping[str, Json] = {
    "properties": {
        **{str(kind): {"items": _number("an id of DocketQA", where)} for kind, where in WHERE_IDS.items()},
        "target": {"properties": {"target_id": _number("the id of a build at DocketQA")}},
    },
    "allOf": [
        {
            "if": {"required": ["test_ids"]},
            "then": {
                "properties": {
                    "target": {"properties": {"web_url": refuse(NO_ADDRESS, NAME_SUITE)}},
                    "options": {"properties": options_go_with("a suite in category_ids", *OF_SUITES, hint=NAME_SUITE)},
                }
            },
        },
        _with_target(
            {"not": {"anyOf": [{"required": ["binary"]}, {"required": ["target_id"]}]}},
            options_go_with("target.binary or target.target_id", *OF_BUILDS),
        ),
        _with_target({"required": ["target_id"]}, options_go_with("target.binary", "build_name")),
    ],
}

RULES_OF_ROWS: tuple[Json, ...] = tuple(
    _with_target(
        {"required": [str(kind)]},
        {"set_current": {**refuse(CONSENT.format(kind), GIVE_CONSENT), "not": {"const": False}}},
    )
    for kind in (TargetKind.BINARY, TargetKind.TARGET_ID)
)

STARTER = Starter(
    entry="""\
  - id: login
    vendor: docketqa
    platform: web
    target: { web_url: "{{ env.STAGING_URL }}" }
    category_ids: [7]                   # the number of your suite at DocketQA
""",
    tests="A suite",
    snippet={"category_ids": ["${2:7}"]},
)

INFO = VendorInfo(
    name="docketqa",
    title="DocketQA",
    docs="https://docs.docketqa.com/api-reference/introduction",
    base_url="https://api.docketqa.com",
    url_env=("QARUNNER_DOCKETQA_URL",),
    key_env="DOCKET_API_KEY",
    # Documented on every reference page; one guide shows a Bearer header instead.
    auth=Auth(headers={"X-API-KEY": "{key}"}),
    capabilities=CAPABILITIES,
    inventories=frozenset({InventoryKind.TEST, InventoryKind.CATEGORY, InventoryKind.APP}),
    pacing=Pacing(every_s=5, max_s=30),  # assumed: neither an interval nor a rate is documented
    summary="Web, Android and iOS: `test_ids` or one suite in `category_ids`.",
    collection="suite",
    options=OPTIONS,
    rules=RULES_OF_ENTRIES,
    row_rules=RULES_OF_ROWS,
    starter=STARTER,
)

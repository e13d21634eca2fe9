"""What is known of TesterArmy as data: how it is reached, how often it may be asked, and what it can do.

Sources: docs.tester.army and the vendor's OpenAPI file.
"""

from __future__ import annotations

from enum import StrEnum
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

UUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

_LIKE_ID = "an id looks like 3f2b8c1e-5d4a-4c7b-9e6f-0a1b2c3d4e5f; a name does not do"

UUID: Mapping[str, Json] = {
    "type": "string",
    "pattern": UUID_PATTERN,
    "x-expected": "an id of TesterArmy, which is a UUID",
    "x-hint": _LIKE_ID,
}

REMOVE_AFTER_S = 86_400
"""When TesterArmy removes an upload whose entry says nothing: without the field it would stay for ever."""

OPTIONS: Mapping[str, Json] = {
    "mode": {
        "type": "string",
        "enum": ["fast", "deep"],
        "description": "How thoroughly a single test is run; with test_ids",
        "examples": ["deep"],
    },
    "device_model": {
        "type": "string",
        "enum": ["iphone", "ipad"],
        "description": "The simulated device of ios tests; with test_ids or category_ids",
        "examples": ["iphone"],
    },
    "project_environment_id": {
        **UUID,
        "description": "The id of a saved environment, where the target is something else; not for pull requests",
        "examples": ["3f2b8c1e-5d4a-4c7b-9e6f-0a1b2c3d4e5f"],
    },
    "environment_label": {
        "type": "string",
        "enum": ["production", "staging", "preview", "custom"],
        "description": "What kind of environment a group runs against; a web_url without it is marked as preview",
        "examples": ["staging"],
    },
    "build_id": {
        "type": "string",
        "minLength": 1,
        "description": "Your own id of the app's build; with category_ids or pull_request",
        "examples": ["{{ git.short_sha }}"],
    },
    "artifact_filename": {
        "type": "string",
        "minLength": 1,
        "description": "The file name of target.binary_url, where the URL does not end in it",
        "examples": ["app.apk"],
    },
    "simulator_region": {
        "type": "string",
        "enum": ["eu-north1", "us-west1"],
        "description": "Where the simulators of a pull request's app run",
        "examples": ["eu-north1"],
    },
    "pull_request": {
        "type": "boolean",
        "default": False,
        "description": "true: TesterArmy plans the tests of this build's pull request itself, in place of test_ids",
        "examples": [True],
    },
    "title": {
        "type": "string",
        "minLength": 1,
        "maxLength": 500,
        "x-expected": "a text of at most 500 characters",
        "description": "The pull request's title; its number if left out",
        "examples": ["{{ git.branch }}"],
    },
    "description": {
        "type": "string",
        "maxLength": 5000,
        "x-expected": "a text of at most 5000 characters",
        "description": "The pull request's description",
        "examples": ["Checks the new cart"],
    },
    "base_branch": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "x-expected": "a branch of at most 255 characters",
        "description": "The branch that the pull request is to be merged into",
        "examples": ["main"],
    },
    "remove_after": {
        "type": "integer",
        "minimum": 60,
        "maximum": 604800,
        "x-expected": "seconds, from 60 to 604800",
        "description": "After how many seconds TesterArmy removes the uploaded target.binary; default 86400",
        "examples": [86400],
    },
}

SETTINGS: Mapping[str, Json] = {
    "project": {
        "type": "string",
        "minLength": 1,
        "description": "The project's id or, without uploads, its short id; for pull requests and uploads",
        "examples": ["my-app"],
    },
}

# Documented as one list. assumed: an .app is for iOS and an .apk for Android, an archive may hold either.
_ARCHIVES = (".zip", ".tgz")

ENDINGS = {Platform.ANDROID: (".apk", *_ARCHIVES), Platform.IOS: (".app.zip", ".app.tar.gz", *_ARCHIVES)}

_MAX_BYTES = 20 * 1024**3
"""Documented of all temporary uploads of a project together: a larger file can never fit."""

RULES = {platform: BuildRules(endings=endings, max_bytes=_MAX_BYTES) for platform, endings in ENDINGS.items()}

_APPS = frozenset(
    {TargetKind.TARGET_ID, TargetKind.BUNDLE_ID, TargetKind.BINARY_URL, TargetKind.BINARY, TargetKind.ENVIRONMENT}
)

CAPABILITIES = Capabilities(
    targets={
        None: _APPS
        | {TargetKind.WEB_URL},  # the platform is the group's or the test's own; an app's is asked for in `check`
        Platform.WEB: frozenset({TargetKind.WEB_URL, TargetKind.ENVIRONMENT}),
        Platform.ANDROID: _APPS,
        Platform.IOS: _APPS,
    },
    target_required=False,
    selections=frozenset({SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS}),
    several_ids=False,
    several_tests=False,
    environment_ids=UUID_PATTERN,
    cancel=True,
    builds=RULES,
    instead={
        "tags": "testerarmy has groups: name one in category_ids, or a single test in test_ids",
        "artifacts": "testerarmy signs in as its tests and environments say: set the account up there",
    },
)


class Kind(StrEnum):
    """What one create starts; the text is how the manifest asks for it."""

    GROUP = "category_ids"
    TEST = "test_ids"
    PULL_REQUEST = "options.pull_request"


_ALL = frozenset(Kind)

_DEVICES = frozenset({Kind.GROUP, Kind.TEST})

_APP_KINDS = frozenset({Kind.GROUP, Kind.PULL_REQUEST})

_PULL_REQUEST = frozenset({Kind.PULL_REQUEST})

FITS: Mapping[str, frozenset[Kind]] = {
    "mode": frozenset({Kind.TEST}),
    "device_model": _DEVICES,
    "project_environment_id": _DEVICES,
    "environment_label": frozenset({Kind.GROUP}),
    "build_id": _APP_KINDS,
    "artifact_filename": _APP_KINDS,
    "simulator_region": _PULL_REQUEST,
    "title": _PULL_REQUEST,
    "description": _PULL_REQUEST,
    "base_branch": _PULL_REQUEST,
    "remove_after": _ALL,
    "pull_request": _ALL,
}
"""With what each option goes: the creates take different fields, and refuse what they do not know."""

_WAYS = "save it as an environment and name that in target.environment, or put the test into a group (category_ids)"

_UNFIT: Mapping[tuple[Kind, str], tuple[str, str]] = {
    (Kind.TEST, TargetKind.WEB_URL): ("testerarmy cannot point a single test at a web_url", _WAYS),
    (Kind.TEST, TargetKind.BINARY_URL): (
        "testerarmy cannot download an app for a single test",
        "upload it: target.binary, or target.target_id of an uploaded one; or put the test into a group (category_ids)",
    ),
    (Kind.TEST, TargetKind.BUNDLE_ID): (
        "testerarmy cannot find a single test's app by its bundle id",
        "name an uploaded app in target.target_id, or put the test into a group (category_ids)",
    ),
    (Kind.PULL_REQUEST, TargetKind.ENVIRONMENT): (
        "testerarmy cannot run a pull request against a saved environment",
        "give the address: target.web_url; or name a group in category_ids",
    ),
}

ONLY_WITH = {"artifact_filename": TargetKind.BINARY_URL, "remove_after": TargetKind.BINARY}

NEED_APP = ("build_id", "simulator_region")
"""Options of apps that name no target: a row's platform alone says that they do not fit."""

_CHOSEN = (
    "cannot stand beside options.pull_request: TesterArmy chooses the tests of a pull request",
    "take one of them out, or write an entry for each",
)

_NAMED_TWICE = ("the environment is named twice: here and in target.environment", "take one of them out")


def _where_fits(option: str) -> str:
    return " or ".join(kind for kind in Kind if kind in FITS[option])


def _unfit(kind: Kind) -> dict[str, Json]:
    """Schemas of the targets and options that do not go with what a create starts."""
    targets: dict[str, Json] = {name: refuse(*words) for (of, name), words in _UNFIT.items() if of is kind}
    options: dict[str, Json] = {}
    for name, fits in FITS.items():
        if kind not in fits:
            options |= options_go_with(_where_fits(name), name)
    return {"target": {"properties": targets}, "options": {"properties": options}}


def _only_options(properties: Mapping[str, Json]) -> Json:
    return {"properties": {"options": {"properties": dict(properties)}}}


_OF_PULL_REQUEST: Json = {
    "required": ["options"],
    "properties": {"options": {"required": ["pull_request"], "properties": {"pull_request": {"const": True}}}},
}

RULES_OF_ENTRIES: Mapping[str, Json] = {
    "properties": {
        "test_ids": {
            "items": dict(UUID),
        },
        "category_ids": {"items": dict(UUID)},
        "target": {"properties": {"target_id": dict(UUID)}},
    },
    "allOf": [
        *(
            {"if": {"required": [str(kind)], "not": _OF_PULL_REQUEST}, "then": {"properties": _unfit(kind)}}
            for kind in (Kind.TEST, Kind.GROUP)
        ),
        *(
            {
                "if": {"required": ["target"], "properties": {"target": {"not": {"required": [str(target)]}}}},
                "then": _only_options(options_go_with(f"target.{target}", name)),
            }
            for name, target in ONLY_WITH.items()
        ),
        {
            "if": {
                "required": ["target"],
                "properties": {"target": {"required": ["environment"]}},
                "not": _OF_PULL_REQUEST,
            },
            "then": _only_options({"project_environment_id": refuse(*_NAMED_TWICE)}),
        },
    ],
}

RULES_OF_ROWS: tuple[Json, ...] = (
    {
        "if": _OF_PULL_REQUEST,
        "then": {
            "properties": {
                **{str(kind): refuse(f"{kind} {_CHOSEN[0]}", _CHOSEN[1]) for kind in (Kind.TEST, Kind.GROUP)},
                **_unfit(Kind.PULL_REQUEST),
            }
        },
    },
    {
        "if": {"required": ["platform"], "properties": {"platform": {"const": "web"}}},
        "then": _only_options(options_go_with("platform android or ios", *NEED_APP)),
    },
    {
        "if": {"required": ["platform"], "properties": {"platform": {"enum": ["web", "android"]}}},
        "then": _only_options(options_go_with("platform ios", "device_model")),
    },
)

STARTER = Starter(
    entry="""\
  - id: search
    vendor: testerarmy
    platform: web
    target: { web_url: "{{ env.STAGING_URL }}" }
    category_ids: [3f2b8c1e-5d4a-4c7b-9e6f-0a1b2c3d4e5f]   # the id of your group at TesterArmy
""",
    tests="A group of tests",
    snippet={"category_ids": ["${2:3f2b8c1e-5d4a-4c7b-9e6f-0a1b2c3d4e5f}"]},
)

INFO = VendorInfo(
    name="testerarmy",
    title="TesterArmy",
    docs="https://docs.tester.army",
    base_url="https://tester.army/api/v1",
    url_env=("QARUNNER_TESTERARMY_URL",),
    key_env="TESTERARMY_API_KEY",
    key_begins="sk_",  # doc: auth/api-keys
    auth=Auth(headers={"Authorization": "Bearer {key}"}),
    capabilities=CAPABILITIES,
    inventories=frozenset(InventoryKind) - {InventoryKind.TAG},
    summary="Web, Android and iOS: one test, one group in `category_ids`, or a pull request.",
    collection="group",
    chosen_by_options={"required": ["pull_request"], "properties": {"pull_request": {"not": {"const": False}}}},
    rules=RULES_OF_ENTRIES,
    row_rules=RULES_OF_ROWS,
    pacing=Pacing(
        every_s=5, max_s=30
    ),  # assumed: the vendor's own tools poll every 10 s; no interval and no rates are documented
    options=OPTIONS,
    settings=SETTINGS,
    starter=STARTER,
)

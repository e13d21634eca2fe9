"""What is known of TesterArmy as data: how it is reached, how often it may be asked, and what it can do.

Sources: docs.tester.army and the vendor's OpenAPI file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.vendors.types import BuildRules, Capabilities, Pacing, Starter, VendorInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.decode import Json

UUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

OPTIONS: Mapping[str, Json] = {
    "mode": {
        "type": "string",
        "enum": ["fast", "deep"],
        "description": "How thoroughly a single test is run; with test_ids",
    },
    "device_model": {
        "type": "string",
        "enum": ["iphone", "ipad"],
        "description": "The simulated device of ios tests; with test_ids or category_ids",
    },
    "project_environment_id": {
        "type": "string",
        "pattern": UUID_PATTERN,
        "description": "The id of a saved environment, where the target is something else; not for pull requests",
    },
    "environment_label": {
        "type": "string",
        "enum": ["production", "staging", "preview", "custom"],
        "description": "What kind of environment a group runs against; a web_url without it is marked as preview",
    },
    "build_id": {
        "type": "string",
        "minLength": 1,
        "description": "Your own id of the app's build; with category_ids or pull_request",
    },
    "artifact_filename": {
        "type": "string",
        "minLength": 1,
        "description": "The file name of target.binary_url, where the URL does not end in it",
    },
    "simulator_region": {
        "type": "string",
        "enum": ["eu-north1", "us-west1"],
        "description": "Where the simulators of a pull request's app run",
    },
    "pull_request": {
        "type": "boolean",
        "description": "true: TesterArmy plans the tests of this build's pull request itself, in place of test_ids",
    },
    "title": {
        "type": "string",
        "minLength": 1,
        "maxLength": 500,
        "description": "The pull request's title; its number if left out",
    },
    "description": {"type": "string", "maxLength": 5000, "description": "The pull request's description"},
    "base_branch": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "description": "The branch that the pull request is to be merged into",
    },
    "remove_after": {
        "type": "integer",
        "minimum": 60,
        "maximum": 604800,
        "description": "After how many seconds TesterArmy removes the uploaded target.binary",
    },
}

SETTINGS: Mapping[str, Json] = {
    "project": {
        "type": "string",
        "minLength": 1,
        "description": "The project's id or, without uploads, its short id; for pull requests and uploads",
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
    cancel=True,
    builds=RULES,
    instead={
        "tags": "testerarmy has groups: name one in category_ids, or a single test in test_ids",
        "artifacts": "testerarmy signs in as its tests and environments say: set the account up there",
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
)

INFO = VendorInfo(
    name="testerarmy",
    title="TesterArmy",
    docs="https://docs.tester.army",
    base_url="https://tester.army/api/v1",
    url_env=("QARUNNER_TESTERARMY_URL",),
    key_env="TESTERARMY_API_KEY",
    auth=("Authorization", "Bearer {key}"),
    capabilities=CAPABILITIES,
    pacing=Pacing(every_s=10, max_s=30),  # the vendor's own tools poll every 10 s; no rates are documented
    options=OPTIONS,
    settings=SETTINGS,
    starter=STARTER,
)

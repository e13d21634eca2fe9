"""What is known of DocketQA as data: how it is reached, how often it may be asked, and what it can do.

Sources: docs.docketqa.com/api-reference and /essentials; "client" is the vendor's action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.vendors.types import BuildRules, Capabilities, Pacing, Starter, VendorInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.decode import Json

_URL = "^[Hh][Tt][Tt][Pp][Ss]?://[^/?# \\t\\r\\n][^ \\t\\r\\n]*$"

OPTIONS: Mapping[str, Json] = {
    "app_id": {
        "type": "integer",
        "minimum": 1,
        "description": "The id of DocketQA's app that target.binary or target.target_id is a build of",
    },
    "set_current": {
        "type": "boolean",
        "description": "true: make the build the app's current one, which moves it for everybody; builds need it",
    },
    "build_name": {
        "type": "string",
        "minLength": 1,
        "description": "What the uploaded build is called, unique within the app; else its file's name and a mark",
    },
    "login_url": {
        "type": "string",
        "pattern": _URL,
        "description": "With category_ids: where the suite's account signs in, instead of the saved address",
    },
    "test_urls": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[0-9]{1,18}$"},
        "additionalProperties": {"type": "string", "pattern": _URL},
        "description": "With category_ids: addresses of single tests of the suite by their ids, before target.web_url",
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
        None: _BUILDS | {TargetKind.WEB_URL},  # only an upload has to be told it, and `check` asks for it
        Platform.WEB: frozenset({TargetKind.WEB_URL}),
        Platform.ANDROID: _BUILDS,
        Platform.IOS: _BUILDS,
    },
    target_required=False,
    selections=frozenset({SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS}),
    # The documented create takes one suite; the client's route would take several, but promises no verdicts.
    several_ids=False,
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

STARTER = Starter(
    entry="""\
  - id: login
    vendor: docketqa
    platform: web
    target: { web_url: "{{ env.STAGING_URL }}" }
    category_ids: [7]                   # the number of your suite at DocketQA
""",
)

INFO = VendorInfo(
    name="docketqa",
    title="DocketQA",
    docs="https://docs.docketqa.com/api-reference/introduction",
    base_url="https://api.docketqa.com",
    url_env=("QARUNNER_DOCKETQA_URL",),
    key_env="DOCKET_API_KEY",
    auth=("X-API-KEY", "{key}"),  # documented on every reference page; one guide shows a Bearer header instead
    capabilities=CAPABILITIES,
    pacing=Pacing(every_s=10, max_s=30),  # assumed: neither an interval nor a rate is documented
    options=OPTIONS,
    starter=STARTER,
)

"""What is known of Doksi as data: how it is reached, how often it may be asked, and what it can do.

Sources: docs.doksi.ai/integrations/cicd and /api-reference.
"""

from __future__ import annotations

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.vendors.api import Auth, BuildRules, Capabilities, Pacing, Starter, VendorInfo

CAPABILITIES = Capabilities(
    targets={
        Platform.WEB: frozenset({TargetKind.WEB_URL}),
        Platform.ANDROID: frozenset({TargetKind.BINARY_URL, TargetKind.BINARY, TargetKind.TARGET_ID}),
    },
    target_required=True,
    selections=frozenset({SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS}),
    artifacts=True,
    # Documented: a zip of one .apk, or of base.apk with split_config.*.apk, which a folder holds here; a bare .apk is
    # zipped first. No size limit is documented.
    builds={Platform.ANDROID: BuildRules(endings=(".apk", ".zip"), folders=True, zips_of_apks=True)},
    instead={
        "ios": "doksi has no ios: platform is web or android",
        "tags": "doksi has no tags: name tests in test_ids, or categories in category_ids",
        "bundle_id": "doksi takes no bundle_id: an android app is a binary, a binary_url or a target_id",
        "environment": "doksi has no environments: web takes a web_url, android a binary, a binary_url or a target_id",
        "options": "doksi has no options; vendors.doksi.extra adds fields to the whole request",
    },
)

STARTER = Starter(
    entry="""\
  - id: checkout
    vendor: doksi
    platform: web
    labels: [smoke]
    target: { web_url: "{{ env.STAGING_URL }}" }
    test_ids: [abc123]                  # ids of your tests at Doksi, or category_ids
""",
    tests="Tests of a site",
    snippet={"platform": "web", "target": {"web_url": "${2:https://staging.example.com}"}, "test_ids": ["${3:abc123}"]},
)

INFO = VendorInfo(
    name="doksi",
    title="Doksi",
    docs="https://docs.doksi.ai/integrations/cicd",
    base_url="https://api.doksi.ai/external/integration/cicd",
    url_env=("QARUNNER_DOKSI_URL",),
    key_env="DOKSI_API_KEY",
    key_begins="dk_live_",  # doc
    auth=Auth(headers={"Authorization": "Bearer {key}"}),
    capabilities=CAPABILITIES,
    summary="Web and Android: `test_ids` or `category_ids`.",
    pacing=Pacing(every_s=10, max_s=15),  # what the documentation's examples do; no rates are documented
    settings={
        "extra": {
            "type": "object",
            "properties": {
                "matrix": {"not": {}, "errorMessage": "extra adds to the call; its matrix is made of the entries"}
            },
            "description": "More top-level fields of the create, passed through untouched; never `matrix`",
            "examples": [{"pull_request": 7}],
            "x-expected": "a mapping",
        },
    },
    starter=STARTER,
)

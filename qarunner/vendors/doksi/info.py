"""What is known of Doksi as data: how it is reached, how often it may be asked, and what it can do.

Sources: docs.doksi.ai/integrations/cicd and /api-reference.
"""

from __future__ import annotations

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.vendors.types import BuildRules, Capabilities, Pacing, Starter, VendorInfo

_NAMES = "doksi chooses tests by test_ids or category_ids"

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
        "ios": "doksi tests web and android",
        "tags": _NAMES,
        "bundle_id": "doksi takes a build: target.binary, an uploaded one's target_id, or a public APK's binary_url",
        "environment": "doksi is given an address: use target.web_url",
        "options": "doksi has none for an entry; vendors.doksi.extra adds fields to the whole request",
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
)

INFO = VendorInfo(
    name="doksi",
    title="Doksi",
    docs="https://docs.doksi.ai/integrations/cicd",
    base_url="https://api.doksi.ai/external/integration/cicd",
    url_env=("QARUNNER_DOKSI_URL",),
    key_env="DOKSI_API_KEY",
    auth=("Authorization", "Bearer {key}"),
    capabilities=CAPABILITIES,
    pacing=Pacing(every_s=10, max_s=15),  # what the documentation's examples do; no rates are documented
    settings={
        "extra": {
            "type": "object",
            "not": {"required": ["matrix"]},
            "description": "More top-level fields of the create, passed through untouched; never `matrix`",
        },
    },
    starter=STARTER,
)

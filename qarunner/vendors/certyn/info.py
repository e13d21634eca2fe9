"""What is known of Certyn as data: how it is reached, how often it may be asked, and what it can do.

Sources: dev.certyn.io/docs; "client" is the vendor's CLI and action.
"""

from __future__ import annotations

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.vendors.api import Auth, Capabilities, InventoryKind, Pacing, Starter, VendorInfo

_NO_BUILD = "certyn tests web environments, not builds: name one in target.environment, or give target.web_url"

_NO_DEVICE = "certyn tests the web only: platform can be web, or left out"

_TARGETS = frozenset({TargetKind.ENVIRONMENT, TargetKind.WEB_URL})

CAPABILITIES = Capabilities(
    targets={None: _TARGETS, Platform.WEB: _TARGETS},
    target_required=False,
    selections=frozenset({SelectionKind.CATEGORY_IDS, SelectionKind.TAGS}),
    several_ids=False,
    cancel=True,
    per_test_results=False,
    instead={
        "test_ids": "certyn cannot run single tests: test_ids is not offered; name a process in category_ids, or tags",
        "binary": _NO_BUILD,
        "binary_url": _NO_BUILD,
        "target_id": _NO_BUILD,
        "bundle_id": _NO_BUILD,
        "android": _NO_DEVICE,
        "ios": _NO_DEVICE,
        "artifacts": "certyn takes no artifacts: accounts belong to its environments",
    },
)

STARTER = Starter(
    entry="""\
  - id: release-smoke
    vendor: certyn
    category_ids: [smoke-suite]         # the slug of your process at Certyn
    target: { web_url: "{{ env.STAGING_URL }}" }
""",
    settings="""\
  certyn: { project: my-app }           # the project's slug
""",
    tests="A process",
    snippet={"category_ids": ["${2:smoke-suite}"]},
)

INFO = VendorInfo(
    name="certyn",
    title="Certyn",
    docs="https://dev.certyn.io/docs",
    base_url="https://api.certyn.io",
    url_env=("QARUNNER_CERTYN_URL", "CERTYN_API_URL"),
    url_suffix="/api",  # client (cli): CERTYN_API_URL stands with or without it
    key_env="CERTYN_API_KEY",
    key_begins="cyn_live_",  # doc: cli/auth-and-config
    # Whether a key with the scopes of CI alone may list is not documented.
    lists_need_more="a key with the ci: scopes alone may be refused lists; apply needs no list",
    auth=Auth(headers={"X-API-Key": "{key}"}),
    capabilities=CAPABILITIES,
    inventories=frozenset(InventoryKind) - {InventoryKind.TEST, InventoryKind.APP},
    summary="The web: one process in `category_ids`, `tags`, or an instruction.",
    collection="process",
    chosen_by_options={"required": ["instruction"]},
    # Documented as typical limits of a tenant, with polls every 10 to 30 s.
    pacing=Pacing(every_s=10, max_s=30, reads=60, creates=20, all=100, hint_s=(10, 30)),
    idempotency_header="Idempotency-Key",
    options={
        "instruction": {
            "type": "string",
            "minLength": 1,
            "description": "Free text for Certyn's agent",
            "examples": ["Buy a book as a guest"],
        },
    },
    settings={
        "project": {"type": "string", "minLength": 1, "description": "The project's slug", "examples": ["my-app"]},
        "environment": {
            "type": "string",
            "minLength": 1,
            "description": "The environment of entries without a target; else the project's default one. Each "
            "target.web_url gets a new environment, for which the key needs the scope platform:manage",
            "examples": ["staging"],
        },
        "details": {
            "type": "boolean",
            "description": "Whether to ask for the single tests of a run that ended: two more reads, for which the key "
            "needs the scope execution:read. Default true; without them the report shows numbers",
            "examples": [False],
        },
    },
    starter=STARTER,
    settings_env={"project": "CERTYN_PROJECT", "environment": "CERTYN_ENVIRONMENT"},
)

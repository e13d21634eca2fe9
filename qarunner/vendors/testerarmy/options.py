"""The three things that TesterArmy can be asked to run, and which of its fields belong to which.

Sources: docs.tester.army and the vendor's OpenAPI file.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, TypeGuard

from qarunner.entry import SelectionKind
from qarunner.secret import OPEN

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from qarunner.decode import Json
    from qarunner.vendors.api import Metadata


UUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


_UUID = re.compile(UUID_PATTERN)


class Kind(StrEnum):
    """What one create starts; the text is how the manifest asks for it."""

    GROUP = "category_ids"
    TEST = "test_ids"
    PULL_REQUEST = "options.pull_request"


def kind_of(selections: Container[str], options: Mapping[str, object]) -> Kind | None:
    """What a row or an entry asks for; None if it asks for nothing."""
    if options.get("pull_request") is True:
        return Kind.PULL_REQUEST
    if SelectionKind.TEST_IDS in selections:
        return Kind.TEST
    return Kind.GROUP if SelectionKind.CATEGORY_IDS in selections else None


def on_github(metadata: Metadata) -> bool:
    """Whether the build's pull request is one of GitHub's: the only provider that is documented.

    By the repository's host where that is known, else by the CI: most of them build the repositories of any host.
    """
    return metadata.host == "github" if metadata.host else metadata.ci in {None, "github"}


def is_open(value: object) -> TypeGuard[str]:
    """Whether a text is known only later: a template is rendered, or a secret's placeholder revealed."""
    return isinstance(value, str) and any(mark in value for mark in ("{{", "{%", OPEN))


def is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


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

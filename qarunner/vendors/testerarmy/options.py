"""The three things that TesterArmy can be asked to run, and which of its fields belong to which.

Sources: docs.tester.army and the vendor's OpenAPI file.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, TypeGuard

from qarunner.entry import SelectionKind
from qarunner.secret import OPEN
from qarunner.vendors.testerarmy.info import UUID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from qarunner.vendors.api import Metadata


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

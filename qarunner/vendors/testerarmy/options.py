"""The three things that TesterArmy can be asked to run, and which of its fields belong to which.

Sources: docs.tester.army and the vendor's OpenAPI file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qarunner.entry import SelectionKind
from qarunner.vendors.testerarmy.info import UUID_PATTERN, Kind

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from qarunner.vendors.api import Metadata


_UUID = re.compile(UUID_PATTERN)


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


def is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None

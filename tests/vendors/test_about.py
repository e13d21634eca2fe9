"""An answer has to be about the run that was asked about, and says each thing once."""

from __future__ import annotations

import pytest

from qarunner.decode import JsonReader, UnexpectedData
from qarunner.vendors.api import Reply
from qarunner.vendors.replies import check_about, path_id

ID = "aaaaaaaa-0000-4000-8000-00000000000b"


def test_an_id_that_is_told_is_the_one_that_was_asked_about() -> None:
    for right in (None, ID, ID.upper()):
        check_about(JsonReader(right), ID)
    check_about(JsonReader(17), "17")
    wrong: list[object] = ["ffffffff-0000-4000-8000-00000000000b", "", 17, {}, [], True]
    for told in wrong:
        with pytest.raises(UnexpectedData):
            check_about(JsonReader(told), ID)


def test_only_a_uuid_has_no_case() -> None:
    with pytest.raises(UnexpectedData):
        check_about(JsonReader("k3N2"), "k3n2")


@pytest.mark.parametrize(
    "text",
    ['{"status": "failed", "status": "passed"}', '{"a": [{"x": 1, "y": 2, "x": 1}]}', '{"a": 1, "\\u0061": 1}'],
)
def test_an_object_that_says_two_things_under_one_key_is_unreadable(text: str) -> None:
    with pytest.raises(UnexpectedData, match="stands twice"):
        Reply(status=200, text=text).json()


@pytest.mark.parametrize("found", [".", "..", "../r1", "a/../b", "a\\..\\b", "r1/."])
def test_an_id_that_leads_to_another_resource_is_none(found: str) -> None:
    """A create that is answered so is in doubt: its run could never be asked for."""
    with pytest.raises(UnexpectedData):
        path_id(JsonReader(found, "reply $.run_id"))
    assert path_id(JsonReader("a/..b", "reply $.run_id")) == "a/..b"

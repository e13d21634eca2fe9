"""The conformance suite for adapters: what qarunner's own vendors pass, and what a plugin's author runs.

    from qarunner.testing import Conformance, Example

    class TestAcme(Conformance):
        vendor = VENDOR
        examples = [Example(rows=[…], created={…}, passed={…}, failed={…}, running={…})]

pytest collects the class; nothing here imports pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qarunner.testing.adapter import Example, Scene, closed_world
from qarunner.testing.dropped import check_nothing_dropped
from qarunner.testing.inventories import check_inventories
from qarunner.testing.mutations import (
    check_crossing,
    check_failure_stays,
    check_no_early_pass,
    check_no_inventions,
    check_other_runs,
    check_pages,
    check_repeated_result,
    check_unknown_words,
)
from qarunner.testing.suite import (
    check_examples,
    check_groups,
    check_ids,
    check_info,
    check_integer_ids,
    check_refusals,
    check_replies,
    check_requests,
    check_resources,
    check_templates,
    check_timing_out,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qarunner.vendors.api import Vendor

__all__ = ["Conformance", "Example"]


class Conformance:
    """Inherit from it, with a name that begins with `Test`. Each method is a promise that the engine relies on."""

    vendor: ClassVar[Vendor]
    examples: ClassVar[Sequence[Example]]

    def _scenes(self) -> list[Scene]:
        assert __debug__, "python -O takes the assertions out, and with them the suite"
        assert self.examples, "the suite needs at least one Example"
        return [Scene(self.vendor, example) for example in self.examples]

    def _check_all(self, check: Callable[[Scene], None]) -> None:
        with closed_world():
            for scene in self._scenes():
                check(scene)

    # --- what it says of itself ---------------------------------------------------------------------------------------

    def test_info_is_complete(self) -> None:
        """Names, variables, capabilities, pacing and schemas are complete and of one mind."""
        check_info(self.vendor)

    # --- what it sends ------------------------------------------------------------------------------------------------

    def test_calls_hold_every_entry_once(self) -> None:
        """`group` puts each entry into exactly one call, in order: nothing is lost, nothing is paid twice."""
        with closed_world():
            check_groups(self._scenes())

    def test_requests_can_be_sent(self) -> None:
        """Paths are relative and quoted, bodies are JSON, and resources that they refer to are asked for."""
        self._check_all(check_requests)

    def test_nothing_of_a_manifest_is_dropped(self) -> None:
        """Another option, setting, id or tag gives another call, and a create tells the commit if it tells a branch."""
        with closed_world():
            check_nothing_dropped(self._scenes())

    def test_ids_cannot_leave_their_segment(self) -> None:
        """Whatever an id holds, a path leads to the same place."""
        self._check_all(check_ids)

    def test_integer_ids_need_no_quotes(self) -> None:
        """With `integer_ids`, ids without quotes give the same request, and other texts are refused."""
        self._check_all(check_integer_ids)

    def test_resources_are_made(self) -> None:
        """`prepare` comes to an end that has every value that the create names."""
        self._check_all(check_resources)

    def test_rows_are_checked_before_they_are_rendered(self) -> None:
        """`check` bears templates in place of every text."""
        self._check_all(check_templates)

    # --- what it reads ------------------------------------------------------------------------------------------------

    def test_examples_are_read(self) -> None:
        """Passed is passed, failed is failed, running is neither, `ends` have their verdicts; all replies are read."""
        self._check_all(check_examples)

    def test_a_run_that_never_ends_times_out(self) -> None:
        """However often it is asked for, a run that goes on is not over; what is certain of it is no pass."""
        self._check_all(check_timing_out)

    def test_unknown_words_are_no_pass(self) -> None:
        """An undocumented status is not taken for a good one."""
        self._check_all(check_unknown_words)

    def test_a_failure_stays_one(self) -> None:
        """Whatever single thing is missing or odd in the replies of a failed run, it does not pass."""
        self._check_all(check_failure_stays)

    def test_a_run_that_goes_on_has_not_passed(self) -> None:
        """Whatever single thing is missing or odd in the replies of a run that goes on, it does not pass."""
        self._check_all(check_no_early_pass)

    def test_no_sign_of_a_failure_is_passed_over(self) -> None:
        """Each thing in which `failed`, or one of `ends`, differs from `passed`, put there alone, loses the pass."""
        self._check_all(check_crossing)

    def test_passes_are_not_invented(self) -> None:
        """A test without a result does not pass, and no reply that lost something has more passes than before."""
        self._check_all(check_no_inventions)

    def test_an_answer_is_about_this_run(self) -> None:
        """A reply that names another run, or another test, than the one that was asked about is no pass."""
        self._check_all(check_other_runs)

    def test_a_repeated_result_counts_once(self) -> None:
        """One id is one result, in every list of results."""
        self._check_all(check_repeated_result)

    def test_every_page_is_read_once(self) -> None:
        """A page that comes again and again ends, and is no pass; an empty page adds no pass."""
        self._check_all(check_pages)

    def test_inventories_are_read_to_their_end(self) -> None:
        """All pages are read, each element is an item with its id and name, and no list is read for ever."""
        with closed_world():
            check_inventories(self._scenes())

    def test_garbage_is_never_a_pass(self) -> None:
        """Any reply at all is read, or refused with UnexpectedData; garbage is no run and no pass."""
        self._check_all(check_replies)

    def test_refusals_have_words(self) -> None:
        """`refused` says something about every error answer, and knows a refused credential."""
        self._check_all(check_refusals)

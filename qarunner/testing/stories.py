"""The example's own stories: passed is passed, failed is failed, running is neither."""

# ruff: noqa: S101  a conformance suite asserts

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qarunner.entry import SelectionKind
from qarunner.testing.example import reply_of
from qarunner.testing.greener import good_tests
from qarunner.vendors.api import GOOD, Running, Verdict

if TYPE_CHECKING:
    from qarunner.testing.example import Scene
    from qarunner.vendors.api import Outcome

BROKEN = frozenset({Verdict.FAILED, Verdict.BLOCKED})


def check_examples(scene: Scene) -> None:
    """Each story as it was told."""
    _check_runs(scene)
    _check_passed(scene)
    _check_failed(scene)
    _check_running(scene)
    if scene.example.nothing is not None:
        _check_nothing(scene)


def _check_runs(scene: Scene) -> None:
    for run in scene.runs:
        told = f"{scene.adapter.name}: accepted: memo has to survive being written down: {run.memo}"
        try:
            same = json.loads(json.dumps(run.memo, allow_nan=False)) == run.memo
        except (TypeError, ValueError) as error:
            raise AssertionError(told) from error
        assert same, told
        linked = run.url is None or run.url.startswith(("https://", "http://"))
        assert linked, f"{scene.adapter.name}: accepted: url: {run.url!r} is no address"


def _check_passed(scene: Scene) -> None:
    name, outcomes = scene.adapter.name, scene.outcomes(scene.created, scene.story(scene.example.passed))
    assert outcomes is not None, f"{name}: the example's `passed` is not over, or not understood"
    for entry in scene.call.entries:
        outcome = outcomes[entry.id]
        assert outcome.verdict in GOOD, f"{name}: passed: {entry.id} is {outcome}"
        _check_shape(name, outcome)
        if scene.adapter.vendor.info.capabilities.per_test_results and entry.selection:
            passed = {case.id for case in outcome.cases if case.verdict in GOOD}
            missing = set(entry.selection.ids) - passed
            single = entry.selection.kind is SelectionKind.TEST_IDS
            assert not (single and missing), (
                f"{name}: passed: {entry.id}: no result for {missing}, only {outcome.cases}"
            )
        assert good_tests(outcome) > 0, f"{name}: passed: {entry.id}: no test finished"


def _check_failed(scene: Scene) -> None:
    name, outcomes = scene.adapter.name, scene.outcomes(scene.created, scene.story(scene.example.failed))
    assert outcomes is not None, f"{name}: the example's `failed` is not over, or not understood"
    verdicts = {key: str(outcome.verdict) for key, outcome in outcomes.items()}
    assert BROKEN.intersection(verdicts.values()), f"{name}: the example's `failed` has no failure: {verdicts}"
    for outcome in outcomes.values():
        _check_shape(name, outcome)


def _check_running(scene: Scene) -> None:
    name, story = scene.adapter.name, scene.story(scene.example.running)
    statuses = [
        scene.adapter.read(scene.call, run, story[run.id], polls=polls) for run in scene.runs for polls in (0, 9)
    ]
    running = [status for status in statuses if isinstance(status, Running)]
    assert running, f"{name}: the example's `running` is over: {statuses}"
    for status in running:
        assert status.note, f"{name}: running without a word"
        assert status.wait_s is None or status.wait_s >= 0, f"{name}: a hint of {status.wait_s} s"


def _check_nothing(scene: Scene) -> None:
    """An answer that starts no run says so: without runs, and, as always then, without a pass."""
    found = scene.adapter.accepted(scene.call, reply_of(scene.example.nothing, scene.job.request, 0))
    assert not isinstance(found, tuple), f"{scene.adapter.name}: the example's `nothing` starts runs: {found}"


def _check_shape(name: str, outcome: Outcome) -> None:
    """Types that no codec would miss, but reports would."""
    verdicts: list[object] = [outcome.verdict, *outcome.counts, *(case.verdict for case in outcome.cases)]
    odd = [verdict for verdict in verdicts if not isinstance(verdict, Verdict)]
    assert not odd, f"{name}: expected Verdicts, got {odd}"
    assert all(case.id for case in outcome.cases), f"{name}: a case has an id: {outcome.cases}"

"""A scenario means what it says, and what it cannot mean is an error with a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qarunner.emulator import Scenario, ScenarioError, load_scenario, read_scenario, serve
from qarunner.emulator.strict import seconds_of

UUID = "22222222-2222-4222-8222-222222222222"


def load(folder: Path, text: str) -> Scenario:
    file = folder / "scenario.yml"
    file.write_text(text, encoding="utf-8")
    return load_scenario(file)


def test_an_empty_file_lets_everything_pass(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing\n") == Scenario()


def test_words_like_on_are_text_and_ids_stay_as_they_are_written(tmp_path: Path) -> None:
    text = """
        doksi:
          tests: { yes: failed, 2026-01-01: failed, 12:30: failed, 1e5: failed, 007: failed }
          faults: [ { on: POST /runs, status: 500, body: { error: off } } ]
    """
    doksi = load(tmp_path, text).doksi
    assert list(doksi.tests.named) == ["yes", "2026-01-01", "12:30", "1e5", "007"]
    assert (doksi.faults[0].on, doksi.faults[0].body) == ("POST /runs", {"error": "off"})


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    text = "doksi: { tests: { a: &slow { duration: 1m }, b: { <<: *slow, outcome: failed } } }"
    (course,) = load(tmp_path, text).doksi.tests.named["b"]
    assert (course.duration, course.outcome) == (60, "failed")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200ms", 0.2), ("3s", 3), ("1.5s", 1.5), ("10m", 600), ("1h30m", 5400), (2, 2), (0.25, 0.25), ("0s", 0)],
)
def test_durations(text: object, seconds: float) -> None:
    assert seconds_of(text, "") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "3", "3 s", "-3s", "1s1m", -1, True, None, [3]])
def test_other_durations_are_errors(text: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        seconds_of(text, "at")


def test_a_course_inherits_the_default_of_its_section() -> None:
    doksi: dict[str, Any] = {"default": {"duration": "9s"}, "tests": {"a": "failed", "b": ["failed", {"queued": 1}]}}
    named = read_scenario({"doksi": doksi}).doksi.tests.named
    assert [(course.outcome, course.duration) for course in named["a"]] == [("failed", 9)]
    assert [(course.outcome, course.queued) for course in named["b"]] == [("failed", 0.5), ("passed", 1)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "expected an object, got a list"),
        (
            {"doski": {}},
            "unknown field 'doski'; did you mean 'doksi'? valid: speed, doksi, docketqa, testerarmy, certyn",
        ),
        ({"speed": 0}, "speed: must be more than 0"),
        ({"speed": "fast"}, "speed: expected a number, got a string"),
        ({"doksi": None}, "doksi: expected an object, got null"),
        ({"doksi": {"test": {}}}, "doksi: unknown field 'test'; did you mean 'tests'?"),
        ({"doksi": {"tests": {"a": "stopped"}}}, "doksi.tests.a.outcome: unknown value 'stopped'"),
        ({"doksi": {"tests": {"a": {"time": 1}}}}, "doksi.tests.a: unknown field 'time'"),
        ({"doksi": {"tests": {"a": []}}}, "doksi.tests.a: must not be empty"),
        ({"doksi": {"tests": {12: "failed"}}}, "doksi.tests key 12: looks like a number: put it in quotes"),
        ({"doksi": {"allowance": True}}, "doksi.allowance: expected an integer, got a boolean"),
        ({"doksi": {"extra_fields": {"x": "maybe"}}}, "doksi.extra_fields.x: unknown value 'maybe'"),
        ({"docketqa": {"tests": {"login": "failed"}}}, "expected an integer"),
        ({"docketqa": {"apps": {5: {"name": "x"}}}}, "docketqa.apps.5.platform: is required"),
        ({"testerarmy": {"tests": {"login": "failed"}}}, "expected a UUID, got 'login'"),
        ({"testerarmy": {"tests": {UUID: "skipped"}}}, "unknown value 'skipped'"),
        ({"certyn": {"processes": {"s": {"total": 1, "failed": 2}}}}, "certyn.processes.s: failed, blocked, aborted"),
        ({"certyn": {"scopes": ["ci:all"]}}, "certyn.scopes[0]: unknown value 'ci:all'"),
        ({"certyn": {"rates": {"writes": 1}}}, "certyn.rates: unknown field 'writes'"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_a_path(data: object, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_scenario(data)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("doksi: [", "not valid YAML"),
        ("speed: 1\nspeed: 2\n", "duplicate key 'speed'"),
        ("doksi: { tset: 1 }", "unknown field 'tset'"),
        ("? [a]\n: 1\n", "not valid YAML"),
        ("!!python/object:os.system {}", "not valid YAML"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "scenario.yml"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nowhere\.yml: cannot be read"):
        load_scenario(tmp_path / "nowhere.yml")


def test_the_scenario_of_the_manual_can_be_served(tmp_path: Path) -> None:
    manual = Path(__file__).parents[2] / "docs" / "emulator.md"
    text = manual.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    scenario = load(tmp_path, text)
    serve(scenario).close()
    assert (scenario.speed, scenario.doksi.allowance, scenario.certyn.invisible_polls) == (10, 50, 2)

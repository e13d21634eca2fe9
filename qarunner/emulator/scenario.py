"""Reads a scenario file: what the emulated vendors do, by id, and which of their calls go wrong.

A scenario is YAML, every key optional. A key that is not named here is an error. Durations are written `200ms`, `3s`,
`10m`, `1h30m`, or as a number of seconds. Words like `on` and `yes` are plain text.

    speed: 1                       # how much faster than real time runs advance; rate limits are not scaled
    doksi: {…}                     # one section a vendor: doksi, docketqa, testerarmy, certyn

How a run of a test goes (a *course*) is a mapping, or just its outcome, or a list of them: the n-th run of that test
takes the n-th, and the last one repeats (`[failed, passed]` is a flaky test).

    name: Checkout flow            # else made from the id
    outcome: passed                # see the vendor; `hang` never ends
    duration: 3s                   # from the creation to the end
    queued: 500ms                  # the first part of it
    word: aborted                  # the final status word, in place of the outcome's own (not for Certyn)
    message: Button not found      # the reason, where a vendor tells one

In every section:

    default: passed                # the course of every id that is not named below (Certyn: completed)
    only_known: true               # refuse ids that are not named; without it, every id of the right shape exists
    faults: [{on: POST /runs, call: 2, status: 500}]    # see faults.py, which documents every key

doksi (outcomes passed, failed, hang):

    tests: {abc123: {name: Checkout flow, outcome: failed, duration: 5s}}
    categories: {cat_search: [s1, s2]}   # an unnamed category `x` holds three tests: `x-1`, `x-2`, `x-3`
    allowance: 50                  # tests that may still run; a create beyond it is refused with requested, remaining
    accounts: [acc_789]            # if given, every other account is refused
    targets: [build7]              # target ids that exist besides the uploaded ones and `bin_…`
    extra_fields: {pull_request: required, note: optional}   # top-level fields of a create besides `matrix`

certyn (outcomes completed, cancelled, hang; a course has counters):

    default: {total: 3}
    processes: {smoke-suite: {total: 5, failed: 1, blocked: 0, aborted: 0, skipped: 0, conclusion: success}}
    tags: {checkout: {total: 2, outcome: hang}}       # the first tag of a create that is named here counts;
                                                      # the list of test cases has so many of each
    projects: [my-app]             # if given, every other slug is refused
    environments: [staging]        # if given, every other key is refused, but those created through the API
    default_environment: production
    scopes: ["ci:trigger", "ci:status", "ci:cancel", "execution:read", "platform:manage"]     # the default: all
    invisible_polls: 0             # the first N polls of each run answer 404
    retry_after: 10s               # retryAfterSeconds of a run in progress, divided by the speed
    rates: {all: 100, reads: 60, creates: 20}         # per minute of the real clock

docketqa (outcomes passed, failed, stopped, error, hang; all ids are integers):

    tests: {12: {name: Login, outcome: failed}}
    suites: {"7": [12, 13]}        # or {name: Smoke, tests: [12]}; an unnamed suite N holds N*100+1 to N*100+3
    paused: [13]                   # tests whose status is so
    login_run: false               # true: every group run holds one more run, `is_login_test_run`
    ci_run_lists_tests: false      # whether trigger_ci_run's reply holds `test_runs` (unknown of the real one)
    folders: {/checkout: [12]}     # where saved tests stand in the list; all others are in `/`
    apps: {5: {name: Shop, platform: android, builds: [31, 32]}}

testerarmy (outcomes passed, failed, infra, cancelled, skipped, never, hang; ids are UUIDs):

    tests: {…uuid…: failed}        # infra: status `failed`; never: a 202 whose run is cancelled at once
    groups: {…uuid…: [uuid, uuid]} # or {name: Smoke, tests: [uuid], sequential: true}; an unnamed one holds three tests
    disabled: [uuid]               # tests that a group leaves out
    pull_request: skipped          # the course of pull-request runs; skipped: the planner declined
    projects: {…uuid…: shop}       # short ids, or {name: Shop, short: shop, url: "https://…", kind: web, tests: [uuid],
                                   # groups: [uuid], environments: {…uuid…: Staging}}; an unnamed one exists as well
    webhooks: {…uuid…: [uuid]}     # the groups that a webhook starts; without it, the group of the webhook's own id
    sequential: false              # true: a group's tests run one after another
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeVar

import yaml
from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.emulator.sections import (
    CertynSection,
    DocketqaSection,
    DoksiSection,
    TesterarmySection,
    read_certyn,
    read_docketqa,
    read_doksi,
    read_testerarmy,
)
from qarunner.emulator.strict import Fields, Wrong, number

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from pathlib import Path

    from qarunner.emulator.strict import Reader

T = TypeVar("T")


class ScenarioError(ValueError):
    """A scenario that cannot be used; the text says what is wrong, and where."""


class Scenario(Struct, frozen=True, kw_only=True):
    """What the emulated vendors do; without any field, everything passes."""

    speed: float = 1.0
    doksi: DoksiSection = field(default_factory=DoksiSection)
    docketqa: DocketqaSection = field(default_factory=DocketqaSection)
    testerarmy: TesterarmySection = field(default_factory=TesterarmySection)
    certyn: CertynSection = field(default_factory=CertynSection)

    def at_speed(self, speed: float | None) -> Scenario:
        """The same scenario at another speed; None keeps its own."""
        return self if speed is None else replace(self, speed=_checked(read_speed, speed, "speed"))


def load_scenario(file: Path) -> Scenario:
    """Reads a scenario from a YAML file."""
    return parse_scenario(read_text(file), str(file))


def read_text(file: Path) -> str:
    """A scenario's file as text."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{file}: cannot be read: {error}") from error


def scenario_of(projects: Mapping[str, str]) -> str:
    """A scenario that has a project for each vendor whose runs have to find theirs in a list, and nothing else.

    Else a slug of Certyn becomes a project when a run names it, which is too late to make an environment in it.
    """
    return json.dumps({name: {"projects": [slug]} for name, slug in projects.items() if name == "certyn"})


def parse_scenario(source: str, name: str) -> Scenario:
    """Reads a scenario from YAML; `name` is what a message calls it."""
    try:
        data = yaml.load(source, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise ScenarioError(f"{name}: not valid YAML: {error}") from error
    try:
        return read_scenario({} if data is None else data)
    except ScenarioError as error:
        raise ScenarioError(f"{name}: {error}") from None


def read_scenario(data: object) -> Scenario:
    """Reads a scenario from plain data."""
    return _checked(_read, data, "")


def read_speed(value: object, path: str) -> float:
    """A speed: a number over 0."""
    speed = number(value, path)
    if not 0 < speed < float("inf"):
        raise Wrong(path, "must be more than 0")
    return speed


def _read(value: object, path: str) -> Scenario:
    with Fields(value, path) as fields:
        return Scenario(
            speed=fields.take("speed", read_speed, 1.0),
            doksi=fields.take("doksi", read_doksi, DoksiSection()),
            docketqa=fields.take("docketqa", read_docketqa, DocketqaSection()),
            testerarmy=fields.take("testerarmy", read_testerarmy, TesterarmySection()),
            certyn=fields.take("certyn", read_certyn, CertynSection()),
        )


def _checked(read: Reader[T], value: object, path: str) -> T:
    try:
        return read(value, path)
    except Wrong as wrong:
        raise ScenarioError(str(wrong)) from None


class _Loader(yaml.SafeLoader):
    """YAML in which `on`, `yes`, `12:30` and dates stay text, and a key stands only once."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (PyYAML fills and reads it there)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:  # noqa: FBT001, FBT002 (PyYAML's signature)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value!r}", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("merge", "<<", "<"),
    ("null", "~|null|", "~n"),
    ("bool", "true|false", "tf"),
    ("int", "[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?[0-9]+\.[0-9]+", "-+0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*_first, ""])

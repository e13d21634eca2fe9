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
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

import yaml
from msgspec import Struct, field
from msgspec.structs import replace

from qarunner.emulator.faults import Fault, read_fault
from qarunner.emulator.strict import (
    Fields,
    Reader,
    Wrong,
    flag,
    list_of,
    mapping_of,
    number,
    one_of,
    record,
    seconds_of,
    text,
    uuid_text,
    web_address,
    whole,
)
from qarunner.emulator.world import HANG, Course, Timed

if TYPE_CHECKING:
    from pathlib import Path


C = TypeVar("C")

SCOPES = ("ci:trigger", "ci:status", "ci:cancel", "execution:read", "platform:manage")


# --- values of fields -------------------------------------------------------------------------------------------------


def whole_key(value: object, path: str) -> int:
    """An integer id, also where YAML made it a text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return whole(least=1)(value, path)


def whole_text(value: object, path: str) -> str:
    """An integer id as text."""
    return str(whole_key(value, path))


def text_key(value: object, path: str) -> str:
    """A textual id; one that YAML reads as a number keeps its digits only in quotes."""
    if isinstance(value, int):
        raise Wrong(path, "looks like a number: put it in quotes")
    return text(value, path)


def read_speed(value: object, path: str) -> float:
    """A speed: a number over 0."""
    speed = number(value, path)
    if not 0 < speed < float("inf"):
        raise Wrong(path, "must be more than 0")
    return speed


def _several(read: Reader[C]) -> Reader[tuple[C, ...]]:
    def read_several(value: object, path: str) -> tuple[C, ...]:
        return list_of(read, least=1)(value, path) if isinstance(value, list) else (read(value, path),)

    return read_several


# --- how runs go ------------------------------------------------------------------------------------------------------


class Known(Struct, Generic[C], frozen=True, kw_only=True):
    """The ids that a section names, each with its courses in the order of its runs."""

    default: C
    named: Mapping[str, tuple[C, ...]] = field(default_factory=dict)
    only: bool = False


class Courses(Generic[C]):
    """Deals out courses: the n-th run of an id takes its n-th, and the last one repeats."""

    def __init__(self, known: Known[C]) -> None:
        self._known = known
        self._runs: dict[str, int] = {}

    def exists(self, key: str | int) -> bool:
        """Whether the vendor knows this id."""
        return str(key) in self._known.named or not self._known.only

    def first(self, key: str | int) -> C:
        """The course of an id's first run, without running it."""
        return self._known.named.get(str(key), (self._known.default,))[0]

    def deal(self, key: str | int) -> C:
        """The course of the next run of an id."""
        turn = self._runs.get(str(key), 0)
        self._runs[str(key)] = turn + 1
        courses = self._known.named.get(str(key), (self._known.default,))
        return courses[min(turn, len(courses) - 1)]


class Process(Timed, frozen=True, kw_only=True):
    """How one Certyn run goes: a course with counters."""

    outcome: str = "completed"
    total: Annotated[int, whole(least=0)] = 3
    failed: Annotated[int, whole(least=0)] = 0
    blocked: Annotated[int, whole(least=0)] = 0
    aborted: Annotated[int, whole(least=0)] = 0
    skipped: Annotated[int, whole(least=0)] = 0
    conclusion: Annotated[str | None, text] = None


R = TypeVar("R", bound=Timed)


def read_course(outcomes: tuple[str, ...], default: R) -> Reader[R]:
    """Reads one course: a mapping, or its outcome alone."""
    outcome = one_of(*outcomes, HANG)

    def read(value: object, path: str) -> R:
        with Fields({"outcome": value} if isinstance(value, str) else value, path) as fields:
            return fields.fill(type(default), default, outcome=fields.take("outcome", outcome, default.outcome))

    return read


def read_process(default: Process) -> Reader[Process]:
    """Reads one Certyn process, whose counters must fit into its total."""
    read_one = read_course(("completed", "cancelled"), default)

    def read(value: object, path: str) -> Process:
        process = read_one(value, path)
        if process.failed + process.blocked + process.aborted + process.skipped > process.total:
            raise Wrong(path, f"failed, blocked, aborted and skipped are more than the total of {process.total}")
        return process

    return read


def _known(fields: Fields, named: str, key: Reader[str], read: Callable[[R], Reader[R]], plain: R) -> Known[R]:
    """The courses under `default` and, by their ids, under `named`; `read` reads one over a default."""
    default = fields.take("default", read(plain), plain)
    courses = fields.maybe(named, mapping_of(key, _several(read(default)))) or {}
    return Known(default=default, named=courses, only=fields.take("only_known", flag, default=False))


def _tests(fields: Fields, key: Reader[str], *outcomes: str) -> Known[Course]:
    return _known(fields, "tests", key, partial(read_course, outcomes), Course())


# --- the sections: each field with what reads it ----------------------------------------------------------------------

_FAULTS = list_of(read_fault)


class Group(Struct, frozen=True, kw_only=True):
    """A named collection of tests, by their ids."""

    name: Annotated[str | None, text] = None
    tests: tuple[str, ...] = ()
    sequential: Annotated[bool, flag] = False


def _read_group(identifier: Reader[str]) -> Reader[Group]:
    """A group is a mapping, or the ids of its tests alone."""

    def read(value: object, path: str) -> Group:
        with Fields({"tests": value} if isinstance(value, list) else value, path) as fields:
            return fields.fill(Group, tests=fields.maybe("tests", list_of(identifier)) or ())

    return read


class DoksiSection(Struct, frozen=True, kw_only=True):
    """The section `doksi`."""

    tests: Known[Course] = field(default_factory=lambda: Known(default=Course()))
    faults: Annotated[tuple[Fault, ...], _FAULTS] = ()
    categories: Annotated[Mapping[str, tuple[str, ...]], mapping_of(text_key, list_of(text_key))] = field(
        default_factory=dict
    )
    allowance: Annotated[int | None, whole(least=0)] = None
    accounts: Annotated[tuple[str, ...] | None, list_of(text_key)] = None
    targets: Annotated[tuple[str, ...], list_of(text_key)] = ()
    extra_fields: Annotated[Mapping[str, str], mapping_of(text, one_of("required", "optional"))] = field(
        default_factory=dict
    )


def read_doksi(value: object, path: str) -> DoksiSection:
    with Fields(value, path) as fields:
        return fields.fill(DoksiSection, tests=_tests(fields, text_key, "passed", "failed"))


_RATES = {"all": 100, "reads": 60, "creates": 20}


def _read_rates(value: object, path: str) -> Mapping[str, int]:
    with Fields(value, path) as fields:
        return {name: fields.take(name, whole(least=1), rate) for name, rate in _RATES.items()}


class CertynSection(Struct, frozen=True, kw_only=True):
    """The section `certyn`."""

    processes: Known[Process] = field(default_factory=lambda: Known(default=Process()))
    tags: Mapping[str, tuple[Process, ...]] = field(default_factory=dict)
    faults: Annotated[tuple[Fault, ...], _FAULTS] = ()
    projects: Annotated[tuple[str, ...] | None, list_of(text, least=1)] = None
    environments: Annotated[tuple[str, ...] | None, list_of(text)] = None
    default_environment: Annotated[str, text] = "production"
    scopes: Annotated[tuple[str, ...], list_of(one_of(*SCOPES))] = SCOPES
    invisible_polls: Annotated[int, whole(least=0)] = 0
    retry_after: Annotated[float, seconds_of] = 10.0
    rates: Annotated[Mapping[str, int], _read_rates] = field(default_factory=lambda: _RATES)


def read_certyn(value: object, path: str) -> CertynSection:
    with Fields(value, path) as fields:
        known = _known(fields, "processes", text_key, read_process, Process())
        tags = fields.maybe("tags", mapping_of(text_key, _several(read_process(known.default)))) or {}
        return fields.fill(CertynSection, processes=known, tags=tags)


class App(Struct, frozen=True, kw_only=True):
    """An app that DocketQA has at the start."""

    name: Annotated[str, text]
    platform: Annotated[str, one_of("android", "ios")]
    builds: Annotated[tuple[int, ...], list_of(whole(least=1))] = ()


class DocketqaSection(Struct, frozen=True, kw_only=True):
    """The section `docketqa`."""

    tests: Known[Course] = field(default_factory=lambda: Known(default=Course()))
    faults: Annotated[tuple[Fault, ...], _FAULTS] = ()
    suites: Annotated[Mapping[str, Group], mapping_of(whole_text, _read_group(whole_text))] = field(
        default_factory=dict
    )
    paused: Annotated[tuple[int, ...], list_of(whole_key)] = ()
    login_run: Annotated[bool, flag] = False
    ci_run_lists_tests: Annotated[bool, flag] = False
    folders: Annotated[Mapping[str, tuple[int, ...]], mapping_of(text, list_of(whole_key))] = field(
        default_factory=dict
    )
    apps: Annotated[Mapping[int, App], mapping_of(whole_key, record(App))] = field(default_factory=dict)


def read_docketqa(value: object, path: str) -> DocketqaSection:
    with Fields(value, path) as fields:
        return fields.fill(DocketqaSection, tests=_tests(fields, whole_text, "passed", "failed", "stopped", "error"))


class Project(Struct, frozen=True, kw_only=True):
    """A project of TesterArmy: its environments by their ids, and the ids of its tests and groups."""

    name: Annotated[str | None, text] = None
    short: Annotated[str | None, text_key] = None
    url: Annotated[str | None, web_address] = None
    kind: Annotated[str, one_of("web", "mobile")] = "web"
    environments: Annotated[Mapping[str, str], mapping_of(uuid_text, text)] = field(default_factory=dict)
    tests: Annotated[tuple[str, ...], list_of(uuid_text)] = ()
    groups: Annotated[tuple[str, ...], list_of(uuid_text)] = ()


class TesterarmySection(Struct, frozen=True, kw_only=True):
    """The section `testerarmy`. A project is a mapping, or its short id alone."""

    tests: Known[Course] = field(default_factory=lambda: Known(default=Course()))
    faults: Annotated[tuple[Fault, ...], _FAULTS] = ()
    groups: Annotated[Mapping[str, Group], mapping_of(uuid_text, _read_group(uuid_text))] = field(default_factory=dict)
    disabled: Annotated[tuple[str, ...], list_of(uuid_text)] = ()
    webhooks: Annotated[Mapping[str, tuple[str, ...]], mapping_of(uuid_text, list_of(uuid_text, least=1))] = field(
        default_factory=dict
    )
    pull_request: tuple[Course, ...] = (Course(),)
    projects: Annotated[Mapping[str, Project], mapping_of(uuid_text, record(Project, alone="short"))] = field(
        default_factory=dict
    )
    sequential: Annotated[bool, flag] = False


def read_testerarmy(value: object, path: str) -> TesterarmySection:
    outcomes = ("passed", "failed", "infra", "cancelled", "never")
    with Fields(value, path) as fields:
        tests = _tests(fields, uuid_text, *outcomes)
        pull_request = _several(read_course((*outcomes, "skipped"), tests.default))
        courses = fields.maybe("pull_request", pull_request) or (tests.default,)
        return fields.fill(TesterarmySection, tests=tests, pull_request=courses)


# --- the whole --------------------------------------------------------------------------------------------------------


class ScenarioError(ValueError):
    """A scenario that cannot be used; the text says what is wrong, and where."""


class Scenario(Struct, frozen=True, kw_only=True):
    """What the emulated vendors do; without any field, everything passes."""

    speed: Annotated[float, read_speed] = 1.0
    doksi: Annotated[DoksiSection, read_doksi] = field(default_factory=DoksiSection)
    docketqa: Annotated[DocketqaSection, read_docketqa] = field(default_factory=DocketqaSection)
    testerarmy: Annotated[TesterarmySection, read_testerarmy] = field(default_factory=TesterarmySection)
    certyn: Annotated[CertynSection, read_certyn] = field(default_factory=CertynSection)

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
    scenario: Scenario = _checked(record(Scenario), data, "")
    return scenario


def _checked(read: Reader[C], value: object, path: str) -> C:
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

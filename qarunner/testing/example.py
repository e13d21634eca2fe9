"""What an author tells of a vendor, and the scene that is made of it: a plan, a create, and runs that are read."""

# ruff: noqa: S101  a conformance suite asserts

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from qarunner.cursor import Json, UnexpectedData
from qarunner.engine.outcomes import merge
from qarunner.errors import ManifestError
from qarunner.manifest.expand import check_rows, expand
from qarunner.manifest.load import load
from qarunner.plan.blame import AdapterBug
from qarunner.plan.compile import compile_plan
from qarunner.plan.model import from_json, to_json
from qarunner.vendors.api import Build, Finished, Metadata, More, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.manifest.model import Manifest, Row
    from qarunner.plan.model import Job, Plan
    from qarunner.testing.adapter import Adapter
    from qarunner.vendors.api import BuildRules, Call, Outcome, RemoteRun, Request, Vendor

Body: TypeAlias = "Json | Reply"
Told: TypeAlias = "Body | tuple[Body, ...] | Callable[[Request], Body]"
"""A body of JSON; a tuple of bodies, one for each request in turn; or a function from the request to its body."""

Runs: TypeAlias = "Mapping[str, Sequence[Reply]]"

MOST_REPLIES = 20
"""An adapter that asks for more than this about one run or resource would ask for ever."""

METADATA = Metadata(
    repository="acme/shop",
    ref="refs/heads/main",
    commit="0123456789abcdef0123456789abcdef01234567",
    event="push",
    build_url="https://ci.example.com/builds/7",
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """Entries that share one create call, and what the vendor answers.

    `rows` are entries as a manifest has them, without `vendor`. `created` answers the create; `passed`, `failed` and
    `running` answer what is then asked of each run, in three stories. A body is JSON, or a whole `Reply`. Where `read`
    asks for more, give a tuple of bodies; where answers depend on the run, a function of the request. `made` answers
    the requests of `prepare`, where the vendor needs uploads or environments. `nothing` answers the create where the
    vendor takes it, but starts no run.
    """

    rows: Sequence[Mapping[str, Json]]
    created: Body
    passed: Told
    failed: Told
    running: Told
    made: Told = ()
    nothing: Body = None
    settings: Mapping[str, Json] = field(default_factory=dict)
    metadata: Metadata = METADATA


def reply_of(told: Told, request: Request, number: int) -> Reply:
    """The answer to a request, which is the one of that number about its run or resource."""
    if callable(told):
        body = told(request)
    elif isinstance(told, tuple):
        assert number < len(told), f"the example has {len(told)} answers, but one more is asked for: {request}"
        body = told[number]
    else:
        assert number == 0, f"the example has one answer, but more is asked for: {request}; give a tuple of them"
        body = told
    return body if isinstance(body, Reply) else Reply(status=200, text=json.dumps(body))


class Scene:
    """An example, carried out by the adapter. Everything in it went through the same code as in an apply."""

    def __init__(self, adapter: Adapter, example: Example) -> None:
        self.adapter = adapter
        self.example = example

    @cached_property
    def manifest(self) -> Manifest:
        name = self.adapter.name
        rows = [{"vendor": name, **row} for row in self.example.rows]
        vendors = {name: dict(self.example.settings)} if self.example.settings else {}
        data = {"version": 1, "name": "conformance", "vendors": vendors, "matrix": rows}
        return load("example", json.dumps(data, indent=1))

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        return expand(self.manifest)

    @cached_property
    def plan(self) -> Plan:
        """The plan, written down and read again. AssertionError if a row is not a valid one."""
        try:
            plan = self._compiled()
        except ManifestError as error:
            told = "\n".join(f"{each} ({each.hint})\n  {each.source}" for each in error.diagnostics)
            raise AssertionError(f"the example's rows are refused:\n{told}") from error
        except AdapterBug as error:
            raise AssertionError(str(error.__cause__ or error)) from error
        again = from_json(to_json(plan), path=Path("plan.json"))
        assert again == plan, "a plan has to be the same after it was written down: is all of it plain JSON?"
        return again

    def _compiled(self) -> Plan:
        problems = check_rows(self.manifest, self.rows)
        if problems:
            raise ManifestError(problems)
        return compile_plan(
            manifest=self.manifest,
            rows=self.rows,
            settings={self.adapter.name: self.example.settings},
            vendors={self.adapter.name: cast("Vendor", self.adapter)},  # so that these calls are watched as well
            secrets=(),
            metadata=self.example.metadata,
            git={},
            ci={},
            tool="conformance",
            measure=_measured,
            today=date.min,  # no quarantine has ended
        )

    @property
    def job(self) -> Job:
        jobs = self.plan.jobs
        assert len(jobs) == 1, f"{len(jobs)} create calls for one example: write an Example for each"
        return jobs[0]

    @cached_property
    def call(self) -> Call:
        return self.plan.call(self.job, self.plan.entry_map())

    @property
    def created(self) -> Reply:
        return reply_of(self.example.created, self.job.request, 0)

    @cached_property
    def runs(self) -> tuple[RemoteRun, ...]:
        try:
            runs = self.adapter.accepted(self.call, self.created)
        except UnexpectedData as error:
            raise AssertionError(f"{self.adapter.name}: the example's `created` is not understood: {error}") from error
        assert isinstance(runs, tuple), f"{self.adapter.name}: the example's `created` starts no run: {runs}"
        return runs

    # --- stories ------------------------------------------------------------------------------------------------------

    def story(self, told: Told) -> dict[str, list[Reply]]:
        """The replies about each run, as the adapter asks for them."""
        found: dict[str, list[Reply]] = {}
        for run in self.runs:
            replies = found[run.id] = [reply_of(told, self.adapter.poll(self.call, run), 0)]
            while isinstance(status := self.adapter.read(self.call, run, replies), More):
                replies.append(reply_of(told, status.request, len(replies)))
                assert len(replies) < MOST_REPLIES, f"{self.adapter.name}: read asks for more and more"
        return found

    def outcomes(self, created: Reply, story: Runs) -> dict[str, Outcome] | None:
        """What these replies come to, with the engine's own last net; None while anything is not over.

        A run or a request that the story does not have is not found.
        """
        try:
            runs = self.adapter.accepted(self.call, created)
            if not isinstance(runs, tuple):
                return dict(runs.outcomes) if isinstance(runs, Finished) else None
            finished = [self._finished(run, story.get(run.id, ())) for run in runs]
        except UnexpectedData:
            return None
        over = [each for each in finished if each is not None]
        if len(over) < len(finished):
            return None
        return {entry.id: merge([each[entry.id] for each in over if entry.id in each]) for entry in self.call.entries}

    def _finished(self, run: RemoteRun, story: Sequence[Reply]) -> Mapping[str, Outcome] | None:
        replies: list[Reply] = []
        for number in range(MOST_REPLIES):
            replies.append(story[number] if number < len(story) else Reply(status=404, text="not found"))
            status = self.adapter.read(self.call, run, replies)
            if not isinstance(status, More):
                return status.outcomes if isinstance(status, Finished) else None
        raise AssertionError(f"{self.adapter.name}: read asks for more and more")


def _measured(path: str, rules: BuildRules | None) -> Build:
    """A build that nobody has to have."""
    del rules
    return Build(path=path, filename=path.rpartition("/")[2], size=4096, sha256="ab" * 32)

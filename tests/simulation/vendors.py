"""The emulated vendors in virtual time, reached without a network: what they were asked for, and what is true of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from requests.structures import CaseInsensitiveDict

from qarunner.emulator.certyn.api import Certyn
from qarunner.emulator.docketqa.api import Docketqa
from qarunner.emulator.doksi.api import Doksi
from qarunner.emulator.messages import Answer, Body, Call, Refused
from qarunner.emulator.strict import Wrong
from qarunner.emulator.testerarmy.api import Testerarmy
from qarunner.emulator.world import Ids, Phase, Stored, Timeline, new_world
from qarunner.vendors.api import Reply
from tests.worlds import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qarunner.emulator.messages import Endpoint, Vendor
    from qarunner.emulator.scenario import Scenario
    from qarunner.emulator.world import Made

ROOT = "https://emulated.test"
KEYS = {
    "doksi": ("Authorization", "Bearer dk_live_" + "0" * 40),
    "docketqa": ("X-API-KEY", "docket-key-of-a-simulation"),
    "testerarmy": ("Authorization", "Bearer sk_simulated"),
    "certyn": ("X-API-Key", "cyn_live_simulated"),
}
Told: TypeAlias = "tuple[dict[str, str], float]"
"""A run's tests in words, and when it ends or has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it reaches a vendor."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One vendor run as its vendor knows it: by test, `running`, `cancelled`, or how the test ended.

    `ended_at` is when it ended, or will.
    """

    vendor: str
    id: str
    create: str
    made_at: float
    ended_at: float
    tests: Mapping[str, str]

    @property
    def running(self) -> bool:
        return "running" in self.tests.values()

    @property
    def passed(self) -> bool:
        return set(self.tests.values()) == {"passed"}


class Market:
    """All four vendors. Nothing goes wrong here: what does is the network's doing, or the disk's."""

    def __init__(self, scenario: Scenario, clock: Callable[[], float], seed: str) -> None:
        timeline = Timeline(clock, scenario.speed, datetime.fromtimestamp(EPOCH, UTC))
        self._world = new_world(ROOT, timeline, Ids(seed))
        self._doksi = Doksi(self._world, scenario.doksi)
        self._docketqa = Docketqa(self._world, scenario.docketqa)
        self._testerarmy = Testerarmy(self._world, scenario.testerarmy)
        self._certyn = Certyn(self._world, scenario.certyn)
        vendors: list[Vendor] = [self._doksi, self._docketqa, self._testerarmy, self._certyn]
        self._vendors = {vendor.name: vendor for vendor in vendors}
        self._routes = {vendor.name: list(_routes(vendor.endpoints())) for vendor in vendors}

    # --- being asked ------------------------------------------------------------------------------------------------

    def answer(self, vendor: str, asked: Asked) -> Reply:
        """Does what is asked for, and says what the vendor says."""
        try:
            found = self._answer(vendor, asked)
        except Wrong as wrong:
            found = self._refusal(vendor, Refused(400, str(wrong)))
        except Refused as refused:
            found = self._refusal(vendor, refused)
        return _reply(found)

    def _refusal(self, vendor: str, refused: Refused) -> Answer:
        body = self._vendors[vendor].error(refused.status, refused.message, refused.extra)
        return Answer(status=refused.status, body=body, headers=refused.headers)

    def _answer(self, vendor: str, asked: Asked) -> Answer:
        if asked.path.startswith(f"{ROOT}/storage/"):
            return self._stored(vendor, asked)
        parts = asked.path.strip("/").split("/")
        for endpoint, template in self._routes[vendor]:
            params = _params(template, parts) if endpoint.method == asked.method else None
            if params is not None:
                call = Call(path=asked.path, params=params, headers=CaseInsensitiveDict(asked.headers))
                if too_early := self._vendors[vendor].admit(call, endpoint):
                    return too_early
                query: dict[str, object] = {name: endpoint.query[name](text, name) for name, text in asked.query}
                if asked.body is not None and endpoint.body is Body.NONE:
                    raise Refused(400, "this route takes no body")
                return endpoint.answer(call.with_input(query, asked.body))
        raise Refused(404, f"no route {asked.path}")

    def _stored(self, vendor: str, asked: Asked) -> Answer:
        token = asked.path.rpartition("/")[2].partition("?")[0]
        signature = asked.path.partition("?signature=")[2]
        headers = CaseInsensitiveDict(asked.headers)
        slot = self._world.storage.admit(vendor, token, {"signature": signature}, headers)
        slot.stored = Stored(size=3, sha256="", members=("app.apk",))
        return Answer(status=200)

    # --- what is true -----------------------------------------------------------------------------------------------

    def made(self) -> list[Made]:
        """Every run that any vendor made: each was paid for."""
        return self._world.ledger.runs

    def environments(self) -> list[str]:
        """The keys of the environments that are there."""
        return [each.key for each in self._world.ledger.environments if not each.deleted]

    def truths(self) -> list[Truth]:
        return [self.truth(made) for made in self.made()]

    def truth(self, made: Made) -> Truth:
        now = self._world.timeline.now()
        tests, ended = {
            "doksi": self._of_doksi,
            "docketqa": self._of_docketqa,
            "testerarmy": self._of_testerarmy,
            "certyn": self._of_certyn,
        }[made.vendor](made, now)
        return Truth(
            vendor=made.vendor,
            id=str(made.id),
            create=str(made.create),
            made_at=made.time,
            ended_at=ended,
            tests=tests,
        )

    def _of_doksi(self, made: Made, now: float) -> Told:
        run = self._doksi._runs[str(made.id)]
        elapsed = now - run.created
        ended = run.created + max(result.course.duration for result in run.results)
        words = {
            result.test: result.course.outcome if result.course.phase(elapsed) is Phase.OVER else "running"
            for result in run.results
        }
        return words, ended

    def _of_docketqa(self, made: Made, now: float) -> Told:
        run = self._docketqa._runs[int(made.id)]
        return {str(run.test): run.status(now)}, run.created + run.course.duration

    def _of_testerarmy(self, made: Made, now: float) -> Told:
        run = self._testerarmy._runs[str(made.id)]
        word = run.status(now)
        if word in {"queued", "running"}:
            word = "running"
        elif word == "completed":
            word = run.course.outcome
        return {str(run.test): word}, run.end(run.start())

    def _of_certyn(self, made: Made, now: float) -> Told:
        run = self._certyn._runs[str(made.id)]
        word = run.state(now)
        if word == "in_progress":
            word = "running"
        elif word == "completed":
            word = next((each for each in run.outcomes() if each != "passed"), "passed")
        return dict.fromkeys(run.selection, word), run._over_at()

    def forget_keys(self) -> None:
        """As a vendor does that keeps idempotency keys for a day."""
        self._certyn._keys.clear()


def credential(vendor: str) -> dict[str, str]:
    name, text = KEYS[vendor]
    return {name: text}


def _routes(endpoints: Iterable[Endpoint]) -> Iterable[tuple[Endpoint, list[str]]]:
    return [(endpoint, endpoint.path.strip("/").split("/")) for endpoint in endpoints]


def _params(template: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    """What stands in a path in place of `{name}`; None if it is another path."""
    if len(template) != len(parts):
        return None
    params = {}
    for wanted, part in zip(template, parts, strict=True):
        if wanted.startswith("{"):
            params[wanted[1:-1]] = part
        elif wanted != part:
            return None
    return params


def _reply(found: Answer) -> Reply:
    text = found.text if found.text is not None else "" if found.body is None else json.dumps(found.body)
    return Reply(status=found.status, text=text, headers={name.lower(): each for name, each in found.headers.items()})


def by_create(truths: Iterable[Truth]) -> Mapping[str, list[Truth]]:
    """Runs by the create that made them: one payment each."""
    found: defaultdict[str, list[Truth]] = defaultdict(list)
    for truth in truths:
        found[f"{truth.vendor} {truth.create}"].append(truth)
    return found

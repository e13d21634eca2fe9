"""What becomes of each request on its way to a vendor, by a world's dice: lost, late, refused, garbled, or answered."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from qarunner.engine.decide.interpret import Answer
from qarunner.vendors.api import Reply, Upload
from tests.fictional import LOST, UNREACHED
from tests.simulation.switches import on
from tests.simulation.vendors import ROOT, Asked, Market, credential
from tests.worlds import EPOCH

if TYPE_CHECKING:
    from qarunner.vendors.api import AnyRequest

HANGS_S = 60.0
"""After so long a request that gets no answer is given up."""
DRIPS_S = 120.0
"""And one whose answer comes drop by drop."""


class Kind(StrEnum):
    """What a request is for."""

    CREATE = "create"
    READ = "read"
    DETAILS = "details"
    CANCEL = "cancel"
    SETUP = "setup"
    UPLOAD = "upload"
    RELEASE = "release"


class Spell(StrEnum):
    """What goes wrong at a vendor for a while."""

    LOSSY = "lossy"
    HUNG = "hung"
    SLOW = "slow"
    DOWN = "down"
    UNREACHED = "unreached"
    OVERRUN = "overrun"
    GARBLED = "garbled"
    LYING = "lying"
    FORBIDDEN = "forbidden"
    ODD = "odd"
    DETAILS = "details"
    REMOVALS = "removals"
    HUNG_READS = "hung reads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """A spell at one vendor, from one moment to another (seconds). `chance` is that of each request."""

    vendor: str
    spell: Spell
    begin: float
    end: float
    chance: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """`answer` comes in place of the vendor's own, `done` says whether the vendor did what it was asked for all the
    same; `twist` changes the vendor's own answer."""

    name: str
    answer: Answer | None = None
    done: bool = True
    takes: float | None = None
    twist: Callable[[Reply], Reply] | None = None


FINE = Fate(name="")
Fates: TypeAlias = "Callable[[Network, Kind, Asked], Fate]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One request and what became of it."""

    at: float
    vendor: str
    kind: Kind
    asked: Asked
    fate: str
    answer: Answer
    takes: float

    def __str__(self) -> str:
        said = f"{self.answer.status} {self.answer.text[:90]}" if isinstance(self.answer, Reply) else str(self.answer)
        how = f" ({self.fate})" if self.fate else ""
        return f"{self.at:9.2f} +{self.takes:5.2f} {self.vendor} {self.asked.method} {self.asked.path}{how} → {said}"


@dataclass
class Network:
    """The way to the vendors. `took` is how long the newest request takes until it is answered."""

    market: Market
    dice: random.Random
    weather: Sequence[Weather]
    script: Mapping[tuple[str, Kind, int], Fate] = field(default_factory=dict)
    """What becomes of the n-th request of a kind to a vendor, for a test that spells it out."""
    ill: frozenset[str] = frozenset()
    calm: bool = False
    took: float = 0.0
    sent: list[Sent] = field(default_factory=list)
    misread: list[str] = field(default_factory=list)
    """Answers that arrived whole, and were not read as what they are."""

    def __call__(self, vendor: str, request: AnyRequest, key: str | None, now: float) -> Answer:
        asked = asked_of(vendor, request, key)
        kind = kind_of(asked)
        fate = FINE if self.calm else self._fate(vendor, kind, asked, now)
        self.took = self.dice.uniform(0.02, 0.3) if fate.takes is None else fate.takes
        answer = fate.answer
        if answer is None or fate.done:
            own = self.market.answer(vendor, asked)
            answer = own if answer is None else answer
        if fate.twist is not None and isinstance(answer, Reply) and answer.ok:
            answer = fate.twist(answer)
        self.sent.append(
            Sent(at=now, vendor=vendor, kind=kind, asked=asked, fate=fate.name, answer=answer, takes=self.took)
        )
        return answer

    def _fate(self, vendor: str, kind: Kind, asked: Asked, now: float) -> Fate:
        if self.script:
            number = 1 + sum(each.vendor == vendor and each.kind is kind for each in self.sent)
            return self.script.get((vendor, kind, number), FINE)
        for each in self.weather:
            if each.vendor == vendor and each.begin <= now < each.end and self.dice.random() < each.chance:
                return _SPELLS[each.spell](self, kind, asked)
        return FINE

    def healthy(self, vendor: str, *, besides: frozenset[Spell] = frozenset()) -> bool:
        """Whether nothing ever goes wrong at a vendor, besides some spells."""
        return vendor not in self.ill and all(each.vendor != vendor or each.spell in besides for each in self.weather)

    def silence(self) -> dict[str, str]:
        """A `Retry-After`, in one of the forms that vendors use; or none."""
        seconds = self.dice.choice([1, 3, 3, 20, 20, 90, 800, 86_400])
        form = self.dice.random()
        if form < 0.3:
            return {}
        if form < 0.35:
            return {"retry-after": self.dice.choice(["soon", "-1", "9" * 400, ""])}
        if form < 0.8:
            return {"retry-after": str(seconds)}
        at = datetime.fromtimestamp(EPOCH + (self.sent[-1].at if self.sent else 0.0) + seconds, UTC)
        return {"retry-after": format_datetime(at, usegmt=True)}


def asked_of(vendor: str, request: AnyRequest, key: str | None) -> Asked:
    """A request as it reaches its vendor: with the credential, and the body as JSON has it."""
    stored = request.path.startswith(ROOT)
    headers = {**dict(request.headers), **({} if stored else credential(vendor))}
    if key is not None:
        headers["Idempotency-Key"] = key
    return Asked(
        method=request.method,
        path=request.path,
        query=() if isinstance(request, Upload) else request.query,
        headers=headers,
        body=None if isinstance(request, Upload) else json.loads(json.dumps(request.body)),
        file=isinstance(request, Upload),
    )


def kind_of(asked: Asked) -> Kind:
    path = asked.path
    if asked.method == "DELETE":
        return Kind.RELEASE
    if asked.method == "PUT":
        return Kind.UPLOAD
    if asked.method == "GET":
        return Kind.DETAILS if path.startswith("/api/projects/") else Kind.READ
    if path.endswith("/cancel"):
        return Kind.CANCEL
    if path.endswith(("/runs", "/trigger_run", "/trigger_ci_run", "/pull-request-runs")):
        return Kind.CREATE
    return Kind.SETUP


# --- what goes wrong --------------------------------------------------------------------------------------------------


def _lossy(network: Network, kind: Kind, asked: Asked) -> Fate:
    del kind, asked
    dice = network.dice
    return dice.choice(
        [
            Fate(name="lost before", answer=LOST, done=False),
            Fate(name="lost after", answer=LOST),
            Fate(name="lost late", answer=LOST, takes=dice.uniform(1, 30)),
            Fate(name="not sent", answer=UNREACHED, done=False),
        ]
    )


def _hung(network: Network, kind: Kind, asked: Asked) -> Fate:
    del kind, asked
    takes = network.dice.choice([HANGS_S, HANGS_S, DRIPS_S])
    return Fate(name="hung", answer=LOST, done=network.dice.random() < 0.5, takes=takes)


def _slow(network: Network, kind: Kind, asked: Asked) -> Fate:
    del kind, asked
    return Fate(name="slow", takes=network.dice.choice([1.0, 3.0, 8.0, 20.0, 45.0]))


def _down(network: Network, kind: Kind, asked: Asked) -> Fate:
    del kind, asked
    status = network.dice.choice([500, 502, 503, 503, 504])
    headers = network.silence() if network.dice.random() < 0.2 else {}
    reply = Reply(
        status=status, text=network.dice.choice(["", "<html>down</html>", '{"error": "down"}']), headers=headers
    )
    return Fate(name="down", answer=reply, done=network.dice.random() < 0.3)


def _unreached(network: Network, kind: Kind, asked: Asked) -> Fate:
    del network, kind, asked
    return Fate(name="not sent", answer=UNREACHED, done=False)


def _overrun(network: Network, kind: Kind, asked: Asked) -> Fate:
    del kind, asked
    reply = Reply(status=429, text='{"error": "Too Many Requests"}', headers=network.silence())
    return Fate(name="overrun", answer=reply, done=False)


def _forbidden(network: Network, kind: Kind, asked: Asked) -> Fate:
    del kind, asked
    status = network.dice.choice([401, 403])
    return Fate(name="forbidden", answer=Reply(status=status, text="<html>who are you?</html>"), done=False)


def _odd(network: Network, kind: Kind, asked: Asked) -> Fate:
    """Statuses that no page speaks of; some gateways say so of what they have passed on."""
    del asked
    creates = kind is Kind.CREATE and network.dice.random() < 0.5
    status = network.dice.choice(_PASSED_ON if creates else [301, 304, 400, 404, 408, 409, 410, 425, 501, 505])
    if kind in {Kind.CANCEL, Kind.RELEASE} and status in _GONE:
        status = 400  # that there is nothing to end is a word to be relied on
    reads = kind in {Kind.READ, Kind.DETAILS}
    done = reads or (status in _PASSED_ON and network.dice.random() < 0.5)
    return Fate(name="odd", answer=Reply(status=status, text="odd"), done=done)


_GONE = frozenset({404, 409, 410})
_PASSED_ON = (301, 408, 409, 425)
"""A request that is answered so may have been carried out."""


def _details(network: Network, kind: Kind, asked: Asked) -> Fate:
    """Nothing that a verdict depends on gets an answer."""
    if kind is not Kind.DETAILS or "/overview" not in asked.path:
        return FINE
    return _hung(network, kind, asked) if network.dice.random() < 0.5 else _overrun(network, kind, asked)


def _removals(network: Network, kind: Kind, asked: Asked) -> Fate:
    if kind is not Kind.RELEASE:
        return FINE
    return network.dice.choice([_overrun, _down, _hung, _hung, _forbidden])(network, kind, asked)


def _hung_reads(network: Network, kind: Kind, asked: Asked) -> Fate:
    return _hung(network, kind, asked) if kind is Kind.READ else FINE


def _garbled(network: Network, kind: Kind, asked: Asked) -> Fate:
    """An answer of 200 that nobody can read, to something that was done."""
    del kind, asked
    text = network.dice.choice(["<html>sorry</html>", "", "[]", "{}", "null", '"passed"', "{"])
    return Fate(name="garbled", answer=Reply(status=200, text=text))


def _lying(network: Network, kind: Kind, asked: Asked) -> Fate:
    if kind not in {Kind.READ, Kind.DETAILS}:
        return FINE
    lie = network.dice.choice([each for each in _LIES if on(each)])
    return Fate(name=f"lie: {lie}", twist=lambda reply: _told(reply, _LIES[lie], network, asked))


_SPELLS: Mapping[Spell, Fates] = {
    Spell.LOSSY: _lossy,
    Spell.HUNG: _hung,
    Spell.SLOW: _slow,
    Spell.DOWN: _down,
    Spell.UNREACHED: _unreached,
    Spell.OVERRUN: _overrun,
    Spell.GARBLED: _garbled,
    Spell.LYING: _lying,
    Spell.FORBIDDEN: _forbidden,
    Spell.ODD: _odd,
    Spell.DETAILS: _details,
    Spell.REMOVALS: _removals,
    Spell.HUNG_READS: _hung_reads,
}


# --- lies that can be found out ---------------------------------------------------------------------------------------

Body: TypeAlias = "dict[str, object]"
Lie: TypeAlias = "Callable[[Network, Body], None]"


def _told(reply: Reply, lie: Lie, network: Network, asked: Asked) -> Reply:
    del asked
    try:
        body = json.loads(reply.text)
    except ValueError:
        return reply
    if isinstance(body, dict):
        lie(network, body)
    return replace(reply, text=json.dumps(body))


def _inner(body: Body) -> Body:
    run = body.get("test_run")
    return run if isinstance(run, dict) else body


def _of_another_run(network: Network, body: Body) -> None:
    """An answer about another run, which has passed."""
    del network
    run = _inner(body)
    for name in ("run_id", "runId"):
        if name in run:
            run[name] = "ffffffff-ffff-4fff-8fff-ffffffffffff"
    if "id" in run:
        run["id"] = 999_999_999 if isinstance(run["id"], int) else "ffffffff-ffff-4fff-8fff-ffffffffffff"
    _passed(run)


def _passed(run: Body) -> None:
    if "state" in run:
        run["state"], run["failed"], run["blocked"], run["aborted"], run["skipped"] = "completed", 0, 0, 0, 0
        run["passed"], run["pending"] = run.get("total"), 0
        return
    run["status"] = "completed" if "output" in run else "passed"
    if "output" in run:
        run["output"] = {"result": "PASS", "featureName": "another", "description": "", "steps": []}
        run["error"] = None
    if "is_login_test_run" in run:
        run["results"] = [{"step_number": 1, "task": "it", "is_successful": True, "result": "Done", "duration": 1}]
    results = run.get("results")
    for each in results if isinstance(results, list) else ():
        if "result_id" in each:
            each["status"] = "passed"


def _twice(network: Network, body: Body) -> None:
    """Each result is told twice."""
    del network
    for run in (body, _inner(body)):
        for name in ("results", "items"):
            results = run.get(name)
            if isinstance(results, list) and any("result_id" in each or "testCaseId" in each for each in results):
                run[name] = [*results, *results]


def _twice_and_different(network: Network, body: Body) -> None:
    """One result is told twice: as it is, and as a pass."""
    del network
    results = body.get("results")
    if isinstance(results, list) and results and "result_id" in results[0]:
        body["results"] = [*results, {**results[0], "status": "passed"}]


def _one_missing(network: Network, body: Body) -> None:
    results = body.get("results")
    if isinstance(results, list) and results and "result_id" in results[0]:
        del results[network.dice.randrange(len(results))]


def _unknown_word(network: Network, body: Body) -> None:
    run = _inner(body)
    for name in ("status", "state"):
        if isinstance(run.get(name), str):
            run[name] = network.dice.choice(["paused", "", "PASSED ", "success?"])


def _nothing_in_it(network: Network, body: Body) -> None:
    """A run that is over, and nothing about any test."""
    run = _inner(body)
    for name in ("results", "output", "items", "passed", "total"):
        if name in run:
            run[name] = network.dice.choice([None, None, []])


def _absurd(network: Network, body: Body) -> None:
    run = _inner(body)
    for name in ("duration_seconds", "durationMs", "retryAfterSeconds"):
        if name in run:
            run[name] = network.dice.choice([1e306, -1, 10**40, "NaN"])


_LIES: Mapping[str, Lie] = {
    "of another run": _of_another_run,
    "twice": _twice,
    "twice and different": _twice_and_different,
    "one missing": _one_missing,
    "unknown word": _unknown_word,
    "nothing in it": _nothing_in_it,
    "absurd": _absurd,
}

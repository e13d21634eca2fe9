"""Kills an apply over all four vendors at one exact point, resumes it, and says what came of it."""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.program.conftest import FAST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.program.conftest import Begin, Ended, Stage

POINTS = ("before", "torn", "after", "request", "answer")
"""Before a line of the journal, in the middle of it, after it; before a request, and when its answer is there."""

_TRAP = """
import itertools, os, signal
from qarunner.engine.io import journal, transport
from qarunner.engine.schedule import timing as patience
patience.BACKOFF_S, patience.FIRST_CONTACT_S = 0.02, 0.1
point, _, number = os.environ.get("KILL_AT", ":0").partition(":")
seen = itertools.count(1)
def reached(name):
    return name == point and next(seen) == int(number)
def end():
    os.kill(os.getpid(), signal.SIGKILL)
append, send = journal.Journal._append, transport.Transport.send
def appended(self, events, bodies, lines, chain, *, wait):
    whole = b""
    for line in lines.splitlines(keepends=True):
        before, torn = whole, whole + line[: len(line) // 2]
        whole += line
        for place, written in (("before", before), ("torn", torn), ("after", whole)):
            if reached(place):
                os.write(self._fd, written)
                end()
    append(self, events, bodies, lines, chain, wait=wait)
def sent(self, *words, **more):
    if reached("request"):
        end()
    answer = send(self, *words, **more)
    if reached("answer"):
        end()
    return answer
journal.Journal._append, transport.Transport.send = appended, sent
"""
GROUP = "11111111-1111-4111-8111-111111111101"


def set_up(begin: Begin) -> Stage:
    """Every way in which the four vendors take a run: uploads, suites, groups, a preview environment."""
    stage = begin(speed=50)
    stage.customise(_TRAP)
    with zipfile.ZipFile(stage.folder / "app.apk", "w") as apk:
        apk.writestr("AndroidManifest.xml", "binary")
        apk.writestr("classes.dex", "dex")
    android = {"id": "android", "vendor": "doksi", "platform": "android", "test_ids": ["a1"]}
    stage.commit(
        stage.doksi("web", "w1", "w2"),
        {**android, "target": {"binary": "app.apk"}},
        {"id": "login", "vendor": "docketqa", "test_ids": [12, 13]},
        {"id": "search", "vendor": "testerarmy", "platform": "web", "category_ids": [GROUP]},
        stage.certyn("smoke"),
        {**stage.certyn("preview"), "target": {"web_url": "https://pr-7.shop.example"}},
        vendors={"certyn": {"project": "my-app", "rate": {key: f"{rate}/min" for key, rate in FAST.items()}}},
    )
    return stage


@dataclass(frozen=True, kw_only=True)
class Whole:
    """What an apply that nobody disturbs pays for, in all and by job, and how often it passes each point."""

    paid: Counter[str]
    by_job: dict[str, Counter[str]]
    points: dict[str, int]


def undisturbed(begin: Begin) -> Whole:
    stage = set_up(begin)
    ended = stage.apply()
    assert ended.code == 0, ended
    of_vendor: dict[str, Counter[str]] = {}
    for run in stage.records("runs"):
        of_vendor.setdefault(run["vendor"], Counter())[str(run["tests"])] += 1
    # Certyn's creates are never in doubt; of the others each vendor has one job.
    by_job = {f"{vendor}-1": paid for vendor, paid in of_vendor.items() if vendor != "certyn"}
    lines, requests = len(stage.lines()), len(stage.sent())
    points = {point: requests if point in {"request", "answer"} else lines for point in POINTS}
    return Whole(paid=_paid(stage), by_job=by_job, points=points)


def _paid(stage: Stage) -> Counter[str]:
    return Counter(str(tests) for tests in stage.paid())


def killed_at(begin: Begin, whole: Whole, point: str, number: int) -> str:
    """`survived`, `decided` by a person, or `not reached`; AssertionError if a promise was broken."""
    stage = set_up(begin)
    first = stage.start_apply(KILL_AT=f"{point}:{number}").end()
    if first.code >= 0:
        return "not reached"
    _within(stage, whole)
    if not (stage.run_folder() / "journal.jsonl").exists() or not stage.lines():
        assert not stage.paid()
        return "survived"
    ended = stage.resume("r1")
    _within(stage, whole)
    decided = ended.code == 8
    if decided:
        ended = stage.resume("r1", *_decisions(stage, whole, ended))
    unknown = {entry for entry, verdict in stage.verdicts().items() if verdict == "unknown"}
    assert ended.code == (8 if unknown else 0), ended
    assert set(stage.verdicts().values()) <= {"passed", "unknown"}, ended
    assert _paid(stage) == whole.paid, ended
    assert stage.environments() == {} or stage.report()["left"], ended
    return "decided" if decided else "survived"


def _within(stage: Stage, whole: Whole) -> None:
    paid = _paid(stage)
    assert paid <= whole.paid, f"paid {paid}, where {whole.paid} was due"


def _decisions(stage: Stage, whole: Whole, ended: Ended) -> Iterable[str]:
    """What a person says who has looked at the vendor: that the run is there, or that it is not."""
    doubted = dict.fromkeys(event["job"] for event in stage.events("Uncertain"))
    assert doubted, ended
    paid = _paid(stage)
    for job in doubted:
        assert not job.startswith("certyn"), "the key tells"
        assert f"qarunner resume r1 --resubmit {job}" in ended.out
        yield f"--{'drop' if whole.by_job[job] <= paid else 'resubmit'}={job}"

"""A simulated TesterArmy: it documents no rate, and lists runs as it tells each of them."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace

from qarunner.entry import Entry, Selection, SelectionKind
from qarunner.vendors.api import Reply
from qarunner.vendors.testerarmy.adapter import TesterArmy
from tests.simulation.certyn import SimulatedCertyn, Simulation, entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.decode import Json
    from qarunner.vendors.api import Request, Vendor


class SimulatedTesterArmy(SimulatedCertyn):
    """The same runs under TesterArmy's API. Its list of runs tells the truth."""

    adapter: ClassVar[Vendor] = TesterArmy()
    settings: ClassVar[Mapping[str, Json]] = {}

    @staticmethod
    def entry(number: int) -> Entry:
        test = str(uuid.UUID(int=number + 1))
        selection = Selection(kind=SelectionKind.TEST_IDS, ids=(test,))
        return replace(entry(number), vendor="testerarmy", selection=selection)

    def _create(self, request: Request, key: str | None, now: float) -> Reply:
        del key
        test, run = request.path.split("/")[2], str(uuid.UUID(int=10_000_000 + len(self.made)))
        self.made[run], self.process[run], self.asked[run] = now, test, [now]
        return Reply(status=202, text=json.dumps({"runId": run, "status": "queued", "testId": test}))

    def _read(self, request: Request, now: float) -> Reply:
        if request.path == "/runs":
            return self._list(request, now)
        run = request.path.rsplit("/", 1)[1]
        self.asked[run].append(now)
        return Reply(status=200, text=json.dumps(self.status(run, now)))

    def status(self, run: str, now: float) -> dict[str, Json]:
        body: dict[str, Json] = {"id": run, "testId": self.process[run]}
        if now < self.ends(run):
            return body | {"status": "running"}
        return body | {"status": "completed", "output": {"result": "PASS", "issues": [], "steps": []}}

    def _list(self, request: Request, now: float) -> Reply:
        self.lists += 1
        query = dict(request.query)
        start, size = int(query.get("cursor", 0)), int(query["limit"])
        runs = list(reversed(self.made))
        page = [self.status(run, now) for run in runs[start : start + size]]
        more = str(start + size) if start + size < len(runs) else None
        return Reply(status=200, text=json.dumps({"runs": page, "nextCursor": more}))


class ArmySimulation(Simulation):
    """Many runs of TesterArmy under the engine."""

    simulated = SimulatedTesterArmy

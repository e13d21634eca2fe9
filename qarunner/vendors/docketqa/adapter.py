"""DocketQA: one create starts a group run of single tests or of a suite; each of its test runs is polled.

Sources: docs.docketqa.com/api-reference and /essentials, called "documented" below; what was read from the vendor's
published GitHub action is called "client".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.vendors import replies as answers
from qarunner.vendors.api import Call, Refusal, RemoteRun, Reply, Request, Status
from qarunner.vendors.docketqa import results
from qarunner.vendors.docketqa.builds import CONFLICT, ERROR_KEYS, Builds
from qarunner.vendors.docketqa.info import INFO
from qarunner.vendors.docketqa.inventory import Lists
from qarunner.vendors.docketqa.requests import Creates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class DocketQA(Creates, Builds, Lists):
    """The adapter. DocketQA has neither an idempotency key nor a cancel call."""

    info = INFO

    def notices(self, call: Call) -> Iterator[str]:
        yield from Builds.notices(self, call)
        yield from Creates.notices(self, call)

    def poll(self, call: Call, run: RemoteRun) -> Request:
        return Request(method="GET", path=f"/test_run/{answers.segment(run.id)}")

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        (entry,) = call.entries
        body = answers.status_body(replies[0], self.refused)
        return results.status(entry, run, body.get("test_run"))

    def refused(self, reply: Reply) -> Refusal:
        """Error bodies are not documented, but for 409: the name of a build or of an app is taken."""
        refusal = answers.refusal(reply, *ERROR_KEYS)
        if reply.status == CONFLICT:
            return Refusal(message=f"{refusal.message} (409: is the name taken? see options.build_name)")
        return refusal


VENDOR = DocketQA()

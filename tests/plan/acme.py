"""An imaginary vendor for the compiler's tests: one create for all entries that it is handed together."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.manifest.expand import expand
from qarunner.manifest.load import entry_of
from qarunner.plan.capabilities import Checked
from qarunner.plan.compile import compile_plan
from qarunner.vendors.api import (
    Auth,
    Build,
    BuildRules,
    Capabilities,
    Complaint,
    Conflict,
    Dependency,
    Metadata,
    Pacing,
    Request,
    ResourceKind,
    Vendor,
    VendorInfo,
)
from tests.matrices import manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qarunner.decode import Json
    from qarunner.entry import Entry
    from qarunner.plan.model import NotPlanned, Plan, Sharding
    from qarunner.vendors.api import Accepted, Call, Refusal, RemoteRun, Reply, Status

TODAY = date(2026, 6, 1)
METADATA = Metadata(branch="main", commit="0123456789abcdef")
PACING = Pacing(every_s=10, max_s=30, reads=60, creates=7, all=90, max_in_flight=5)


class Acme(Vendor):
    """POST /runs {entries, settings, branch}. It refuses the test `gone`, and two entries of one name.

    A binary is a build to upload; an entry with options waits for an environment with these options.
    Each label is something that the run changes besides. The method `broken` raises an error.
    """

    def __init__(self, name: str = "acme", *, pacing: Pacing = PACING, broken: str = "") -> None:
        self.broken = broken
        self.info = VendorInfo(
            name=name,
            title=name.title(),
            docs="",
            base_url="https://vendor.test",
            url_env=(),
            key_env=f"{name.upper()}_API_KEY",
            auth=Auth(headers={"Authorization": "Bearer {key}"}),
            capabilities=Capabilities(
                targets={
                    None: frozenset(),
                    Platform.WEB: frozenset({TargetKind.WEB_URL}),
                    Platform.ANDROID: frozenset({TargetKind.BINARY}),
                },
                target_required=False,
                selections=frozenset({SelectionKind.TEST_IDS, SelectionKind.CATEGORY_IDS}),
                several_ids=False,
                builds={Platform.ANDROID: BuildRules(endings=(".apk",), max_bytes=1000)},
                instead={"tags": "name the tests", "ios": "use android"},
            ),
            pacing=pacing,
            options={
                "fresh": {"type": "boolean"},
                "size": {"type": "integer"},
                "tags": {"type": "array", "uniqueItems": True},
            },
            settings={"team": {"type": "string"}},
        )

    def _may_fail(self, method: str) -> None:
        if method == self.broken:
            raise LookupError("no such field")

    def check(self, row: Mapping[str, object], settings: Mapping[str, Json]) -> Iterator[Complaint]:
        self._may_fail("check")
        if row.get("name") == "forbidden":
            yield Complaint(path=("name",), message=f"{settings.get('team')} has no 'forbidden'", hint="rename it")
        if "timeout" in row:
            yield Complaint(path=("timeout",), message="too long")
        if row.get("name") == "by hand":
            yield Complaint(path=("target", "binary"), message="the adapter's own words")

    def group(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
        self._may_fail("group")
        return [tuple(entries)]

    def check_call(self, call: Call) -> Iterator[Complaint]:
        self._may_fail("check_call")
        for entry in call.entries:
            ids = entry.selection.ids if entry.selection else ()
            if "gone" in ids:
                path = ("test_ids", ids.index("gone"))
                yield Complaint(path=path, message=self._missing(call), hint="look again")

    @staticmethod
    def _missing(call: Call) -> str:
        return f"{call.settings.get('team', 'nobody')} has no test 'gone' on {call.metadata.branch}"

    def check_all(self, calls: Sequence[Call], builds: Mapping[str, Build]) -> Iterator[Conflict]:
        self._may_fail("check_all")
        del builds
        of_name: dict[str, list[str]] = {}
        for call in calls:
            for entry in call.entries:
                if entry.name is not None:
                    of_name.setdefault(entry.name, []).append(entry.id)
        for name, ids in of_name.items():
            if len(ids) > 1:
                yield Conflict(entries=tuple(ids), path=("name",), message=f"{name} stands twice", hint="rename one")

    def notices(self, call: Call) -> Iterable[str]:
        self._may_fail("notices")
        return [f"label {label} moves" for entry in call.entries for label in entry.labels]

    def resources(self, call: Call) -> Iterator[Dependency]:
        self._may_fail("resources")
        for entry in call.entries:
            if entry.target is not None and entry.target.kind is TargetKind.BINARY:
                yield Dependency(
                    key=entry.target.value,
                    kind=ResourceKind.BUILD,
                    path=entry.target.value,
                    data={"team": call.settings.get("team")},
                )
            if entry.options:
                yield Dependency(key=f"env {entry.id}", kind=ResourceKind.ENVIRONMENT, data=entry.options)

    def submit(self, call: Call) -> Request:
        self._may_fail("submit")
        body: dict[str, Json] = {
            "entries": [entry.id for entry in call.entries],
            "settings": dict(call.settings),
            "branch": call.metadata.branch,
        }
        return Request(method="POST", path="/runs", body=body)

    def accepted(self, call: Call, reply: Reply) -> Accepted:
        raise NotImplementedError

    def poll(self, call: Call, run: RemoteRun) -> Request:
        raise NotImplementedError

    def read(self, call: Call, run: RemoteRun, replies: Sequence[Reply], *, polls: int) -> Status:
        raise NotImplementedError

    def refused(self, reply: Reply) -> Refusal:
        raise NotImplementedError


ACME = Acme()


def build(path: str, content: str, *, size: int = 10) -> Build:
    return Build(path=path, filename=path.rpartition("/")[2], size=size, sha256=content)


def compiled(  # noqa: PLR0913  what a test says of a plan, by name
    text: str,
    *,
    vendors: Sequence[Vendor] = (ACME,),
    settings: Mapping[str, Mapping[str, Json]] | None = None,
    secrets: Iterable[str] = (),
    builds: Mapping[str, Build | Complaint] | None = None,
    needs: Mapping[str, tuple[str, ...]] | None = None,
    not_planned: Sequence[NotPlanned] = (),
    sharding: Sharding | None = None,
    measured: list[tuple[str, BuildRules | None]] | None = None,
    names: Mapping[str, Mapping[str, str]] | None = None,
    are_checked: bool = False,
) -> Plan:
    """The plan of a manifest whose rows are taken as they are written; `builds` are what is found at each path."""
    subject = manifest(text)
    rows = expand(subject)

    def measure(path: str, rules: BuildRules | None) -> Build | Complaint:
        if measured is not None:
            measured.append((path, rules))
        return (builds or {})[path]

    return compile_plan(
        manifest=subject,
        rows=rows,
        entries=[entry_of(subject, row, today=TODAY, needs=(needs or {}).get(row.id, ())) for row in rows],
        settings=settings or {},
        vendors={vendor.info.name: vendor for vendor in vendors},
        secrets=secrets,
        metadata=METADATA,
        git={"branch": "main"},
        ci={"name": "local"},
        tool="1.2.3",
        measure=measure,
        not_planned=not_planned,
        sharding=sharding,
        names=names,
        before=Checked(rows, settings or {}) if are_checked else None,
    )

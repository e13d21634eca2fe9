"""An imaginary vendor for the compiler's tests: one create for all entries that it is handed together."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.manifest.expand import expand
from qarunner.plan.compile import compile_plan
from qarunner.vendors.api import (
    Build,
    BuildRules,
    Capabilities,
    Clash,
    Complaint,
    Metadata,
    Need,
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
PACING = Pacing(every_s=10, max_s=30, reads=60, creates=7, all=None, max_in_flight=5)


class Acme(Vendor):
    """POST /runs {entries, settings, branch}. It refuses the test `gone`, and two entries of one name.

    A binary is a build to upload; an entry with the option `fresh` waits for an environment.
    Each label is something that the run changes besides.
    """

    def __init__(self, name: str = "acme", *, pacing: Pacing = PACING) -> None:
        self.info = VendorInfo(
            name=name,
            title=name.title(),
            docs="",
            base_url="https://vendor.test",
            url_env=(),
            key_env=f"{name.upper()}_API_KEY",
            auth=("Authorization", "Bearer {key}"),
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
            options={"fresh": {"type": "boolean"}, "size": {"type": "integer"}},
            settings={"team": {"type": "string"}},
        )

    def group(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
        return [tuple(entries)]

    def check_call(self, call: Call) -> Iterator[Complaint]:
        for entry in call.entries:
            ids = entry.selection.ids if entry.selection else ()
            if "gone" in ids:
                path = ("test_ids", ids.index("gone"))
                yield Complaint(path=path, message=f"no test 'gone' on {call.metadata.branch}", hint="look again")

    def check_all(self, calls: Sequence[Call], builds: Mapping[str, Build]) -> Iterator[Clash]:
        del builds
        of_name: dict[str, list[str]] = {}
        for call in calls:
            for entry in call.entries:
                if entry.name is not None:
                    of_name.setdefault(entry.name, []).append(entry.id)
        for name, ids in of_name.items():
            if len(ids) > 1:
                yield Clash(entries=tuple(ids), path=("name",), message=f"{name} stands twice", hint="rename one")

    def notices(self, call: Call) -> Iterable[str]:
        return [f"label {label} moves" for entry in call.entries for label in entry.labels]

    def resources(self, call: Call) -> Iterator[Need]:
        for entry in call.entries:
            if entry.target is not None and entry.target.kind is TargetKind.BINARY:
                yield Need(
                    key=entry.target.value,
                    kind=ResourceKind.BUILD,
                    path=entry.target.value,
                    data={"team": call.settings.get("team")},
                )
            if entry.options.get("fresh"):
                yield Need(key=f"env {entry.id}", kind=ResourceKind.ENVIRONMENT, data={"of": entry.id})

    def submit(self, call: Call) -> Request:
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
) -> Plan:
    """The plan of a manifest without templates; `builds` are what is found at each path."""
    subject = manifest(text)
    return compile_plan(
        manifest=subject,
        rows=expand(subject),
        settings=settings or {},
        vendors={vendor.info.name: vendor for vendor in vendors},
        secrets=secrets,
        metadata=METADATA,
        git={"branch": "main"},
        ci={"name": "local"},
        tool="1.2.3",
        measure=lambda path, _: (builds or {})[path],
        today=TODAY,
        needs=needs,
        not_planned=not_planned,
        sharding=sharding,
    )

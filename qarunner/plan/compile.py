"""Entries become jobs through the adapters; what a vendor objects to becomes a problem at the manifest's line."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

from msgspec import UNSET
from msgspec.structs import replace

from qarunner.decode import Json, as_mapping
from qarunner.diagnostics import Diagnostic, in_order
from qarunner.errors import ManifestError
from qarunner.manifest.expand import place_of
from qarunner.manifest.model import Manifest, Row, seconds
from qarunner.plan.capabilities import Checked, check_rows, complained, misfit, own_settings
from qarunner.plan.cost import cost_notices, cost_of, counted, price_of
from qarunner.plan.guard import adapter_guard, grouped
from qarunner.plan.model import VERSION, Job, NotPlanned, Plan, Rate, Sharding, VendorPlan, seal
from qarunner.regex import regex
from qarunner.vendors.api import Build, Call, Complaint, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from qarunner.entry import Entry
    from qarunner.vendors.api import BuildRules, Conflict, Dependency, Metadata, Vendor, VendorInfo


Measure: TypeAlias = "Callable[[str, BuildRules | None], Build | Complaint]"


_RATE = regex(r"([0-9]+)\s*/\s*(s|min|h)")


_PER_S = {"s": 1.0, "min": 60.0, "h": 3600.0}


def compile_plan(  # noqa: PLR0913  everything that a plan depends on, by name
    *,
    manifest: Manifest,
    rows: Sequence[Row],
    entries: Sequence[Entry],
    settings: Mapping[str, Mapping[str, Json]],
    vendors: Mapping[str, Vendor],
    secrets: Iterable[str],
    metadata: Metadata,
    git: Mapping[str, str | None],
    ci: Mapping[str, str | None],
    tool: str,
    measure: Measure,
    not_planned: Sequence[NotPlanned] = (),
    sharding: Sharding | None = None,
    names: Mapping[str, Mapping[str, str]] | None = None,
    before: Checked | None = None,
) -> Plan:
    """The plan for rendered rows and what `entry_of` makes of each. ManifestError with all that the vendors object to.

    `measure` reads a local build, or says why the vendor does not take it. `names` has the names of ids that came from
    the lock, by vendor. Rows that were checked `before` are not checked again.
    """
    problems = check_rows(manifest, rows, vendors, settings, templates=False, before=before)
    if problems:
        raise ManifestError(problems)
    builds = _builds(manifest, rows, entries, vendors, measure)
    plans = {
        name: vendor_plan(vendors[name].info, settings.get(name, {}), share=sharding.count if sharding else 1)
        for name in dict.fromkeys(entry.vendor for entry in entries)
    }
    resources = Resources(builds)
    _check_calls(manifest, rows, entries, plans, vendors, metadata, builds)
    jobs = tuple(_jobs(entries, plans, vendors, metadata, resources))
    return _priced(
        Plan(
            version=VERSION,
            tool=tool,
            name=manifest.name,
            manifest=manifest.document.name,
            digest="",
            gate=manifest.gate,
            reports=manifest.reports,
            metadata=metadata,
            secrets=tuple(sorted(secrets)),
            vendors=plans,
            jobs=jobs,
            entries=tuple(entries),
            git=git,
            ci=ci,
            resources=resources.all(),
            notices=tuple(dict.fromkeys(resources.notices)),
            not_planned=tuple(not_planned),
            shard=sharding.shard if sharding else None,
            partition=sharding.partition if sharding else None,
            shard_min_tests=sharding.min_tests if sharding else None,
            names=_names_in(entries, names or {}),
        )
    )


def _names_in(entries: Sequence[Entry], names: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """The names of the ids that these entries send."""
    by_vendor: dict[str, dict[str, str]] = {}
    for entry in entries:
        known = names.get(entry.vendor, {})
        ids = (*(entry.selection.ids if entry.selection else ()), *([entry.target.value] if entry.target else []))
        if names_of_entry := {identifier: known[identifier] for identifier in ids if identifier in known}:
            by_vendor.setdefault(entry.vendor, {}).update(names_of_entry)
    return by_vendor


def _priced(plan: Plan) -> Plan:
    """The sealed plan, with what it costs and what is not in that."""
    prices = {name: vendor.price for name, vendor in plan.vendors.items() if vendor.price}
    cost = cost_of(prices, Counter(job.vendor for job in plan.jobs), map(counted, plan.entries))
    if cost is not None:
        plan = replace(plan, cost=cost, notices=(*plan.notices, *cost_notices(cost, prices, plan.entries)))
    return seal(plan)


def _builds(
    manifest: Manifest,
    rows: Sequence[Row],
    entries: Sequence[Entry],
    vendors: Mapping[str, Vendor],
    measure: Measure,
) -> dict[str, Build]:
    """Every local build that the entries name, measured once. ManifestError for those that cannot be sent."""
    builds: dict[str, Build] = {}
    problems = []
    for row, entry in zip(rows, entries, strict=True):
        if entry.target is None or not entry.target.kind.is_file:
            continue
        rules = vendors[entry.vendor].info.capabilities.builds.get(entry.platform) if entry.platform else None
        measured = measure(entry.target.value, rules)
        wrong = measured if isinstance(measured, Complaint) else misfit(measured, rules)
        if isinstance(measured, Build):
            builds[entry.target.value] = measured
        if wrong is not None:
            problems.append(complained(manifest, row, wrong))
    if problems:
        raise ManifestError(in_order(problems))
    return builds


class Resources:
    """The resources of a plan while it is made: equal needs become one."""

    def __init__(self, builds: Mapping[str, Build]) -> None:
        self._builds = builds
        self._by_key: dict[str, Resource] = {}
        self.notices: list[str] = []

    def of(self, vendor: str, need: Dependency) -> str:
        """The id of the resource that satisfies a need."""
        build = self._builds[need.path] if need.path is not None else None
        # Two names of one content are one upload.
        content = build.sha256 if build is not None else ""
        same = json.dumps([vendor, need.kind, content, dict(need.data)], sort_keys=True)
        if same not in self._by_key:
            number = (
                sum(resource.vendor == vendor and resource.kind is need.kind for resource in self._by_key.values()) + 1
            )
            name = f"{vendor}-{need.kind}-{number}"
            self._by_key[same] = Resource(id=name, vendor=vendor, kind=need.kind, build=build, data=need.data)
        return self._by_key[same].id

    def all(self) -> tuple[Resource, ...]:
        return tuple(self._by_key.values())


def vendor_plan(info: VendorInfo, settings: Mapping[str, Json], *, share: int = 1) -> VendorPlan:
    """The manifest's settings over the vendor's documented pacing.

    Rates hold for a credential, which as many jobs `share` as know nothing of each other: each gets its part.
    """
    poll = as_mapping(settings.get("poll"))
    rate = as_mapping(settings.get("rate"))
    pacing = info.pacing
    every = seconds(str(poll["every"])) if "every" in poll else pacing.every_s
    longest = seconds(str(poll["max"])) if "max" in poll else max(pacing.max_s, every)
    in_flight = settings.get("max_in_flight")
    return VendorPlan(
        key_env=str(settings.get("api_key_env", info.key_env)),
        every_s=float(every),  # as JSON gives it back: the same plan, the same bytes
        max_s=float(max(every, longest)),
        max_in_flight=int(str(in_flight)) if in_flight is not None else pacing.max_in_flight,
        reads=_rate(rate.get("reads"), pacing.reads, share),
        creates=_rate(rate.get("creates"), pacing.creates, share),
        all=_rate(rate.get("all"), pacing.all, share),
        settings=own_settings(settings),
        price=price_of(settings) or UNSET,
    )


def _rate(text: object, documented: int | None, share: int) -> Rate | None:
    match = _RATE.fullmatch(str(text)) if text is not None else None
    if match:
        return _part(Rate(count=max(1, int(match[1])), per_s=_PER_S[match[2]]), share)
    return _part(Rate(count=documented), share) if documented is not None else None


def _part(rate: Rate, share: int) -> Rate:
    """A part of a rate. Of less than one request, one in a longer time: all parts together stay within the whole."""
    if share <= rate.count:
        return Rate(count=rate.count // share, per_s=rate.per_s)
    return Rate(count=1, per_s=rate.per_s * share / rate.count)


def _check_calls(
    manifest: Manifest,
    rows: Sequence[Row],
    entries: Sequence[Entry],
    plans: Mapping[str, VendorPlan],
    vendors: Mapping[str, Vendor],
    metadata: Metadata,
    builds: Mapping[str, Build],
) -> None:
    """What a vendor cannot do in this very build, or not for all entries at once. ManifestError has all of it."""
    problems = []
    calls: dict[str, list[Call]] = {name: [] for name in plans}
    for row, entry in zip(rows, entries, strict=True):
        call = Call(entries=(entry,), settings=plans[entry.vendor].settings, metadata=metadata)
        calls[entry.vendor].append(call)
        with adapter_guard(vendors[entry.vendor], "check_call"):
            complaints = list(vendors[entry.vendor].check_call(call))
        problems += [complained(manifest, row, complaint) for complaint in complaints]
    row_of = {entry.id: row for row, entry in zip(rows, entries, strict=True)}
    for name, calls_of_vendor in calls.items():
        with adapter_guard(vendors[name], "check_all"):
            problems += [
                _clashed(manifest, row_of, clash) for clash in vendors[name].check_all(calls_of_vendor, builds)
            ]
    if problems:
        raise ManifestError(in_order(problems))


def _clashed(manifest: Manifest, row_of: Mapping[str, Row], clash: Conflict) -> Diagnostic:
    first, *others = clash.entries
    diagnostic = complained(manifest, row_of[first], clash)
    related = tuple((place_of(manifest, row_of[other], clash.path), f"as {other} has it") for other in others)
    return replace(diagnostic, related=related)


def _jobs(
    entries: Sequence[Entry],
    plans: Mapping[str, VendorPlan],
    vendors: Mapping[str, Vendor],
    metadata: Metadata,
    resources: Resources,
) -> Iterator[Job]:
    """Vendor by vendor in the order of their first entries; numbered, so that an id is easy to type."""
    for name, groups in _groups(entries, vendors).items():
        vendor = vendors[name]
        for number, group in enumerate(groups, 1):
            call = Call(entries=group, settings=plans[name].settings, metadata=metadata)
            with adapter_guard(vendor, "notices"):
                resources.notices += vendor.notices(call)
            with adapter_guard(vendor, "submit"):
                request = vendor.submit(call)
            with adapter_guard(vendor, "resources"):
                uses = {need.key: resources.of(name, need) for need in vendor.resources(call)}
            ids = tuple(entry.id for entry in group)
            yield Job(id=f"{name}-{number}", vendor=name, entries=ids, request=request, uses=uses)


def runs_of(entries: Sequence[Entry], vendors: Mapping[str, Vendor]) -> dict[str, int]:
    """How many runs each vendor gets for these entries."""
    return {name: len(groups) for name, groups in _groups(entries, vendors).items()}


def _groups(entries: Sequence[Entry], vendors: Mapping[str, Vendor]) -> dict[str, list[tuple[Entry, ...]]]:
    """The entries of each create call, by vendor."""
    of_vendor: dict[str, list[Entry]] = {}
    for entry in entries:
        of_vendor.setdefault(entry.vendor, []).append(entry)
    return {
        name: [group for alike in _by_needs(of_one_vendor) for group in grouped(vendors[name], alike)]
        for name, of_one_vendor in of_vendor.items()
    }


def _by_needs(entries: Sequence[Entry]) -> Iterable[list[Entry]]:
    """Entries that wait for the same ones: only those may share a create, or one would hold up or skip another."""
    groups: dict[frozenset[str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(frozenset(entry.needs), []).append(entry)
    return groups.values()

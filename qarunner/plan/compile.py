"""Entries become jobs through the adapters; what a vendor objects to becomes a problem at the manifest's line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qarunner.diagnostics import Diagnostic, in_order
from qarunner.errors import ManifestError
from qarunner.manifest.bind import entry_of
from qarunner.manifest.durations import seconds
from qarunner.manifest.expand import locate
from qarunner.plan.check import complaints
from qarunner.plan.model import VERSION, Gate, Job, Plan, Rate, VendorPlan, seal
from qarunner.vendors.api import Call

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qarunner.cursor import Json
    from qarunner.diagnostics import Place
    from qarunner.entry import Entry
    from qarunner.manifest.model import Manifest, Row
    from qarunner.vendors.api import Metadata, Vendor, VendorInfo

GENERAL_SETTINGS = frozenset({"poll", "rate", "max_in_flight", "api_key_env"})
"""What every vendor has under `vendors.<name>`; the rest is the adapter's own."""

_RATE = re.compile(r"([0-9]+)\s*/\s*(s|min|h)")
_PER_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
CAPABILITY = "E501"


def check_rows(
    manifest: Manifest,
    rows: Iterable[Row],
    vendors: Mapping[str, Vendor],
    settings: Mapping[str, Mapping[str, Json]],
) -> tuple[Diagnostic, ...]:
    """Every row against its vendor's capabilities, one problem a place."""
    found: dict[Place, Diagnostic] = {}
    for row in rows:
        name = str(row.data["vendor"])
        for complaint in complaints(vendors[name], row.data, own_settings(settings.get(name, {}))):
            place = locate(manifest, row, complaint.path, key=_is_key(complaint.path))
            found.setdefault(place, _at(manifest, place, complaint.message, complaint.hint))
    return in_order(found.values())


def _is_key(path: tuple[str | int, ...]) -> bool:
    """Whether the place is the key itself: what is not offered is a key, a wrong platform is a value."""
    return bool(path) and isinstance(path[-1], str) and path[-1] not in {"platform", "timeout"}


def _at(manifest: Manifest, place: Place, message: str, hint: str | None) -> Diagnostic:
    source = manifest.document.source_line(place.line)
    return Diagnostic(code=CAPABILITY, message=message, place=place, hint=hint, source=source)


def own_settings(settings: Mapping[str, Json]) -> dict[str, Json]:
    """What the adapter sees of a vendor's settings."""
    return {key: value for key, value in settings.items() if key not in GENERAL_SETTINGS}


def compile_plan(  # noqa: PLR0913  everything that a plan depends on, by name
    *,
    manifest: Manifest,
    rows: Sequence[Row],
    settings: Mapping[str, Mapping[str, Json]],
    vendors: Mapping[str, Vendor],
    secrets: Iterable[str],
    metadata: Metadata,
    git: Mapping[str, str | None],
    ci: Mapping[str, str | None],
    tool: str,
) -> Plan:
    """The plan for rendered rows. ManifestError with all that the vendors object to."""
    found = check_rows(manifest, rows, vendors, settings)
    if found:
        raise ManifestError(found)
    entries = tuple(entry_of(manifest, row) for row in rows)
    plans = {
        name: vendor_plan(vendors[name].info, settings.get(name, {}))
        for name in dict.fromkeys(entry.vendor for entry in entries)
    }
    return seal(
        Plan(
            version=VERSION,
            tool=tool,
            name=manifest.name,
            manifest=manifest.document.name,
            digest="",
            gate=Gate(min_tests=manifest.gate.min_tests),
            metadata=metadata,
            secrets=tuple(sorted(secrets)),
            vendors=plans,
            jobs=tuple(_jobs(entries, plans, vendors, metadata)),
            entries=entries,
            git=git,
            ci=ci,
        )
    )


def vendor_plan(info: VendorInfo, settings: Mapping[str, Json]) -> VendorPlan:
    """The manifest's settings over the vendor's documented pacing."""
    poll = _mapping(settings.get("poll"))
    rate = _mapping(settings.get("rate"))
    pacing = info.pacing
    every = seconds(str(poll["every"])) if "every" in poll else pacing.every_s
    longest = seconds(str(poll["max"])) if "max" in poll else max(pacing.max_s, every)
    in_flight = settings.get("max_in_flight")
    return VendorPlan(
        key_env=str(settings.get("api_key_env", info.key_env)),
        every_s=every,
        max_s=max(every, longest),
        max_in_flight=int(str(in_flight)) if in_flight is not None else pacing.max_in_flight,
        reads=_rate(rate.get("reads"), pacing.reads),
        creates=_rate(rate.get("creates"), pacing.creates),
        all=_rate(rate.get("all"), pacing.all),
        settings=own_settings(settings),
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _rate(text: object, documented: int | None) -> Rate | None:
    match = _RATE.fullmatch(str(text)) if text is not None else None
    if match:
        return Rate(count=max(1, int(match[1])), per_s=_PER_S[match[2]])
    return Rate(count=documented) if documented is not None else None


def _jobs(
    entries: Sequence[Entry],
    plans: Mapping[str, VendorPlan],
    vendors: Mapping[str, Vendor],
    metadata: Metadata,
) -> Iterator[Job]:
    """Vendor by vendor in the order of their first entries; numbered, so that an id is easy to type."""
    of_vendor: dict[str, list[Entry]] = {name: [] for name in plans}
    for entry in entries:
        of_vendor[entry.vendor].append(entry)
    for name, own in of_vendor.items():
        vendor = vendors[name]
        for number, group in enumerate(vendor.group(own), 1):
            call = Call(entries=group, settings=plans[name].settings, metadata=metadata)
            yield Job(
                id=f"{name}-{number}",
                vendor=name,
                entries=tuple(entry.id for entry in group),
                request=vendor.submit(call),
            )

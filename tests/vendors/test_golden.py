"""Every folder of tests/golden/vendor is a case: what an adapter makes of `call.json` and of a vendor's replies.

`call.json`: `ask` (resources, notices, prepare, release, submit, accepted, poll, read, cancel or refused), `entries`
with the manifest's own keys, and where they matter `settings`, `metadata`, `run`, `polls`, `resource`, `token` and
`prepared`. A reply is `reply*.json` (`status`, `headers`, `body` as JSON) or `reply*.txt` (a line with the status, then
the body as it is). The answer is `request.json` or `result.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from qarunner.decode import UnexpectedData
from qarunner.diagnostics import Place
from qarunner.entry import (
    Authentication,
    Entry,
    Platform,
    Policy,
    Selection,
    SelectionKind,
    Strategy,
    Target,
    TargetKind,
)
from qarunner.vendors import registry
from qarunner.vendors.api import Build, Call, Metadata, Prepared, RemoteRun, Reply, Resource, ResourceKind

if TYPE_CHECKING:
    from qarunner.vendors.api import Vendor

ROOT = Path(__file__).resolve().parent.parent / "golden" / "vendor"
CASES = sorted(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("*/*/call.json"))


def entry(vendor: str, row: dict[str, Any]) -> Entry:
    kinds = [kind for kind in SelectionKind if kind in row]
    target = row.get("target")
    return Entry(
        id=row["id"],
        vendor=vendor,
        policy=Policy(timeout_s=60),
        origin=Place(file="qa-matrix.yml", line=1, column=1),
        platform=Platform(row["platform"]) if "platform" in row else None,
        target=next(Target(kind=TargetKind(kind), value=value) for kind, value in target.items()) if target else None,
        selection=Selection(kind=kinds[0], ids=tuple(row[kinds[0]])) if kinds else None,
        artifacts=tuple(
            Authentication(strategy=Strategy(artifact["strategy"]), account_id=artifact.get("account_id"))
            for artifact in row.get("artifacts", ())
        ),
        options=row.get("options", {}),
    )


def replies(folder: Path) -> list[Reply]:
    result = []
    for path in sorted(folder.glob("reply*")):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".txt":
            status, _, body = text.partition("\n")
            result.append(Reply(status=int(status), text=body))
        else:
            document = json.loads(text)
            result.append(
                Reply(status=document["status"], text=json.dumps(document["body"]), headers=document.get("headers", {}))
            )
    return result


def plain(value: object) -> Any:  # noqa: ANN401
    """A result as JSON, without what is empty; objects named by their type."""
    if not isinstance(value, Struct):
        return value
    return {"is": type(value).__name__, **_short(to_builtins(value))}


def _short(value: object) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _short(result) for key, result in value.items() if result is not None and result not in ({}, ())}
    return [_short(result) for result in value] if isinstance(value, (list, tuple)) else value


def resource(vendor: Vendor, data: dict[str, Any]) -> Resource:
    build = Build(**data["build"]) if "build" in data else None
    kind = ResourceKind(data["kind"])
    return Resource(id="resource-1", vendor=vendor.info.name, kind=kind, build=build, data=data.get("data", {}))


REQUESTS = {"submit", "poll", "cancel", "cancel_all", "release"}


def answered(vendor: Vendor, case: dict[str, Any], got: list[Reply]) -> Any:  # noqa: ANN401
    if "resource" in case:
        return _of_resource(vendor, case, got)
    entries = tuple(entry(vendor.info.name, row) for row in case.get("entries", ()))
    call = Call(entries=entries, settings=case.get("settings", {}), metadata=Metadata(**case.get("metadata", {})))
    return _of_run(vendor, call, case, got) if "run" in case or got else _of_call(vendor, call, case["ask"])


def _of_resource(vendor: Vendor, case: dict[str, Any], got: list[Reply]) -> Any:  # noqa: ANN401
    made = resource(vendor, case["resource"])
    if case["ask"] == "release":
        return plain(vendor.release(made, Prepared(values=case["prepared"])))
    assert case["ask"] == "prepare"
    return plain(vendor.prepare(made, case.get("token", "token-1"), got))


def _of_call(vendor: Vendor, call: Call, ask: str) -> Any:  # noqa: ANN401
    match ask:
        case "submit":
            calls = [replace(call, entries=tuple(group)) for group in vendor.group(call.entries)]
            return [
                {"entries": [row.id for row in made.entries], **_short(to_builtins(vendor.submit(made)))}
                for made in calls
            ]
        case "resources":
            return [plain(need) for need in vendor.resources(call)]
        case "notices":
            return list(vendor.notices(call))
        case other:
            raise AssertionError(other)


def _of_run(vendor: Vendor, call: Call, case: dict[str, Any], got: list[Reply]) -> Any:  # noqa: ANN401
    run = RemoteRun(**case.get("run", {"id": "run-1"}))
    match case["ask"]:
        case "poll":
            return plain(vendor.poll(call, run))
        case "cancel":
            return plain(vendor.cancel(call, run))
        case "cancel_all":
            return plain(vendor.cancel_all(call, [run, replace(run, id="run-2")]))
        case "accepted":
            runs_made = vendor.accepted(call, got[0])
            return [plain(made) for made in runs_made] if isinstance(runs_made, tuple) else plain(runs_made)
        case "read":
            return plain(vendor.read(call, run, got, polls=case.get("polls", 0)))
        case "refused":
            return plain(vendor.refused(got[0]))
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("vendor", sorted({name.partition("/")[0] for name in CASES}))
def test_golden(vendor: str, request: pytest.FixtureRequest) -> None:
    for name in CASES:
        if name.startswith(f"{vendor}/"):
            compare(ROOT / name, vendor, is_update=request.config.getoption("--update-golden", default=False))


def compare(folder: Path, vendor: str, *, is_update: bool) -> None:
    case = json.loads((folder / "call.json").read_text(encoding="utf-8"))
    try:
        result = answered(registry.get(vendor), case, replies(folder))
    except UnexpectedData as error:
        result = {"is": "UnexpectedData", "message": str(error)}
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    expected = folder / (
        "request.json" if case["ask"] in {"submit", "poll", "cancel", "cancel_all", "release"} else "result.json"
    )
    if is_update:
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8"), folder.name


def test_there_are_cases_for_each_built_in_vendor() -> None:
    assert {name.partition("/")[0] for name in CASES} >= set(registry.names_builtin())

"""An emulator that was asked the same as another one stands where that one stood."""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from qarunner.emulator import serve
from qarunner.emulator.memory import Forgotten, Memory, read_memory
from tests.emulator.conftest import Clock, Stand

if TYPE_CHECKING:
    from pathlib import Path

SCENARIO = """
speed: 2
doksi: { tests: { t1: [failed, passed] }, faults: [{ on: "POST /runs", call: 2, status: 503 }], allowance: 3 }
docketqa: { faults: [{ on: "POST /test_group_run/trigger_run", call: 1, delay: 1h, drop: after }] }
certyn: { rates: { creates: 3 } }
"""
CREATE = {"matrix": [{"platform": "web", "web_url": "https://shop.example/a/s3cret", "test_ids": ["t1"]}]}
GROUP = "1b4e28ba-2fa1-4b5c-9d0e-3f2a1b4c5d6e"


def begin(memory: Memory, path: Path, clock: Clock) -> Stand:
    stand = Stand(serve(clock=clock, memory=memory), clock, faulty=True)
    memory.keep_in(path)
    return stand


def again(path: Path) -> Memory:
    return read_memory(
        path.read_bytes(), lambda text: text.replace("s3cret", "<s>"), lambda text: text.replace("<s>", "s3cret")
    )


def test_it_goes_on_where_another_one_stood(tmp_path: Path) -> None:
    path, clock = tmp_path / "emulator.jsonl", Clock()
    with begin(Memory(SCENARIO, clean=lambda text: text.replace("s3cret", "<s>")), path, clock) as first:
        run = first.json("doksi", "POST /runs", CREATE)["run_id"]
        assert first.call("doksi", "POST /runs", CREATE).status_code == 503
        clock.advance(1)
        process = {"projectSlug": "shop", "processSlug": "smoke"}
        smoke = first.json("certyn", "POST /api/ci/runs", process, headers={"Idempotency-Key": "k"})["runId"]
        first.json("testerarmy", f"POST /groups/{GROUP}/runs", {})
        upload = first.json("doksi", "POST /uploads", {"name": "app"})
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("app.apk", "x")
        assert first.put(upload["upload_url"], data.getvalue(), "application/zip").ok
        made = first.records("runs")
    assert "s3cret" not in path.read_text(encoding="utf-8")
    assert "sk_emulated" not in path.read_text(encoding="utf-8")
    for _ in range(2):  # what was resumed is resumed once more
        with begin(again(path), path, clock) as second:
            assert second.records("runs") == made
            status = second.json("doksi", f"GET /runs/{run}")
            assert status["results"][0]["destination"]["web_url"] == "https://shop.example/a/s3cret"
            key = {"Idempotency-Key": "k"}
            assert second.json("certyn", "POST /api/ci/runs", process, headers=key)["runId"] == smoke
            assert second.records("runs") == made
    with begin(again(path), path, clock) as third:
        clock.advance(30)  # within the minute that rates count
        assert third.call("certyn", "POST /api/ci/runs", process).status_code == 429
        assert third.json("doksi", "POST /targets", {"upload_id": upload["upload_id"]})["target_id"]
        assert third.json("doksi", f"GET /runs/{run}")["status"] == "failed"
        assert third.json("doksi", "POST /runs", CREATE)["run_id"] != run  # the fault of the second call is over
        assert third.json("doksi", "POST /runs", CREATE)
        assert third.call("doksi", "POST /runs", CREATE).status_code == 402  # the allowance is used up


def test_time_goes_on_between_two_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "emulator.jsonl", Clock()
    memory = Memory()
    with begin(memory, path, clock) as first:
        run = first.json("doksi", "POST /runs", CREATE)["run_id"]
        assert first.json("doksi", f"GET /runs/{run}")["status"] == "queued"
    monkeypatch.setattr("time.time", lambda: memory.began.timestamp() + 3600)
    with begin(again(path), path, Clock()) as second:
        assert second.json("doksi", f"GET /runs/{run}")["status"] == "passed"


def test_a_line_that_was_not_finished_is_left_out_and_any_other_damage_is_said(tmp_path: Path) -> None:
    path, clock = tmp_path / "emulator.jsonl", Clock()
    with begin(Memory(), path, clock) as first:
        run = first.json("doksi", "POST /runs", CREATE)["run_id"]
    with path.open("ab") as file:
        file.write(b'{"at":1.0,"met')
    for _ in range(2):
        with begin(again(path), path, clock) as second:
            assert second.json("doksi", f"GET /runs/{run}")
    whole = path.read_bytes().splitlines(keepends=True)
    for lines in ([b"{}\n"], [b"\xff\n"], [whole[0], b"[]\n"], [whole[0], b'{"at":"x"}\n', whole[1]], [b"[" * 9999]):
        path.write_bytes(b"".join(lines))
        with pytest.raises(Forgotten, match="damaged"):
            again(path)
    path.write_bytes(b"")
    with pytest.raises(Forgotten, match="damaged"):
        again(path)
    path.unlink()
    (tmp_path / "elsewhere").touch()
    path.symlink_to(tmp_path / "elsewhere")
    if hasattr(os, "O_NOFOLLOW"):
        with pytest.raises(OSError, match="symbolic link"):
            Memory().keep_in(path)
    assert (tmp_path / "elsewhere").read_bytes() == b""

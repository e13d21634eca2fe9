"""What an apply of many runs costs: the program itself against emulated vendors, and its journal alone.

python benchmarks/running.py [RUNS …]
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from statistics import median

from qarunner.emulator import serve
from qarunner.engine.io.journal import Journal
from qarunner.engine.state import events as ev
from qarunner.vendors.api import RemoteRun

PROGRAM = Path(sys.executable).with_name("qarunner")
SHORTEST_S, LONGEST_S = 1.0, 10.0


def apply(runs: int) -> None:
    chance = random.Random(runs)  # noqa: S311  a benchmark
    lasts = [chance.uniform(SHORTEST_S, LONGEST_S) for _ in range(runs)]
    tests = {str(uuid.UUID(int=number)): {"duration": f"{int(each * 1000)}ms"} for number, each in enumerate(lasts)}
    # TesterArmy makes one run of each test, and documents no rate.
    entries = [{"id": f"e{number}", "vendor": "testerarmy", "test_ids": [test]} for number, test in enumerate(tests)]
    manifest = {"version": 1, "name": "many", "vendors": {"testerarmy": {"max_in_flight": runs}}, "matrix": entries}
    with tempfile.TemporaryDirectory() as folder, serve({"testerarmy": {"tests": tests}}) as running:
        (Path(folder) / "qa-matrix.yml").write_text(json.dumps(manifest), encoding="utf-8")
        environ = {"PATH": os.environ["PATH"], "HOME": folder, **running.environ}

        def run(*arguments: str) -> tuple[float, float, float]:
            """Seconds, seconds of CPU, MiB at most."""
            began = time.monotonic()
            quiet = subprocess.DEVNULL
            process = subprocess.Popen([PROGRAM, *arguments], cwd=folder, env=environ, stdout=quiet, stderr=quiet)
            _, status, used = os.wait4(process.pid, 0)
            if status:
                sys.exit(f"qarunner {arguments[0]} ended with {os.waitstatus_to_exitcode(status)}")
            return time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024

        _, start_up, _ = run("plan", "--format", "json")
        seconds, cpu, peak = run("apply", "--poll-interval", "5s", "--run-id", "r1")
        journal = Path(folder, ".qarunner", "runs", "r1", "journal.jsonl").read_bytes().count(b"\n")
        requests = len(_requests(running.url))
    print(
        f"{runs:5} runs: {seconds:.1f} s, {seconds - max(lasts):.1f} s more than the longest run; {requests} requests, "
        f"{journal} events; CPU {cpu:.2f} s, {start_up:.2f} s of it to plan, "
        f"{(cpu - start_up) * 100 / requests:.2f} s per 100 requests; {peak:.0f} MiB"
    )


def _requests(url: str) -> list[object]:
    import urllib.request  # noqa: PLC0415

    with urllib.request.urlopen(f"{url}/_emulator/requests") as reply:  # noqa: S310  loopback
        found: list[object] = json.load(reply)
        return found


def journal(events: int = 2000) -> None:
    """The journal's own cost: an event that is synced, as a create's are, and one that is not, as a poll's is."""
    accepted = ev.Accepted(at=1e9, job="doksi-1", runs=(RemoteRun(id="k3n2mPq9Rxyz", url="https://example.com/1"),))
    started = ev.RunStarted(at=1e9, version=ev.VERSION, run_id="r", digest="", tool="", endpoints={})
    polled = ev.Polled(at=1e9, job="doksi-1", run="k3n2mPq9Rxyz", note="running", done=1, total=3)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for name, event in (("synced", accepted), ("not synced", polled)):
            with Journal.create(Path(folder) / name.replace(" ", "-"), b"{}", started) as book:
                spent, cpu = [], time.process_time()
                for _ in range(events):
                    began = time.perf_counter()
                    book.append(event)
                    spent.append(time.perf_counter() - began)
                cpu = (time.process_time() - cpu) / events
            print(f"journal, an event that is {name}: {median(spent) * 1e6:.0f} µs, {cpu * 1e6:.0f} µs of CPU")


if __name__ == "__main__":
    journal()
    for size in sys.argv[1:] or ("10", "100", "1000"):
        apply(int(size))

"""How fast an apply begins its runs, and the CPU time of a request: the program against a small fake without a rate.

python benchmarks/creates.py [RUNS …]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from statistics import median

PROGRAM = Path(sys.executable).with_name("qarunner")
ROUNDS = int(os.environ.get("ROUNDS", "5"))

FAKE = '''
import asyncio, json, sys, time

first, last, creates, requests = 0.0, 0.0, 0, 0


def answer(method, path):
    """TesterArmy: a run that has passed when it is asked for; no lists."""
    global first, last, creates, requests
    if path == "/count":
        return 200, {"creates": creates, "requests": requests, "ramp": last - first}
    requests += 1
    words = path.split("?")[0].strip("/").split("/")
    if method == "POST":
        creates, last = creates + 1, time.monotonic()
        first = first or last
        return 202, {"runId": words[1], "status": "queued", "testId": words[1]}
    if len(words) < 2:
        return 404, {"error": "not found"}
    output = {"result": "PASS", "featureName": "f", "description": "d", "issues": [], "steps": []}
    return 200, {"id": words[1], "status": "completed", "testId": words[1], "output": output, "durationMs": 1000}


async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\\r\\n\\r\\n"):
            lines = head.decode().split("\\r\\n")
            method, path, _ = lines[0].split(" ")
            sizes = [line.split(":")[1] for line in lines if line.lower().startswith("content-length:")]
            await reader.readexactly(int(sizes[0]) if sizes else 0)
            status, body = answer(method, path)
            data = json.dumps(body).encode()
            head = f"HTTP/1.1 {status} OK\\r\\nContent-Type: application/json\\r\\nContent-Length: {len(data)}"
            writer.write(head.encode() + b"\\r\\n\\r\\n" + data)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
'''


def apply(runs: int) -> tuple[float, float, int, float]:
    """Seconds from the first create to the last, ms of CPU a request beyond `plan`, requests, MiB."""
    tests = [str(uuid.UUID(int=number)) for number in range(1, runs + 1)]
    entries = [{"id": f"e{number}", "vendor": "testerarmy", "test_ids": [test]} for number, test in enumerate(tests)]
    manifest = {"version": 1, "name": "many", "vendors": {"testerarmy": {"max_in_flight": runs}}, "matrix": entries}
    fake = subprocess.Popen([sys.executable, "-c", FAKE], stdout=subprocess.PIPE, text=True)
    assert fake.stdout is not None  # noqa: S101  it was asked for
    try:
        url = f"http://127.0.0.1:{fake.stdout.readline().strip()}"
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "qa-matrix.yml").write_text(json.dumps(manifest), encoding="utf-8")
            environ = {"PATH": os.environ["PATH"], "HOME": folder}
            environ |= {"QARUNNER_TESTERARMY_URL": url, "TESTERARMY_API_KEY": "sk_benchmark"}
            start_up, _ = _used(folder, environ, "plan", "--format", "json")
            cpu, peak = _used(folder, environ, "apply", "--poll-interval", "5s")
        count = _count(url)
    finally:
        fake.kill()
        fake.wait()
    if count["creates"] != runs:
        sys.exit(f"{count['creates']:g} creates for {runs} runs")
    requests = int(count["requests"])
    return count["ramp"], (cpu - start_up) * 1000 / requests, requests, peak


def _used(folder: str, environ: dict[str, str], *words: str) -> tuple[float, float]:
    """Seconds of CPU, MiB at most."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([PROGRAM, *words], cwd=folder, env=environ, stdout=quiet, stderr=quiet)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"qarunner {words[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _count(url: str) -> dict[str, float]:
    import urllib.request  # noqa: PLC0415

    with urllib.request.urlopen(f"{url}/count") as reply:  # noqa: S310  loopback
        count: dict[str, float] = json.load(reply)
        return count


if __name__ == "__main__":
    for size in map(int, sys.argv[1:] or ("1000", "5000")):
        rounds = [apply(size) for _ in range(ROUNDS)]
        ramp, cpu, requests, peak = (median(values) for values in zip(*rounds, strict=True))
        print(
            f"{size:5} runs: {ramp:.2f} s from the first create to the last; {cpu:.2f} ms of CPU a request "
            f"beyond plan, {requests:.0f} requests; {peak:.0f} MiB"
        )

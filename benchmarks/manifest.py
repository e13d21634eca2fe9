"""What reading and checking a manifest costs: CPU time and memory per entry, in a process of its own for each size.

python benchmarks/manifest.py [ENTRIES …]
"""

from __future__ import annotations

import gc
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (10, 1_000, 10_000, 100_000)
ROUNDS = 5
HEAD = "version: 1\nname: benchmark\nmatrix:\n"
ENTRY = """\
  - id: entry-{0}
    name: Entry number {0}
    labels: [smoke, checkout]
    vendor: doksi
    platform: {1}
    target: {{ web_url: "https://staging.example.com/{0}" }}
    test_ids: [abc{0}, def{0}]
    artifacts: [{{ type: authentication, strategy: specific, account_id: acc_789 }}]
"""


def manifest(entries: int, platform: str = "web") -> str:
    return HEAD + "".join(ENTRY.format(index, platform) for index in range(entries))


def cpu(step: Callable[[], object]) -> float:
    """The median of some rounds, in seconds."""
    times = []
    for _ in range(ROUNDS):
        gc.collect()
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return statistics.median(times)


def measure(entries: int) -> None:
    start = time.process_time()
    from qarunner.manifest.schema import validate as schema  # noqa: PLC0415  importing is one of the figures
    from qarunner.manifest.yaml import reader as document  # noqa: PLC0415  importing is one of the figures

    imported = time.process_time() - start
    raw = manifest(entries).encode()

    start = time.process_time()
    first = document.read("qa-matrix.yml", raw)
    if schema.check(first):
        sys.exit("the generated manifest is not valid")
    once = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kept = held(lambda: document.read("qa-matrix.yml", raw))

    faulty = document.read("qa-matrix.yml", manifest(entries, platform="webb"))
    steps: dict[str, Callable[[], object]] = {
        "read": lambda: document.read("qa-matrix.yml", raw),
        "check": lambda: schema.check(first),
        "locate all": lambda: [first.locate(("matrix", index, "vendor")) for index in range(entries)],
        "explain all": lambda: schema.check(faulty),
    }
    if entries > 10_000:
        del steps["explain all"]
    figures = "  ".join(f"{name} {cpu(step) * 1e6 / entries:7.2f}" for name, step in steps.items())
    print(f"{entries:7} entries, µs each: {figures}   kept {kept / 1024 / entries:5.2f} KiB each")
    print(f"{'':15} once: import {imported * 1e3:.0f} ms, read + check {once * 1e3:.0f} ms, peak {peak:.0f} MiB")


def held(build: Callable[[], object]) -> int:
    """Bytes that a result keeps."""
    tracemalloc.start()
    kept = build()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return size


if __name__ == "__main__":
    if len(sys.argv) == 2:
        measure(int(sys.argv[1]))
    else:
        for size in sys.argv[1:] or SIZES:
            subprocess.run([sys.executable, __file__, str(size)], check=True)

"""Serves the emulated vendors until SIGINT or SIGTERM, after printing the environment that leads to them."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.emulator.scenario import ScenarioError
from qarunner.emulator.server import serve

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None, *, called: str = "python -m qarunner.emulator") -> int:
    """Runs the program; 0 after a signal, 2 for a scenario or an address that cannot be used."""
    options = _parser(called).parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        running = serve(options.scenario, options.port, host=options.host, speed=options.speed)
    except (ScenarioError, ValueError, OSError) as error:
        sys.stderr.write(f"emulator: error: {error}\n")
        return 2
    with running:
        sys.stdout.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in running.environ.items())
        sys.stdout.flush()
        stop.wait()
    return 0


def _parser(called: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=called,
        description="Serve emulations of the vendors' APIs on loopback, and print the environment that leads to them.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="the port; 0 picks a free one (default: %(default)s)")
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="a scenario file (default: everything passes)")
    parser.add_argument("--speed", type=float, metavar="FLOAT", help="how much faster than real time runs advance")
    return parser


if __name__ == "__main__":
    sys.exit(main())

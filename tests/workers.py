"""Runs the tests in several processes, which are forked when all tests are known: none imports or collects them again.

Each process takes one file after another. Where there is no fork, one process runs them all.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import dataclass
from itertools import chain, groupby
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

_Files = list[list[pytest.Item]]


def number_of(text: str) -> int:
    """A number of workers; `auto` is two more than cores, since tests wait for emulated vendors part of their time."""
    if text != "auto":
        return int(text)
    if not hasattr(os, "fork"):
        return 1
    return 2 + (len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


_LONG = frozenset({"pipelines", "program", "simulation"})
"""Folders whose files take longest. They begin first, so that no worker is left with one of them at the end."""


@dataclass
class _Worker:
    process: BaseProcess
    running: pytest.Item | None = None
    ended: bool = False
    """Whether it said so: a process that goes without a word has tests left."""


class Workers:
    """The plugin that runs tests in so many processes."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._fork = multiprocessing.get_context("fork")
        self._taken = self._fork.Value("i", 0)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed or session.config.option.collectonly:
            return None
        if terminal := session.config.pluginmanager.get_plugin("terminalreporter"):
            terminal.showfspath = False  # it would begin a line at each report, as files alternate
        # What the workers share has to be there before them: the folder of temporary folders, and the fork server.
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        if "tests.fork_server" in sys.modules:
            sys.modules["tests.fork_server"].begin()
        files = [list(items) for _, items in groupby(session.items, key=lambda item: item.path)]
        files.sort(key=lambda items: items[0].path.parent.name not in _LONG)
        workers = dict(self._begin(session, files, number) for number in range(min(self._number, len(files))))
        try:
            _follow(session, workers)
        finally:
            for worker in workers.values():
                worker.process.kill()
                worker.process.join()
        return True

    def _begin(
        self, session: pytest.Session, files: list[list[pytest.Item]], number: int
    ) -> tuple[Connection, _Worker]:
        reading, writing = self._fork.Pipe(duplex=False)
        process = self._fork.Process(target=self._work, args=(session, files, writing, number))
        process.start()
        writing.close()
        return reading, _Worker(process)

    def _work(self, session: pytest.Session, files: _Files, line: Connection, number: int) -> None:
        """All that a worker does, in its process."""
        config = session.config
        config.pluginmanager.unregister(name="terminalreporter")
        reporter = _Reporter(config)
        config.pluginmanager.register(reporter)
        capture: Any = config.pluginmanager.get_plugin("capturemanager")
        capture.stop_global_capturing()  # its files are shared with the other workers
        capture.start_global_capturing()
        capture.suspend_global_capture()
        temporary = config._tmp_path_factory  # type: ignore[attr-defined]
        temporary._basetemp = temporary.getbasetemp() / f"worker-{number}"
        temporary._basetemp.mkdir()
        numbers: dict[pytest.Item | None, int] = {item: number for number, item in enumerate(session.items)}
        items: Iterator[pytest.Item | None] = chain(self._take(files), [None])
        item = next(items)
        while item is not None:
            # One message for each test: to wake the process that shows them takes as long as many a test.
            line.send((reporter.taken(), numbers[item]))
            following = next(items)
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            item = following
        line.send((reporter.taken(), None))

    def _take(self, files: _Files) -> Iterator[pytest.Item]:
        """The tests of one file after another that no worker has taken."""
        while True:
            with self._taken.get_lock():
                number = self._taken.value
                self._taken.value += 1
            if number >= len(files):
                return
            yield from files[number]


class _Reporter:
    """Keeps a worker's reports for the process that shows them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._reports: list[object] = []

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        to_data = self._config.hook.pytest_report_to_serializable
        is_plain = report.longrepr is None  # it can go as it is, which is quicker
        self._reports.append(report if is_plain else to_data(config=self._config, report=report))

    def taken(self) -> list[object]:
        reports, self._reports = self._reports, []
        return reports


def _follow(session: pytest.Session, workers: dict[Connection, _Worker]) -> None:
    """Passes on what the workers report, until all of them have ended."""
    hook = session.config.hook
    reading = list(workers)
    while reading:
        ready = wait(reading)
        for line in [line for line in reading if line in ready]:
            worker = workers[line]
            try:
                reports, number = line.recv()
            except EOFError:
                reading.remove(line)
                reports = [] if worker.ended else [_lost(worker)]
            else:
                worker.ended = number is None
                worker.running = None if number is None else session.items[number]
            for message in reports:
                report = message
                if not isinstance(report, pytest.TestReport):
                    report = hook.pytest_report_from_serializable(config=session.config, data=message)
                hook.pytest_runtest_logreport(report=report)
            if reason := session.shouldfail or session.shouldstop:
                raise session.Failed(reason)


def _lost(worker: _Worker) -> pytest.TestReport:
    """The report on a test whose process went away, and took the tests along that it was to run."""
    worker.process.join()
    item = worker.running
    text = f"the worker that ran it ended with {worker.process.exitcode}, and has tests left"
    assert item is not None, text
    return pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")

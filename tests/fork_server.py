"""Starts the program without importing it each time: a process that has imported it all, and forks for a start.

A process whose program ended, and left nothing behind, takes the next start: half of what a short command costs are the
pages that a new process copies. One that got a signal takes no other, and one with code of its own (PYTHONPATH) only
starts with the same code, where that says that it sets constants alone.

`Forked` has of Popen's interface what tests use; `StandIn` is for what starts `python -I -m MODULE` itself.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import marshal
import math
import os
import pkgutil
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CAN_FORK = hasattr(os, "fork")
_LENGTH = 8
_PIECE = 65536
_STREAMS = 3
_NOT_FLUSHED = 120  # the interpreter's own code, where it cannot write what is buffered
_PROGRAM = "qarunner.__main__"
CONSTANTS = "# It sets constants alone.\n"
"""Code of a test's own that begins so leaves a process as the next start with the same code finds it."""
_QUICK = "vendor:doksi"


# --- in the test's process --------------------------------------------------------------------------------------------


class Forked:
    """A process of the program that was forked; the part of Popen's interface that tests use.

    It writes into `stdout` and `stderr`, or into a pipe where that is None.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        *,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
    ) -> None:
        self.returncode: int | None = None
        nothing = os.open(os.devnull, os.O_RDONLY)
        out_end, self.stdout = _pipe(stdout)
        err_end, self.stderr = _pipe(stderr)
        order = {"module": _PROGRAM, "words": list(words), "folder": str(folder), "environ": dict(environ)}
        self._control = _start(order, (nothing, out_end, err_end))
        for end in (nothing, out_end, err_end):
            os.close(end)

    def poll(self) -> int | None:
        return self._code(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("qarunner", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(OSError):  # it ended meanwhile
                self._control.sendall(bytes([number]))

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What is left to read, once the process has ended; nothing of a pipe that is None."""
        limit = math.inf if timeout is None else time.monotonic() + timeout
        pipes = [pipe for pipe in (self.stdout, self.stderr) if pipe is not None]
        told = dict.fromkeys(pipes, b"")
        with selectors.DefaultSelector() as reading:
            for pipe in pipes:
                reading.register(pipe, selectors.EVENT_READ, pipe)
            while reading.get_map():
                if limit < time.monotonic():
                    raise subprocess.TimeoutExpired("qarunner", timeout or 0)
                for key, _ in reading.select(min(1.0, limit - time.monotonic())):
                    piece = os.read(key.fd, _PIECE)
                    told[key.data] += piece
                    if not piece:
                        reading.unregister(key.data)
        self.wait(None if timeout is None else max(0.0, limit - time.monotonic()))
        out, err = ("" if pipe is None else told[pipe].decode() for pipe in (self.stdout, self.stderr))
        for pipe in pipes:
            pipe.close()
        return out, err

    def _code(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._control.settimeout(timeout)
            try:
                told = self._control.recv(_LENGTH)
            except (BlockingIOError, TimeoutError):
                return None
            finally:
                self._control.settimeout(None)
            self._control.close()
            self.returncode = int(told)
        return self.returncode


def _pipe(to: IO[str] | None) -> tuple[int, IO[str] | None]:
    """What the process writes into, and what is read in its place."""
    if to is not None:
        return os.dup(to.fileno()), None
    reading, writing = os.pipe()
    return writing, os.fdopen(reading, encoding="utf-8")


class _Lead:
    """The way to this process's server, which ends when it is cut."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._ready = -1

    def send(self, control: socket.socket) -> None:
        lead = self.connected()
        os.read(self._ready, 1)  # its end: the server has imported it all, which a test's patience does not include
        socket.send_fds(lead, [b"+"], [control.fileno()])

    def connected(self) -> socket.socket:
        with self._lock:
            if self._socket is None:
                self._socket = self._begin()
            return self._socket

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._ready, ready = os.pipe()
        # Without this process's variables: a start brings its own, and the interpreter must not have read others.
        environ = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
        server = subprocess.Popen(
            [sys.executable, "-P", __file__, str(theirs.fileno()), str(ready)],
            env=environ,
            pass_fds=[theirs.fileno(), ready],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        theirs.close()
        os.close(ready)

        def end() -> None:
            ours.close()
            server.wait()

        atexit.register(end)
        return ours


_LEAD = _Lead()


def begin() -> None:
    """Starts the server now, so that the processes that this one forks share it."""
    _LEAD.connected()


_STAND_IN = """\
#!{python} -IS
import os, sys
if sys.argv[1:3] != ["-I", "-m"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
import marshal, _signal, _socket  # the modules that are made of these two take as long to import as the rest to start

def send(to, data, *numbers):
    packed = b"".join(number.to_bytes(4, sys.byteorder) for number in numbers)
    to.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])

control, theirs = _socket.socketpair()
send(_socket.socket(fileno={lead}), b"+", theirs.fileno())
theirs.close()
order = {{"module": sys.argv[3], "words": sys.argv[4:], "folder": os.getcwd(), "environ": dict(os.environ)}}
data = marshal.dumps(order)
send(control, len(data).to_bytes({length}, "big"), 0, 1, 2)
control.sendall(data)
for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    _signal.signal(number, lambda number, _: control.sendall(bytes([number])))
code = int(control.recv({length}))
if code < 0:
    _signal.signal(-code, _signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class StandIn:
    """An executable in the place of `python`: `-I -m MODULE …` is forked, passes signals on, and dies with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = _LEAD.connected().fileno()
        """Whoever starts it has to leave this open."""
        text = _STAND_IN.format(python=sys.executable, lead=self.fd, length=_LENGTH)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o700)


def _start(order: dict[str, Any], streams: tuple[int, ...]) -> socket.socket:
    """The socket over which the process takes signals and tells its exit code."""
    ours, theirs = socket.socketpair()
    with theirs:
        _LEAD.send(theirs)
    _send(ours, marshal.dumps(order), streams)
    return ours


def _send(to: socket.socket, order: bytes, streams: Sequence[int]) -> None:
    socket.send_fds(to, [len(order).to_bytes(_LENGTH, "big")], streams)
    to.sendall(order)


# --- in the server's process ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Start:
    """What a process is to be."""

    module: str
    words: list[str]
    folder: str
    environ: dict[str, str]
    streams: list[int]

    def code(self) -> str | None:
        """What runs in its process before the program; None if that keeps all others out of it."""
        folder = self.environ.get("PYTHONPATH")
        if folder is None:
            return ""
        path = Path(folder, "sitecustomize.py")
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return text if text.startswith(CONSTANTS) else None

    def order(self) -> bytes:
        return marshal.dumps({name: value for name, value in vars(self).items() if name != "streams"})


@dataclass(frozen=True)
class _Child:
    """A process that was forked: where its end is told, and where the process takes starts and gives exit codes."""

    control: socket.socket
    line: socket.socket
    code: str | None


class _Server:
    """Finds or forks a process for each start, passes signals on, and tells exit codes."""

    def __init__(self, starts: socket.socket) -> None:
        self._starts = starts
        self._running: dict[int, _Child] = {}
        self._signalled: set[int] = set()
        self._idle: defaultdict[str | None, list[tuple[int, socket.socket]]] = defaultdict(list)
        """By the code that is in them."""
        self._selector = selectors.DefaultSelector()
        self._woken, self._waking = socket.socketpair()
        self._waking.setblocking(False)  # noqa: FBT003  its only form
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the tests' process ends, and this one with it
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        self._selector.register(starts, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def serve(self) -> tuple[_Start, socket.socket]:
        """Returns in each process that was forked; never in the server."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._starts:
                    forked = self._started()
                    if forked is not None:
                        return forked
                elif key.fileobj is self._woken:
                    self._woken.recv(4096)
                    self._bury()
                elif key.data in self._running:
                    child = self._running[key.data]
                    if key.fileobj is child.line:
                        self._finish(key.data, child)
                    else:
                        self._pass_on(key.data, child)

    def _started(self) -> tuple[_Start, socket.socket] | None:
        message, sockets, *_ = socket.recv_fds(self._starts, 1, 1)
        if not message:
            self._end()
        control = socket.socket(fileno=sockets[0])
        start = _read(control)
        code = start.code()
        if code is not None and self._idle[code]:
            pid, line = self._idle[code].pop()
            _send(line, start.order(), start.streams)
        else:
            line, theirs = socket.socketpair()
            pid = os.fork()
            if not pid:
                self._leave(control, line)
                return start, theirs
            theirs.close()
        for stream in start.streams:
            os.close(stream)
        self._running[pid] = _Child(control, line, code)
        for end in (control, line):
            self._selector.register(end, selectors.EVENT_READ, pid)
        return None

    def _leave(self, *ends: socket.socket) -> None:
        """Takes apart, in a process that was forked, what is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for name in ("SIGQUIT", "SIGHUP"):  # a shell ignores them for what runs in the background
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        others = (end for child in self._running.values() for end in (child.control, child.line))
        idle = (line for processes in self._idle.values() for _, line in processes)
        for each in (self._starts, self._woken, self._waking, *ends, *others, *idle):
            each.close()
        self._selector.close()

    def _pass_on(self, pid: int, child: _Child) -> None:
        numbers = child.control.recv(_LENGTH)
        self._signalled.add(pid)
        for number in numbers or [signal.SIGKILL]:  # whoever started it has gone
            os.kill(pid, number)
        if not numbers:
            self._selector.unregister(child.control)

    def _finish(self, pid: int, child: _Child) -> None:
        """Takes the exit code of a process that could go on; nothing where it could not, and dies."""
        code = child.line.recv(_LENGTH)
        if not code:
            self._selector.unregister(child.line)
            return
        del self._running[pid]
        self._tell(child, code)
        if pid in self._signalled:
            child.line.close()  # at which it ends
        else:
            self._idle[child.code].append((pid, child.line))

    def _tell(self, child: _Child, code: bytes) -> None:
        for end in (child.control, child.line):
            if end in self._selector.get_map():
                self._selector.unregister(end)
        with contextlib.suppress(OSError):  # nobody asks any more
            child.control.sendall(code)
        child.control.close()

    def _bury(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                self._signalled.discard(pid)
                child = self._running.pop(pid, None)
                if child is not None:  # else its code was told
                    self._tell(child, str(os.waitstatus_to_exitcode(status)).encode())
                    child.line.close()

    def _end(self) -> NoReturn:
        for pid in (*self._running, *(pid for processes in self._idle.values() for pid, _ in processes)):
            os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        os._exit(0)


def _read(control: socket.socket) -> _Start:
    length, streams, *_ = socket.recv_fds(control, _LENGTH, _STREAMS)
    if not length:
        os._exit(0)  # an idle process that is no longer needed
    size, data = int.from_bytes(length, "big"), b""
    while len(data) < size:
        data += control.recv(size - len(data))
    return _Start(**marshal.loads(data), streams=streams)  # noqa: S302  of the tests' own processes


def _import_all() -> None:
    """Everything that the program may import, so that no start does. Once is planned and applied, too.

    What is kept of that, such as compiled patterns, the schema and each command's options, is the same for each start.
    """
    import qarunner  # noqa: PLC0415  no test's process needs it

    for module in pkgutil.walk_packages(qarunner.__path__, "qarunner."):
        if "testing" not in module.name:
            importlib.import_module(module.name)
    example = Path(__file__).parent.parent / "examples" / "storefront" / "qa-matrix.yml"
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(example, folder)
        Path(folder, "scenario.yml").write_text("speed: 1000", encoding="utf-8")
        os.chdir(folder)
        for words in (
            "plan",
            f"apply --rehearse --scenario scenario.yml --select {_QUICK} --poll-interval 1ms",
            "status",
            *(f"{name} --help" for name in importlib.import_module("qarunner.cli.command_line").COMMANDS),
        ):
            sys.argv[1:] = words.split()
            with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                _main(_PROGRAM)()
        assert threading.active_count() == 1, "a process with threads is not to be forked"
        os.chdir("/")
    sys.argv[1:] = arguments


def _main(module: str) -> Callable[[], None]:
    name, _, function = module.partition(":")
    start: Callable[[], None] = getattr(importlib.import_module(name), function or "main")
    return start


def _become(start: _Start) -> None:
    """Makes this process what a start from nothing would have found."""
    for number, stream in enumerate(start.streams):
        os.dup2(stream, number)
        os.close(stream)
    # As an interpreter makes them when it starts: what a stream can do depends on what it leads to.
    out, err = sys.stdout, sys.stderr
    sys.stdout = os.fdopen(1, "w", encoding=out.encoding, errors=out.errors, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding=err.encoding, errors=err.errors, closefd=False)
    os.chdir(start.folder)
    os.environ.clear()
    os.environ.update(start.environ)
    time.tzset()
    tempfile.tempdir = None
    sys.argv = [str(Path(sys.executable).with_name("qarunner")), *start.words]


def _customise(start: _Start) -> None:
    if paths := start.environ.get("PYTHONPATH"):
        sys.path[:0] = paths.split(os.pathsep)
        sys.modules.pop("sitecustomize", None)
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module("sitecustomize")


def _run(module: str) -> int:
    """Runs the program and ends as the interpreter does, but without taking every module apart."""
    code: object = 0
    try:
        _main(module)()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  as the interpreter does
        code = 1
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = _NOT_FLUSHED
    return code if isinstance(code, int) else 0


def _state() -> object:
    """What a program may leave behind in its process: files that are open (and locked), threads, handlers."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)]
    return sorted(os.listdir("/dev/fd")), threading.active_count(), handlers  # noqa: PTH208  names alone


def _live(start: _Start, line: socket.socket) -> NoReturn:
    """Is one process of the program after another, as long as each leaves nothing behind."""
    nothing = os.open(os.devnull, os.O_RDWR)
    is_alone = start.code() is None
    _become(start)
    _customise(start)
    before = _state()
    while True:
        code = _run(start.module)
        if is_alone or _state() != before:
            os._exit(code)
        os.chdir("/")
        for stream in range(_STREAMS):
            os.dup2(nothing, stream)  # whoever reads what it wrote sees the end
        line.sendall(str(code).encode())
        start = _read(line)
        _become(start)


if __name__ == "__main__":
    _import_all()
    gc.collect()
    os.close(int(sys.argv[2]))
    gc.freeze()  # what is there now is in every process, and is not looked at again
    _live(*_Server(socket.socket(fileno=int(sys.argv[1]))).serve())

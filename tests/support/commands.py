"""Commands in processes of their own that do not import PyTorch again: forked from one that has.

A test of exit codes, signals, files and outputs needs a process, but not the two seconds in which a new one imports its
libraries: `fork_server` imports them once and forks for every command.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fork_server
from fork_server import end, open_streams, run_source

#: what a process of `fkflow` runs
FKFLOW = "from fkflow.__main__ import command\ncommand()\n"
#: the same, which says on stderr how many iterations are done
COUNTED = (
    """
import sys
from fkflow.runs import run
show = run.show
def count(session, record):
    show(session, record)
    print(f"iteration {len(session.records)};", file=sys.stderr, flush=True)
run.show = count
"""
    + FKFLOW
)
#: the command in a new interpreter, which imports all by itself
NEW = "import os, sys\nos.execv(sys.executable, [sys.executable, '-m', 'fkflow', *sys.argv[1:]])\n"


class Running:
    """A process that was started by `start`; what it prints goes to files."""

    def __init__(self, pid: int, out: str, err: str) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._out, self._err = Path(out), Path(err)

    @property
    def stdout(self) -> str:
        """What it has printed by now."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """Its messages by now."""
        return self._err.read_text()

    def poll(self) -> int | None:
        """The exit code, minus the number of the signal that ended it; None while it runs."""
        if self.returncode is None:
            self.returncode = _server()({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float = 120.0) -> int:
        """Wait for the end; returns the exit code. A process that takes longer is killed, which fails the test."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                self.send_signal(signal.SIGKILL)
                raise AssertionError(f"it runs for more than {timeout} s:\n{self.stderr}")
            time.sleep(0.01)
        return code

    def finish(self, timeout: float = 120.0) -> tuple[int, str, str]:
        """Wait for the end; returns the exit code, stdout and stderr."""
        return self.wait(timeout), self.stdout, self.stderr

    def wait_for(self, text: str, timeout: float = 60.0) -> None:
        """Wait until a line of stderr begins with this text."""
        until = time.monotonic() + timeout
        while not any(line.startswith(text) for line in self.stderr.splitlines()):
            ended = self.poll() is not None
            assert not ended and time.monotonic() < until, f"no line {text!r} in:\n{self.stderr}"
            time.sleep(0.005)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def start(
    folder: Path,
    *arguments: object,
    code: str = FKFLOW,
    session: bool = False,
    environment: Mapping[str, object] | None = None,
) -> Running:
    """Start a process in a folder: the command with these arguments, or other Python source that finds them in sys.argv.

    `session`: it leads a session, and so a process group, of its own.
    """
    out, err = (tempfile.mkstemp(dir=_server().outputs.name)[1] for _ in range(2))
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        **{name: str(value) for name, value in (environment or {}).items()},
    }
    request = {
        "start": code, "arguments": [str(argument) for argument in arguments], "folder": str(folder), "out": out, "err": err,
        "environment": variables, "session": session,
    }  # fmt: skip
    return Running(_server()(request), out, err)


def run(
    folder: Path, *arguments: object, code: str = FKFLOW, timeout: float = 300.0, **how: Any
) -> tuple[int, str, str]:
    """Run a process to its end; returns the exit code, stdout and stderr."""
    return start(folder, *arguments, code=code, **how).finish(timeout)


def good(folder: Path, *arguments: object, **how: Any) -> str:
    """What a command that ends well prints on stdout."""
    code, out, err = run(folder, *arguments, **how)
    assert code == 0, err
    return out


def new(code: str) -> str:
    """Source that runs `code` in a new interpreter."""
    return f"import os, sys\nos.execv(sys.executable, [sys.executable, '-c', {code!r}, *sys.argv[1:]])\n"


def interrupt(
    folder: Path, number: int, line: str, *arguments: object, wait: float = 0.0, **how: Any
) -> tuple[int, str]:
    """Start a command, send it a signal `wait` seconds after a line of stderr begins so; its exit code and its stderr."""
    process = start(folder, *arguments, **how)
    process.wait_for(line)
    time.sleep(wait)
    process.send_signal(number)
    code, _, err = process.finish(60)
    return code, err


class Forked(subprocess.Popen[Any]):
    """In the place of `subprocess.Popen`: ``python -m MODULE`` and ``python FILE`` run in a fork of this process.

    What a program starts so need not import PyTorch again. Other calls are as ever.
    """

    def __init__(self, call: Any, **how: Any) -> None:
        if call[0] == sys.executable and (call[1] == "-m" or call[1].endswith(".py")):
            how["preexec_fn"] = functools.partial(_go_on_as, call[1:])
            # what is printed already is not for it
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        super().__init__(call, **how)


def _go_on_as(words: list[str]) -> None:
    """Be the new process, in its folder and with its streams, where a new interpreter would be started."""
    # what ends with the parent, such as the folder of its outputs, does not end with this process
    atexit._clear()
    # one of them tells the parent that the process has begun
    os.closerange(3, 1024)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    open_streams()
    sys.argv = words[words[0] == "-m" :]
    how = "run_module" if words[0] == "-m" else "run_path"
    end(run_source(f"import runpy\nrunpy.{how}({sys.argv[0]!r}, run_name='__main__')\n"))


class _Server:
    """The process that forks; called with a request, it answers."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        self.outputs = tempfile.TemporaryDirectory(prefix="fkflow-tests-")
        self._process = subprocess.Popen(
            [sys.executable, fork_server.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        atexit.register(self._end)

    def __call__(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def _end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@functools.cache
def _server() -> _Server:
    return _Server()


def refuses(answer, code, *words):
    """The answer is one `fkflow: error:` line with all `words`, nothing on stdout."""
    assert answer[0] == code and answer[1] == ""
    lines = answer[2].strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("fkflow: error: ")
    for word in words:
        assert word in lines[0]

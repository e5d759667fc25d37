"""The whole command line in a second: a server has imported everything, holds a few images, and forks each job.

The workers are forked too. Everything else is real: processes, pipes, groups, signals and files. The server
(`python quickly.py`) reads a line of JSON for each job from standard input, and answers on standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import injection

ROOT = Path(__file__).resolve().parents[2]
IMAGES = (192, 100)
TRACEBACK = "Traceback"
MEMORY = 8 << 30  # bytes, more than any job needs; a job that reads for ever ends here


@dataclass
class Job:
    """A command in a process of its own. Each of its workers leads a session of its own."""

    server: Server
    pid: int
    scratch: Path
    code: int | None = None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Its exit code, which is negative for a signal. None while it runs."""
        if self.code is None:
            self.code = self.server.ask(poll=self.pid)["code"]
        return self.code

    def wait(self, timeout: float = 120) -> int:
        """Wait for its end, and return its exit code."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"it still ran after {timeout} seconds: {self.errors}")
            time.sleep(0.003)
        assert self.code is not None
        return self.code

    @property
    def output(self) -> str:
        """Its standard output."""
        return (self.scratch / "output").read_text(encoding="utf-8", errors="replace")

    @property
    def errors(self) -> str:
        """Its standard error."""
        return (self.scratch / "errors").read_text(encoding="utf-8", errors="replace")

    @property
    def fired(self) -> bool:
        """Whether the fault that it was started with has struck."""
        return (self.scratch / "fired").exists()

    @property
    def begun(self) -> bool:
        """Whether the command line has been called."""
        return (self.scratch / "begun").exists()

    def workers(self) -> list[int]:
        """The process numbers of its workers that still run."""
        return [pid for path in (self.scratch / "workers").iterdir() if _runs(pid := int(path.name))]

    def none_left(self, seconds: float = 20) -> bool:
        """Whether all its workers end in time."""
        deadline = time.monotonic() + seconds
        while self.workers():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.003)
        return True


class Server:
    """Starts jobs on behalf of the tests."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._jobs = 0
        command = [sys.executable, __file__]
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=scratch,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(
        self,
        *words: object,
        folder: Path,
        where: str = "",
        fault: tuple[str, int, str] | None = None,
        output: str = "",
        errors: str = "",
        limit: int | None = None,
        clock: bool = False,
    ) -> Job:
        """Start `bench WORDS` in a folder.

        `fault` (call, which, kind) strikes in the "job" or in each of its "workers", as `where` says. `output` and
        `errors` name a file, or are "closed" (at the start) or "broken" (a pipe that nobody reads). No file may grow
        beyond `limit` bytes. With `clock`, every look at the time of day finds it an hour earlier.
        """
        self._jobs += 1
        scratch = self.scratch / f"job {self._jobs}"
        (scratch / "workers").mkdir(parents=True)
        answer = self.ask(
            words=[*map(str, words)],
            folder=str(folder),
            scratch=str(scratch),
            where=where,
            fault=fault,
            output=output,
            errors=errors,
            limit=limit,
            clock=clock,
        )
        return Job(self, answer["pid"], scratch)

    def run(self, *words: object, folder: Path, **options: Any) -> Job:
        """Start a command and wait for its end."""
        job = self.start(*words, folder=folder, **options)
        job.wait()
        return job

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def _runs(pid: int) -> bool:
    """Whether a process runs. A process that has ended and was not waited for does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# The code below runs in the server


class ForkedWorker:
    """The part of `subprocess.Popen` that the scheduler uses, without a new interpreter."""

    scratch: ClassVar[Path]
    fault: ClassVar[injection.Injector | None] = None
    fault_of_job: ClassVar[injection.Injector | None] = None
    returncode: int | None = None

    def __init__(self, command: list[str], *, env: dict[str, str], start_new_session: bool, **pipes: int) -> None:
        assert command[-2:] == ["-m", "bench.jobs.worker"]
        assert start_new_session
        (task, task_in), (out, messages), (err, complaints), (begun, begin) = (os.pipe() for _ in range(4))
        self.pid = os.fork()
        if self.pid == 0:
            _end(lambda: self._work([task, messages, complaints], begin, env))
        for descriptor in (task, messages, complaints, begin):
            os.close(descriptor)
        os.read(begun, 1)
        os.close(begun)
        self.stdin = os.fdopen(task_in, "wb")
        self.stdout = os.fdopen(out, "rb")
        self.stderr = os.fdopen(err, "rb")

    def wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def _work(self, descriptors: Sequence[int], begin: int, variables: dict[str, str]) -> int:
        from bench.jobs.worker import process

        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(variables)
        _take_over([*descriptors, begin])
        (self.scratch / "workers" / str(os.getpid())).touch()  # now it holds no lock of the job
        os.write(_BEGIN, b"!")
        os.close(_BEGIN)
        if self.fault_of_job is not None:
            self.fault_of_job.remove()
        if self.fault is not None:
            self.fault.install()
        process.main()
        return 0


class BackwardClock(datetime):
    """A clock that goes back an hour at every look."""

    looks: ClassVar[int] = 0

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        cls.looks += 1
        return datetime(2026, 1, 31, 12, tzinfo=UTC) - timedelta(hours=cls.looks)


_BEGIN = 3  # the descriptor behind the standard streams, by which a worker says that it has begun


def _take_over(descriptors: Sequence[int]) -> None:
    """Make the first three the standard streams of this process, and close all files but these descriptors."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.closerange(len(descriptors), 4096)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering=buffering, encoding="utf-8", closefd=False)  # noqa: SIM115
        for number, (mode, buffering) in enumerate((("r", -1), ("w", -1), ("w", 1)))
    )


def _end(act: Callable[[], int]) -> None:
    """Do the work of a forked process, and end it with the exit code."""
    code = 1
    try:
        code = act()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _serve() -> None:
    import torch

    torch.set_num_threads(1)  # before anything starts threads: a fork would lose them

    from bench.cli import parser
    from bench.evidence.comparison import compare  # noqa: F401
    from bench.gate import regression  # noqa: F401
    from bench.jobs import job, scheduling, verify  # noqa: F401
    from bench.report import files, show  # noqa: F401
    from bench.training import data
    from models import ARCHITECTURES

    small = data.load(ROOT / "data").head(*IMAGES)
    small = data.Dataset(*(getattr(small, name).clone() for name in small.__dataclass_fields__))
    data.load, data.ensure = lambda folder: small, lambda folder: None
    scheduling.subprocess = SimpleNamespace(Popen=ForkedWorker, PIPE=subprocess.PIPE, run=subprocess.run)
    for architecture in ARCHITECTURES.values():
        _ = architecture.digest
    _warm_up()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        else:
            pid = os.fork()
            if pid == 0:
                _end(lambda request=request: _run(request, parser.main))
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _warm_up() -> None:
    """Load what the first exact step of training would load."""
    from bench.training import golden
    from models import ARCHITECTURES

    for name in ("unpadded", "ten_twenty_thirty"):
        golden.require(ARCHITECTURES[name])


def _run(request: dict[str, Any], main: Callable[[Sequence[str]], int]) -> int:
    """The work of a forked job."""
    from bench.record import rows

    scratch, folder = Path(request["scratch"]), Path(request["folder"])
    descriptors = [os.open(os.devnull, os.O_RDONLY)]
    for name in ("output", "errors"):
        if request[name] == "broken":
            nobody, descriptor = os.pipe()
            os.close(nobody)
        else:
            path = scratch / name if request[name] in ("", "closed") else Path(request[name])
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        descriptors.append(descriptor)
    _take_over(descriptors)
    for number, name in ((1, "output"), (2, "errors")):
        if request[name] == "closed":
            os.close(number)
            setattr(sys, {1: "stdout", 2: "stderr"}[number], None)
    os.chdir(folder)
    ForkedWorker.scratch = scratch
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    if request["limit"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["limit"], resource.RLIM_INFINITY))
    if request["clock"]:
        rows.datetime = BackwardClock
        time.time = lambda: BackwardClock.now().timestamp()
    (scratch / "begun").touch()
    if request["fault"]:
        injector = injection.Injector(folder, *request["fault"], log=scratch / "fired")
        if request["where"] == "job":
            ForkedWorker.fault_of_job = injector
            injector.install()
        else:
            ForkedWorker.fault = injector
    return main(request["words"])


if __name__ == "__main__":
    _serve()

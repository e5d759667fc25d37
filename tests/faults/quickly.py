"""The whole command line in a second: a server that has imported everything and holds a few images forks each job.

Its workers are forked too; all else is the real thing: the same processes, pipes, groups, signals and files. The
server (`python quickly.py`) reads a line of JSON for each job from its standard input and answers on its output.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import injection

ROOT = Path(__file__).resolve().parents[2]
IMAGES = (256, 200)


@dataclass
class Job:
    """A command that runs in a process of its own; it is its group's leader, and each worker that of another group."""

    server: Server
    pid: int
    scratch: Path
    code: int | None = None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.code is None:
            self.code = self.server.ask(poll=self.pid)["code"]
        return self.code

    def wait(self, timeout: float = 120) -> int:
        """Its exit code."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"it still ran after {timeout} seconds: {self.errors}")
            time.sleep(0.003)
        return self.code

    @property
    def output(self) -> str:
        """What it wrote to standard output."""
        return (self.scratch / "output").read_text(encoding="utf-8", errors="replace")

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return (self.scratch / "errors").read_text(encoding="utf-8", errors="replace")

    @property
    def fired(self) -> bool:
        """Whether the fault it was started with has struck."""
        return (self.scratch / "fired").exists()

    def workers(self) -> list[int]:
        """Those of its workers that still run."""
        return [pid for path in (self.scratch / "workers").iterdir() if _runs(pid := int(path.name))]

    def none_left(self, seconds: float = 20) -> bool:
        """Whether all its workers are gone, or are soon."""
        deadline = time.monotonic() + seconds
        while self.workers():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.003)
        return True


class Server:
    """Starts jobs, from the side of the tests."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._jobs = 0
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=scratch
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, *words: object, folder: Path, where: str = "", fault: tuple[str, int, str] | None = None) -> Job:
        """Start `bench WORDS` in a folder, with a fault (call, which, kind) in the `job` or in each of its `workers`."""
        self._jobs += 1
        scratch = self.scratch / f"job {self._jobs}"
        (scratch / "workers").mkdir(parents=True)
        request = {"words": [*map(str, words)], "folder": str(folder), "scratch": str(scratch)}
        return Job(self, self.ask(**request, where=where, fault=fault)["pid"], scratch)

    def run(self, *words: object, folder: Path, where: str = "", fault: tuple[str, int, str] | None = None) -> Job:
        """Start a command and wait for its end."""
        job = self.start(*words, folder=folder, where=where, fault=fault)
        job.wait()
        return job

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def _runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# From here on, the side of the server


class ForkedWorker:
    """As much of `subprocess.Popen` as the scheduling uses, without a new interpreter."""

    scratch: Path
    fault: injection.Injector | None = None
    pid: int
    returncode: int | None = None

    def __init__(self, command: list[str], *, env: dict[str, str], start_new_session: bool, **pipes: int) -> None:
        assert command[1:] == ["-m", "bench.worker"]
        assert start_new_session
        (task, task_in), (out, messages), (err, complaints), (begun, begin) = (os.pipe() for _ in range(4))
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                (self.scratch / "workers" / str(os.getpid())).touch()
                os.write(begin, b"!")
                for descriptor, number in ((task, 0), (messages, 1), (complaints, 2)):
                    os.dup2(descriptor, number)
                os.closerange(3, 4096)
                self._be_a_worker(env)
                code = 0
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
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

    def _be_a_worker(self, variables: dict[str, str]) -> None:
        from bench import worker

        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(variables)
        _open_standard_streams()
        if self.fault is not None:
            self.fault.install()
        worker.main()


def _open_standard_streams() -> None:
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rww")
    )


def _serve() -> None:
    import torch

    torch.set_num_threads(1)  # before anything starts threads, which a fork would lose

    from bench import cli, compare, data, job, regression, report, scheduling, show, verify  # noqa: F401
    from models import ARCHITECTURES

    small = data.load(ROOT / "data").head(*IMAGES)
    small = data.Dataset(*(getattr(small, name).clone() for name in small.__dataclass_fields__))
    data.load, data.ensure = lambda folder: small, lambda folder: None
    scheduling.subprocess = SimpleNamespace(Popen=ForkedWorker, PIPE=subprocess.PIPE, run=subprocess.run)
    for architecture in ARCHITECTURES.values():
        _ = architecture.digest
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        else:
            pid = os.fork()
            if pid == 0:
                _run(request, cli.main)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _run(request: dict[str, Any], main: Any) -> None:
    """What a forked job does; it does not return."""
    code = 1
    scratch, folder = Path(request["scratch"]), Path(request["folder"])
    try:
        os.setpgid(0, 0)
        descriptors = [os.open(os.devnull, os.O_RDONLY)]
        descriptors += [
            os.open(scratch / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for name in ("output", "errors")
        ]
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.closerange(3, 4096)
        _open_standard_streams()
        os.chdir(folder)
        ForkedWorker.scratch = scratch
        if request["fault"]:
            injector = injection.Injector(folder, *request["fault"], log=scratch / "fired")
            if request["where"] == "job":
                injector.install()
            else:
                ForkedWorker.fault = injector
        code = main(request["words"])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()

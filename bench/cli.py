"""Words to calls, nothing else. What a command needs is imported when it runs, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bench.errors import UnusableInput, one_line

if TYPE_CHECKING:
    from bench.cluster import Cluster
    from bench.job import Outcome, Places, Selection
    from bench.specification import Architecture

DONE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line; its exit code.

    0 done; 1 a run, a check or a verification failed; 2 wrong usage or unusable input; 130 interrupted, 143 by SIGTERM.
    """
    _fill_standard_descriptors()
    messages: Any = _Messages(sys.stderr if sys.stderr is not None else open(2, "w", closefd=False))  # noqa: SIM115
    with contextlib.redirect_stderr(messages):
        return _main(words)


def _main(words: Sequence[str] | None) -> int:
    logging.basicConfig(format="bench: %(levelname)s: %(message)s", level=logging.WARNING, stream=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to stop
    try:
        arguments = _parser().parse_args(words)
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except UnusableInput as error:
        print(f"bench: {one_line(error)}", file=sys.stderr)
        return UNUSABLE
    except OSError as error:
        print(f"bench: {one_line(error)}: free or mend it, and run the same command again", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return INTERRUPTED


def _fill_standard_descriptors() -> None:
    """Open what is closed of the first three: a record opened under one of these numbers would get what is said."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class _Messages:
    """Standard error: a terminal that is gone, a pipe that nobody reads or a full disk is no reason to end a job."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        with self._lossy():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or lose it."""
        with self._lossy():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _lossy(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            _discard(self._stream)


def _discard(stream: Any) -> None:
    """Let a stream end nowhere: what is buffered still has to go somewhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        raise UnusableInput(f"{message}; see `{self.prog} --help`")

    def print_help(self, file: object = None) -> None:
        _print(self.format_help().splitlines())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bench",
        description="Do five documented networks reach 99.4 % on MNIST, and when? Train them again and see.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        subparser.set_defaults(command=function)
        return subparser

    for name, function, text in (
        ("all", _all, "train what is not recorded yet, then write the report"),
        ("run", _run, "train what is not recorded yet"),
        ("plan", _plan, "say what `run` would do, and how long it would take"),
    ):
        training = command(name, function, text)
        _add_selection(training)
        _add_files(training, "runs", "report", "data")
        training.add_argument(
            "--cluster", metavar="ADDRESS", help="a Dask scheduler, like tcp://127.0.0.1:8786, whose workers train"
        )
    verifying = command("verify", _verify, "train recorded runs again and compare them with the record, bit for bit")
    _add_selection(verifying, "whatever is recorded")
    _add_files(verifying, "runs", "report", "data")
    measuring = command("speed", _speed, "training images per second of each network beside the plain loop")
    measuring.add_argument("--models", metavar="NAME[,NAME…]", help="documented networks (default: all of them)")
    measuring.add_argument("--json", action="store_true", help="one line of JSON for scripts")
    _add_files(measuring, "data")
    comparing = command("compare", _compare, "did convergence change between two records?")
    for name in ("old", "new"):
        comparing.add_argument(name, type=Path, metavar=f"{name.upper()}.csv")
    merging = command("merge", _merge, "join records of several people or machines; refuse contradictions")
    merging.add_argument("records", type=Path, nargs="+", metavar="RUNS.csv")
    merging.add_argument("-o", "--output", type=Path, required=True, metavar="ALL.csv", help="the record to write")
    checking = command("check", _check, "the gate for CI: structure, parameters, multiply-accumulates, record, speed")
    checking.add_argument("--update", action="store_true", help="store structures and speed as they are now instead")
    _add_files(checking, "runs", "data")
    _add_files(command("report", _report, "write the report from the record alone"), "runs", "report", "data")
    command("list", _list, "the networks: document, parameters, recipe, what is claimed")
    showing = command("show", _show, "a network's layers, beside the documented ones if there are any")
    showing.add_argument("name", metavar="NAME", help="a network, its file, or a folder of such files")
    return parser


def _add_selection(parser: argparse.ArgumentParser, default: str = "") -> None:
    """The words that select runs. Where `default` says what they mean if left out, they are None then."""
    seeds, devices = (None, None) if default else ("5", "auto")
    texts = (
        f"networks by name, file or folder (default: {default or 'all of `bench list`'})",
        f"N for 1…N, A-B, or a list 3,8 (default: {default or seeds})",
        f"cpu, cuda, mps, or auto: all that are here (default: {default or devices})",
        f"how many, from the first (default: {default or 'each documented number'})",
    )
    parser.add_argument("--models", metavar="NAME[,NAME…]", help=texts[0])
    parser.add_argument("--seeds", default=seeds, help=texts[1])
    parser.add_argument("--devices", default=devices, metavar="DEVICE[,…]", help=texts[2])
    parser.add_argument("--epochs", type=_positive, metavar="N", help=texts[3])
    parser.add_argument(
        "--jobs", type=_positive, metavar="N", help="runs at a time on the CPU (default: its physical cores)"
    )


def _add_files(parser: argparse.ArgumentParser, *names: str) -> None:
    texts = {
        "runs": ("runs.csv", "the record"),
        "report": ("report", "the report's folder"),
        "data": ("data", "the folder of MNIST"),
    }
    for name in names:
        default, text = texts[name]
        parser.add_argument(
            f"--{name}", type=Path, default=Path(default), metavar="PATH", help=f"{text} (default: {default})"
        )


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds meant by `N` (1 to N), or by a list of seeds and ranges `A-B`.

    Raises:
        UnusableInput: the text means no seed, or none that fits 64 bits.
    """
    problem = f"--seeds {text}: give N for 1 to N, A-B, or a list like 3,8"
    if re.fullmatch(r"[0-9]{1,7}", text):
        if int(text) == 0:
            raise UnusableInput(f"--seeds {text}: at least one seed is needed")
        return tuple(range(1, int(text) + 1))
    if re.fullmatch(r"[0-9]+", text):
        raise UnusableInput(f"--seeds {text}: 1 to N is too many; for one seed alone give {text}-{text}")
    seeds: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"([0-9]{1,20})(?:-([0-9]{1,20}))?", part)
        if not ends:
            raise UnusableInput(problem)
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if first > last or last >= 2**64 or last - first >= 10_000_000:
            raise UnusableInput(problem)
        seeds.extend(range(first, last + 1))
    return tuple(dict.fromkeys(seeds))


def _names(text: str | None) -> tuple[str, ...]:
    """The documented networks meant by `--models`; all of them by none."""
    from models import ARCHITECTURES

    names = text.split(",") if text is not None else list(ARCHITECTURES)
    for name in names:
        if name not in ARCHITECTURES:
            raise UnusableInput(f"--models {name}: no such network; there are {', '.join(ARCHITECTURES)}")
    return tuple(dict.fromkeys(names))


def _networks(text: str | None, others: Mapping[str, Architecture] | None = None) -> list[Architecture]:
    """The networks meant by `--models`, `others` among them by name; by none all that have a name here."""
    from bench import networks

    here = networks.known()
    if text is None:
        return list(here.values())
    return networks.find(text.split(","), {**(others or {}), **here}, "--models ")


def _devices(text: str, available: Iterable[str] | None = None) -> tuple[str, ...]:
    """The devices meant by `--devices`; `available` are those of this machine by default."""
    from bench.rows import DEVICES

    wanted = text.split(",")
    for device in wanted:
        if device not in ("auto", *DEVICES):
            raise UnusableInput(f"--devices {device}: no such device; choose from auto, {', '.join(DEVICES)}")

    if available is None:
        from bench import environment

        available = environment.available_devices()
    found = [every for one in wanted for every in (available if one == "auto" else (one,))]
    return tuple(dict.fromkeys(found))


def _jobs(arguments: argparse.Namespace) -> int:
    from bench import scheduling

    return arguments.jobs or scheduling.physical_cores()


def _places(arguments: argparse.Namespace, cluster: Cluster | None = None) -> Places:
    from bench.job import Places

    return Places(arguments.runs, arguments.report, arguments.data, cluster)


@contextlib.contextmanager
def _selected(arguments: argparse.Namespace) -> Iterator[tuple[Selection, Cluster | None]]:
    """The runs that are selected, and the cluster of `--cluster`, connected to while this lasts."""
    chosen, seeds = _networks(arguments.models), parse_seeds(arguments.seeds)
    _devices(arguments.devices, ())  # whatever is wrong with the words is said before anybody is asked
    if arguments.cluster is not None and arguments.jobs is not None:
        raise UnusableInput(
            "--jobs: not with --cluster, where a worker trains as many runs at a time as it has threads"
        )

    from bench import networks
    from bench.job import Selection

    own = {one.architecture.name: one for one in networks.inspect([one for one in chosen if one.document is None])}
    architectures = tuple(own[one.name].architecture if one.name in own else one for one in chosen)
    structures = {name: one.structure for name, one in own.items()}
    with _cluster(arguments.cluster, architectures) as cluster:
        devices = _devices(arguments.devices, None if cluster is None else cluster.slots)
        yield Selection(architectures, devices, seeds, arguments.epochs, _jobs(arguments), structures), cluster


def _cluster(
    address: str | None, architectures: Sequence[Architecture]
) -> contextlib.AbstractContextManager[Cluster | None]:
    if address is None:
        return contextlib.nullcontext()

    from bench import cluster

    return cluster.connect(address, architectures)


def _run(arguments: argparse.Namespace) -> int:
    return _exit_code(_train(arguments), arguments)


def _train(arguments: argparse.Namespace) -> Outcome:
    with _selected(arguments) as (selection, cluster):
        from bench import job

        return job.run(selection, _places(arguments, cluster))


def _all(arguments: argparse.Namespace) -> int:
    outcome = _train(arguments)
    try:
        reported = _report(arguments)
    except UnusableInput as error:  # how the runs ended is still to be said
        print(f"bench: {one_line(error)}", file=sys.stderr)
        reported = UNUSABLE
    ended = _exit_code(outcome, arguments)
    return ended if outcome.interrupted_by is not None else reported or ended


def _exit_code(outcome: Outcome, arguments: argparse.Namespace) -> int:
    if outcome.trained == 0:
        advice = "`verify` trains it again, as does another --runs file"
        _print([f"All of it is recorded in {arguments.runs} already; {advice}."])
    for ended in outcome.failed:
        print(f"bench: {ended.run}: {ended.status}: {ended.reason}", file=sys.stderr)
    if outcome.interrupted_by is not None:
        print("bench: interrupted; every finished epoch is kept, the same command goes on from there", file=sys.stderr)
        return 128 + outcome.interrupted_by
    return FAILED if outcome.failed else DONE


def _plan(arguments: argparse.Namespace) -> int:
    with _selected(arguments) as (selection, cluster):
        from bench import job, record
        from bench.plan import format_plan

        recorded = record.read(arguments.runs)
        job.warn(recorded)
        planned = job.make_plan(selection, cluster or job.environments(selection.devices), recorded)
    if cluster is None:
        _print(format_plan(planned, selection.jobs))
    else:
        from bench.cluster import format_workers

        _print([*format_plan(planned, selection.jobs, cluster.slots), "", *format_workers(cluster.workers)])
    return DONE


def _report(arguments: argparse.Namespace) -> int:
    from bench import catalogue, report
    from bench.files import cause

    recorded, networks = catalogue.read_record(arguments.runs)
    try:
        report.write(recorded, networks.architectures, arguments.report, arguments.data)
    except OSError as error:
        place = error.filename or arguments.report
        raise UnusableInput(f"{place}: cannot be written ({cause(error)}): choose another --report") from error
    _print([f"The report is in {arguments.report / 'README.md'}."])
    return DONE


def _verify(arguments: argparse.Namespace) -> int:
    from bench import catalogue
    from models import ARCHITECTURES

    recorded = catalogue.read_record(arguments.runs)[1].architectures
    chosen = None if arguments.models is None else _networks(arguments.models, recorded)
    names = None if chosen is None else tuple(one.name for one in chosen)
    seeds = None if arguments.seeds is None else parse_seeds(arguments.seeds)
    devices = None if arguments.devices is None else _devices(arguments.devices)

    from bench import verify

    request = verify.Request(names, devices, seeds, arguments.epochs, _jobs(arguments))
    found = verify.verify(request, {**ARCHITECTURES, **recorded}, _places(arguments))
    _print(verify.format_verification(found))
    if found.interrupted_by is not None:
        return 128 + found.interrupted_by
    return DONE if found.is_identical else FAILED


def _speed(arguments: argparse.Namespace) -> int:
    from models import ARCHITECTURES

    chosen = [ARCHITECTURES[name] for name in _names(arguments.models)]

    from bench import scheduling, speed

    found = speed.measure(chosen, arguments.data, scheduling.physical_cores())
    _print([speed.to_json(found)] if arguments.json else speed.format_speed(found))
    return DONE


def _compare(arguments: argparse.Namespace) -> int:
    from bench import catalogue, compare, comparison_text, record
    from models import ARCHITECTURES

    for path in (arguments.old, arguments.new):
        if not path.exists():
            raise UnusableInput(f"{path}: no such file; name two records, the older one first")
    own = [catalogue.read(path).architectures for path in (arguments.old, arguments.new)]
    architectures = {**ARCHITECTURES, **own[0], **own[1]}
    old, new = (record.read(path, architectures) for path in (arguments.old, arguments.new))
    found = compare.compare(old, new, architectures)
    _print(comparison_text.format_comparison(found))
    return found.exit_code


def _merge(arguments: argparse.Namespace) -> int:
    from bench import merge

    _print(merge.format_merged(merge.merge(arguments.records, arguments.output)))
    return DONE


def _check(arguments: argparse.Namespace) -> int:
    from bench import regression
    from models import ARCHITECTURES

    if arguments.update:
        _print(regression.update(ARCHITECTURES, arguments.data))
        return DONE
    findings = regression.check(ARCHITECTURES, arguments.runs, arguments.data)
    _print(regression.format_findings(findings))
    return FAILED if any(not finding.passed for finding in findings) else DONE


def _list(arguments: argparse.Namespace) -> int:
    from bench import networks, show, structure_facts

    _print(show.format_list(networks.known(), structure_facts.load()))
    return DONE


def _show(arguments: argparse.Namespace) -> int:
    from bench import networks, show

    chosen = networks.find([arguments.name], networks.known())
    for number, one in enumerate(networks.inspect(chosen)):
        _print([*([""] if number else []), *show.format_show(one.architecture, one.structure, one.unused)])
    return DONE


def _print(lines: Iterable[str]) -> None:
    """Results, on standard output. Whoever closed it does not want them, which is no reason to fail."""
    try:
        print(*lines, sep="\n", flush=True)
    except OSError as error:
        _discard(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise UnusableInput(f"standard output: cannot be written ({error.strerror}): free or mend it") from error

"""Parse the command line and run its command. An error becomes one line. The commands are in `commands`."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench.cli import commands
from bench.cli.commands import INTERRUPTED, UNUSABLE
from bench.cli.interruptions import lost_interrupts_repeated
from bench.cli.selection import AT_MOST, SEEDS
from bench.cli.streams import Messages, fill_standard_descriptors, print_lines
from bench.errors import UnusableInput, one_line
from bench.network.specification import VARIED


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    0: done. 1: a run, a check or a verification failed. 2: wrong usage or unusable input. 130: interrupted. 143: ended
    by SIGTERM. 129: ended by SIGHUP.
    """
    fill_standard_descriptors()
    messages: Any = Messages(sys.stderr if sys.stderr is not None else open(2, "w", closefd=False))  # noqa: SIM115
    with contextlib.redirect_stderr(messages), lost_interrupts_repeated():
        try:
            return _main(words)
        except KeyboardInterrupt:  # a second Ctrl-C, while the first is being reported
            return INTERRUPTED


def _main(words: Sequence[str] | None) -> int:
    logging.basicConfig(format="bench: %(levelname)s: %(message)s", level=logging.WARNING, stream=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a character that the terminal lacks is escaped
    try:
        _require_current_folder()
        arguments, others = _parser().parse_known_args(words)
        if others:
            advice = f"see `bench {arguments.command_name} --help`"
            raise UnusableInput(f"unrecognized arguments: {' '.join(others)}; {advice}")
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except UnusableInput as error:
        print(f"bench: {one_line(error)}", file=sys.stderr)
        return UNUSABLE
    except OSError as error:
        print(f"bench: {one_line(error)}: remove the cause, then run the same command again", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return INTERRUPTED


def _require_current_folder() -> None:
    try:
        length = len(os.fsencode(Path.cwd()))
    except FileNotFoundError:
        raise UnusableInput("the current folder was deleted: change to another folder") from None
    if length >= _LONGEST_FOLDER:
        raise UnusableInput(f"the path of the current folder has {length} bytes: change to one with a shorter path")


_LONGEST_FOLDER = 4096  # bytes; MKL ends the process if its path does not fit
_ARITHMETICS = ("auto", "exact", "native")


class _Parser(argparse.ArgumentParser):
    """A parser that reports wrong usage in one line. An option must be written out: --seed is not --seeds."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise UnusableInput(f"{message}; see `{self.prog} --help`")

    def print_help(self, file: object = None) -> None:
        print_lines(self.format_help().splitlines())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bench",
        description="Do five documented networks reach 99.4 % on MNIST, and when? Train them again and see.",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        subparser = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        subparser.set_defaults(command=function, command_name=name)
        return subparser

    for name, function, text in (
        ("all", commands.do_all, "train what is not recorded yet, then write the report"),
        ("run", commands.do_run, "train what is not recorded yet"),
        ("plan", commands.do_plan, "show what `run` would do and how long it would take"),
    ):
        training = command(name, function, text)
        _add_selection(training)
        training.add_argument(
            "--until-decided", action="store_true", help="train seeds 1, 2, 3, … until every claim is decided"
        )
        training.add_argument(
            "--at-most",
            type=_positive,
            metavar="N",
            help=f"with --until-decided: seeds of each network (default: {AT_MOST})",
        )
        training.add_argument(
            "--vary",
            choices=tuple(VARIED),
            default="",
            help="let the seed change only these random numbers; the others are those of seed 1",
        )
        training.add_argument(
            "--arithmetic",
            choices=_ARITHMETICS,
            default="auto",
            help="exact gives the same bits on every machine, native uses PyTorch (default: exact where possible)",
        )
        _add_files(training, "runs", "report", "data")
        training.add_argument(
            "--cluster",
            metavar="ADDRESS",
            help="train on the workers of this Dask scheduler, e.g. tcp://127.0.0.1:8786",
        )
    verifying = command(
        "verify", commands.do_verify, "train recorded runs again and compare them with the record, bit for bit"
    )
    _add_selection(verifying, "everything recorded")
    verifying.add_argument(
        "--arithmetic",
        choices=_ARITHMETICS,
        default="auto",
        help="only the runs in exact or in native arithmetic (default: everything recorded)",
    )
    verifying.add_argument("--trust", action="store_true", help="run the code of networks that only the record has")
    _add_files(verifying, "runs", "report", "data")
    measuring = command(
        "speed", commands.do_speed, "measure training images per second of each network and of the plain loop"
    )
    measuring.add_argument("--models", metavar="NAME[,NAME…]", help="documented networks (default: all of them)")
    measuring.add_argument("--json", action="store_true", help="print one line of JSON, for scripts")
    _add_files(measuring, "data")
    comparing = command("compare", commands.do_compare, "say whether convergence changed between two records")
    for name in ("old", "new"):
        comparing.add_argument(name, type=_path, metavar=f"{name.upper()}.csv")
    _add_markdown(comparing)
    judging = command(
        "judge", commands.do_judge, "judge claims by logs of accuracy by epoch, of any program; trains nothing"
    )
    _add_claims(judging)
    merging = command("merge", commands.do_merge, "join records of several people or machines; refuse contradictions")
    merging.add_argument("records", type=_path, nargs="+", metavar="RUNS.csv")
    merging.add_argument("-o", "--output", type=_path, required=True, metavar="ALL.csv", help="the record to write")
    checking = command(
        "check", commands.do_check, "check structure, recipe, bits and speed of the networks and the record, for CI"
    )
    output = checking.add_mutually_exclusive_group()
    output.add_argument(
        "--update", action="store_true", help="store the current structures, recipes and speed; do not check"
    )
    _add_markdown(output)
    _add_files(checking, "runs", "data")
    _add_files(
        command("report", commands.do_report, "write the report from the record alone"), "runs", "report", "data"
    )
    command("list", commands.do_list, "list the networks: document, parameters, recipe, claims")
    showing = command("show", commands.do_show, "show a network's layers beside the documented ones, if there are any")
    showing.add_argument("name", metavar="NAME", help="a network's name, its file, net.py::Net, or a folder")
    return parser


def _add_selection(parser: argparse.ArgumentParser, default: str = "") -> None:
    """Add the options that select runs. With `default`, an omitted option is None and the help shows `default`."""
    devices = None if default else "auto"
    texts = (
        f"networks by name, file, like net.py::Net, or folder (default: {default or 'all of `bench list`'})",
        f"N for seeds 1 to N, A-B, or a list like 3,8 (default: {default or SEEDS})",
        f"cpu, cuda, mps, or auto for every device here (default: {default or devices})",
        f"number of epochs, from the first (default: {default or 'as in the recipe'})",
    )
    parser.add_argument("--models", metavar="NAME[,NAME…]", help=texts[0])
    parser.add_argument("--seeds", help=texts[1])
    parser.add_argument("--devices", default=devices, metavar="DEVICE[,…]", help=texts[2])
    parser.add_argument("--epochs", type=_positive, metavar="N", help=texts[3])
    parser.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="runs at the same time on the CPU (default: one for each physical core, if quota and memory allow)",
    )


def _add_claims(parser: argparse.ArgumentParser) -> None:
    """Add the logs to judge, what is claimed of them, and how to read them."""
    parser.add_argument(
        "logs", type=_path, nargs="+", metavar="LOG.csv", help="CSV files with runs, epochs, accuracies"
    )
    accuracy = "like 99.4%%, 0.994 or, of the test images, 9940"
    parser.add_argument("--target", metavar="ACCURACY", help=f"required: the accuracy to reach, {accuracy}")
    for name, text in (
        ("--first-epoch", "the first epoch at the target, as claimed"),
        ("--epochs", "number of epochs of a run (default: those of the longest run)"),
        ("--total", "number of test images, if the log does not have it"),
    ):
        parser.add_argument(name, type=_positive, metavar="N", help=text)
    for name in ("best", "last"):
        parser.add_argument(f"--{name}", metavar="ACCURACY", help=f"the {name} accuracy of a run, as claimed")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="the column of run, epoch, accuracy, correct or total, if its name does not say so; can be repeated",
    )
    parser.add_argument("--report", type=_path, metavar="PATH", help="also write the report into this folder")


def _add_files(parser: argparse.ArgumentParser, *names: str) -> None:
    texts = {
        "runs": ("runs.csv", "the record"),
        "report": ("report", "the report's folder"),
        "data": ("data", "the folder of MNIST"),
    }
    for name in names:
        default, text = texts[name]
        parser.add_argument(
            f"--{name}", type=_path, default=Path(default), metavar="PATH", help=f"{text} (default: {default})"
        )


def _add_markdown(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--markdown",
        type=_path,
        metavar="FILE",
        help="also append the table to this file, as Markdown for the summary of a pull request",
    )


def _path(text: str) -> Path:
    if not text:  # Path("") is the folder one stands in
        raise argparse.ArgumentTypeError("the path is empty: perhaps a variable is not set")
    return Path(text)


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 999999999")
    return int(text)

"""The command line: its words, and what becomes of a command that cannot go on. `commands` has what each does."""

from __future__ import annotations

import argparse
import contextlib
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench.cli import commands
from bench.cli.commands import INTERRUPTED, UNUSABLE
from bench.cli.interruptions import delivered_again
from bench.cli.streams import Messages, fill_standard_descriptors, print_lines
from bench.errors import UnusableInput, one_line


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line; its exit code.

    0 done; 1 a run, a check or a verification failed; 2 wrong usage or unusable input; 130 interrupted, 143 by SIGTERM.
    """
    fill_standard_descriptors()
    messages: Any = Messages(sys.stderr if sys.stderr is not None else open(2, "w", closefd=False))  # noqa: SIM115
    with contextlib.redirect_stderr(messages), delivered_again():
        try:
            return _main(words)
        except KeyboardInterrupt:  # once more, while the first was being said
            return INTERRUPTED


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


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

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
        subparser.set_defaults(command=function)
        return subparser

    for name, function, text in (
        ("all", commands.do_all, "train what is not recorded yet, then write the report"),
        ("run", commands.do_run, "train what is not recorded yet"),
        ("plan", commands.do_plan, "say what `run` would do, and how long it would take"),
    ):
        training = command(name, function, text)
        _add_selection(training)
        _add_files(training, "runs", "report", "data")
        training.add_argument(
            "--cluster", metavar="ADDRESS", help="a Dask scheduler, like tcp://127.0.0.1:8786, whose workers train"
        )
    verifying = command(
        "verify", commands.do_verify, "train recorded runs again and compare them with the record, bit for bit"
    )
    _add_selection(verifying, "whatever is recorded")
    _add_files(verifying, "runs", "report", "data")
    measuring = command("speed", commands.do_speed, "training images per second of each network beside the plain loop")
    measuring.add_argument("--models", metavar="NAME[,NAME…]", help="documented networks (default: all of them)")
    measuring.add_argument("--json", action="store_true", help="one line of JSON for scripts")
    _add_files(measuring, "data")
    comparing = command("compare", commands.do_compare, "did convergence change between two records?")
    for name in ("old", "new"):
        comparing.add_argument(name, type=Path, metavar=f"{name.upper()}.csv")
    merging = command("merge", commands.do_merge, "join records of several people or machines; refuse contradictions")
    merging.add_argument("records", type=Path, nargs="+", metavar="RUNS.csv")
    merging.add_argument("-o", "--output", type=Path, required=True, metavar="ALL.csv", help="the record to write")
    checking = command(
        "check", commands.do_check, "the gate for CI: structure, parameters, multiply-accumulates, record, speed"
    )
    checking.add_argument("--update", action="store_true", help="store structures and speed as they are now instead")
    _add_files(checking, "runs", "data")
    _add_files(
        command("report", commands.do_report, "write the report from the record alone"), "runs", "report", "data"
    )
    command("list", commands.do_list, "the networks: document, parameters, recipe, what is claimed")
    showing = command("show", commands.do_show, "a network's layers, beside the documented ones if there are any")
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

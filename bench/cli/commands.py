"""The commands: each function takes the parsed arguments, does the work and returns the exit code.

A function imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.cli.selection import (
    jobs,
    parse_columns,
    parse_devices,
    parse_names,
    parse_networks,
    parse_seeds,
    paths,
    selected,
)
from bench.cli.streams import print_lines
from bench.errors import UnusableInput, one_line
from bench.files import cause

if TYPE_CHECKING:
    from pathlib import Path

    from bench.jobs.job import Outcome
    from bench.network.specification import Architecture

DONE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
"""The exit codes. If a signal ends a command, the exit code is 128 plus the signal's number."""


def do_run(arguments: argparse.Namespace) -> int:
    """Train what is not recorded yet."""
    return _exit_code(_train(arguments), arguments)


def _train(arguments: argparse.Namespace) -> Outcome:
    with selected(arguments) as (selection, cluster):
        from bench.jobs import job

        return job.run(selection, paths(arguments), cluster=cluster)


def do_all(arguments: argparse.Namespace) -> int:
    """Train what is not recorded yet, then write the report, even if runs failed.

    Raises:
        UnusableInput: the report cannot be written there. Nothing has been trained then.
    """
    from bench.report import written

    there = next(path for path in (arguments.report, *arguments.report.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        problem = f"cannot be written ({there} is not a folder that can be written)"
        raise UnusableInput(f"{arguments.report}: {problem}: choose another --report")
    with _writing(arguments.report):
        written.require_own(arguments.report)
    outcome = _train(arguments)
    try:
        reported = do_report(arguments)
    except UnusableInput as error:  # the outcome of the runs must still be printed
        print(f"bench: {one_line(error)}", file=sys.stderr)
        reported = UNUSABLE
    ended = _exit_code(outcome, arguments)
    return ended if outcome.interrupted_by is not None else reported or ended


def _exit_code(outcome: Outcome, arguments: argparse.Namespace) -> int:
    if outcome.trained == 0:
        advice = "To train it again, use `verify` or another --runs file"
        if arguments.until_decided:
            advice = "`report` says what is decided, and --at-most allows more seeds"
        print_lines([f"All of this is already recorded in {arguments.runs}. {advice}."])
    for ended in outcome.failed:
        print(f"bench: {ended.run}: {ended.status}: {ended.reason}", file=sys.stderr)
    for line in outcome.lacking:
        print(f"bench: {one_line(line)}", file=sys.stderr)
    if outcome.interrupted_by is not None:
        advice = "every finished epoch is kept. To continue, run the same command again"
        print(f"bench: interrupted by {signal.Signals(outcome.interrupted_by).name}; {advice}", file=sys.stderr)
        return 128 + outcome.interrupted_by
    return FAILED if outcome.failed or outcome.lacking else DONE


def do_plan(arguments: argparse.Namespace) -> int:
    """Print what `run` would do."""
    with selected(arguments) as (selection, cluster):
        from bench.jobs import job
        from bench.jobs.plan import format_plan, format_vary
        from bench.record import record

        recorded = record.read(arguments.runs)
        job.warn(recorded)
        planned = job.make_plan(selection, cluster or job.environments(selection.devices), recorded)
        if selection.until_decided:
            from bench.jobs.until_decided import format_expected

            to_decide = job.places_to_decide(selection, planned, recorded)
            print_lines(format_expected(to_decide, selection.jobs, None if cluster is None else cluster.slots))
            return DONE
    if cluster is None:
        print_lines([*format_plan(planned, selection.jobs), *format_vary(selection.vary)])
    else:
        from bench.jobs.cluster.workers import format_workers

        lines = [*format_plan(planned, selection.jobs, cluster.slots), *format_vary(selection.vary)]
        print_lines([*lines, "", *format_workers(cluster.workers)])
    return DONE


def do_report(arguments: argparse.Namespace) -> int:
    """Write the report from the record."""
    from bench.record import catalogue, record
    from bench.report.files import write

    page = arguments.report / "README.md"
    recorded, networks = catalogue.read_record(arguments.runs)
    record.require_header(arguments.runs)
    with _writing(arguments.report):
        if page.exists() and not arguments.runs.exists():
            raise UnusableInput(
                f"{arguments.runs}: no such record; {page} is the report of another one and is kept: correct --runs"
            )
        removed = write(recorded, networks.architectures, arguments.report, arguments.data)
    print_lines([f"The report is in {page}."])
    if removed:
        named = ", ".join(path.name for path in removed[:5]) + (" …" if len(removed) > 5 else "")
        print_lines([f"Removed, because only the earlier report had it: {named}."])
    return DONE


@contextlib.contextmanager
def _writing(report: Path) -> Iterator[None]:
    """Turn an error of the operating system into advice about `--report`."""
    try:
        yield
    except OSError as error:
        place = error.filename or report
        raise UnusableInput(f"{place}: cannot be written ({cause(error)}): choose another --report") from error


def do_verify(arguments: argparse.Namespace) -> int:
    """Train recorded runs again. Fail unless every requested run is identical to its record.

    Raises:
        UnusableInput: as `bench.jobs.verify.verify`; or code that only the record has would be run without --trust.
    """
    from bench.cli import networks
    from bench.record import catalogue
    from models import ARCHITECTURES

    recorded = catalogue.read_record(arguments.runs)[1].architectures
    chosen = None if arguments.models is None else parse_networks(arguments.models, recorded)
    digests = {one.digest for one in recorded.values()}
    others = networks.inspect([one for one in chosen or () if one.document is None and one.digest not in digests])
    here = {**_here(recorded, chosen), **{one.architecture.name: one.architecture for one in others}}
    architectures = {**ARCHITECTURES, **recorded, **here}
    names = None if chosen is None else tuple(one.name for one in chosen)
    foreign = [
        one.name
        for one in recorded.values()
        if one.document is None and one.name not in here and (names is None or one.name in names)
    ]
    if foreign:
        source = f"{catalogue.path_beside(arguments.runs)}: verifying {', '.join(foreign)} runs the code in this file"
        if not arguments.trust:
            raise UnusableInput(f"{source}: read it and add --trust, or give your own copy with --models FILE.py")
        print(f"bench: {source}", file=sys.stderr)
    seeds = None if arguments.seeds is None else parse_seeds(arguments.seeds)
    devices = None if arguments.devices is None else parse_devices(arguments.devices)

    from bench.jobs import verify

    request = verify.Request(names, devices, seeds, arguments.epochs, jobs(arguments), arguments.arithmetic)
    found = verify.verify(request, architectures, paths(arguments))
    print_lines(verify.format_verification(found))
    if found.interrupted_by is not None:
        return 128 + found.interrupted_by
    return DONE if found.is_identical else FAILED


def _here(recorded: Mapping[str, Architecture], chosen: Sequence[Architecture] | None) -> dict[str, Architecture]:
    """Return those networks of a record that an installed package or a chosen file has too, with the code from there.

    What inspection found of them is taken from the record.
    """
    from dataclasses import replace

    from bench.cli import networks

    found = {}
    for one in (*networks.known().values(), *(chosen or ())):
        known = recorded.get(one.name)
        if one.path and known is not None and known.document is None and known.digest == one.digest:
            found[one.name] = replace(
                one,
                gives_logits=known.gives_logits,
                uncovered=known.uncovered,
                uncovered_on_gpu=known.uncovered_on_gpu,
            )
    return found


def do_speed(arguments: argparse.Namespace) -> int:
    """Measure training images per second and print them."""
    from models import ARCHITECTURES

    chosen = [ARCHITECTURES[name] for name in parse_names(arguments.models)]

    from bench.gate import speed
    from bench.jobs import cores

    found = speed.measure(chosen, arguments.data, cores.usable().number)
    print_lines([speed.to_json(found)] if arguments.json else speed.format_speed(found))
    return DONE


def do_compare(arguments: argparse.Namespace) -> int:
    """Compare two records and print the result. Fail if convergence changed."""
    from bench.evidence.comparison import compare
    from bench.record import catalogue, record
    from bench.report import comparison_text
    from models import ARCHITECTURES

    for path in (arguments.old, arguments.new):
        if not path.exists():
            raise UnusableInput(f"{path}: no such file; give two records, the older one first")
        record.require_header(path)
    own = [catalogue.read(path).architectures for path in (arguments.old, arguments.new)]
    architectures = {**ARCHITECTURES, **own[0], **own[1]}
    old, new = (record.read(path, architectures) for path in (arguments.old, arguments.new))
    found = compare.compare(old, new, architectures)
    print_lines(comparison_text.format_comparison(found))
    _append(arguments.markdown, comparison_text.format_markdown(found), (arguments.old, arguments.new))
    return found.exit_code


def _append(path: Path | None, lines: list[str], records: Sequence[Path]) -> None:
    """Append lines to a file, if one is named. Several commands can write to one summary of a pull request.

    Raises:
        UnusableInput: the file cannot be written, or it is one of the records or could stand beside one.
    """
    if path is None:
        return
    if path.suffix in (".csv", ".json") or any(
        path.exists() and one.exists() and path.samefile(one) for one in records
    ):
        raise UnusableInput(f"--markdown {path}: is for data and not for Markdown: name another file, like summary.md")
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise UnusableInput(f"--markdown {path}: cannot be written: {cause(error)}") from error


def do_judge(arguments: argparse.Namespace) -> int:
    """Judge claims by the logs of other programs, print the verdicts, and write the report if it is wanted."""
    from bench.evidence.summary import summarise
    from bench.logs import judged, log, table
    from bench.report import files, judgement_text

    if arguments.target is None:
        for path in arguments.logs:
            table.read(path)  # a missing or unreadable file comes first
        raise UnusableInput("the following arguments are required: --target; see `bench judge --help`")
    found = log.read(arguments.logs, parse_columns(arguments.column), arguments.total, arguments.epochs)
    claimed = judged.Claimed(arguments.target, arguments.first_epoch, arguments.best, arguments.last, arguments.epochs)
    network = judged.architecture(found, claimed)
    record, notes = judged.as_record(found, network), judged.notes(found, network)
    lines = judgement_text.format_judgement(
        summarise(record, {network.name: network}, {}), [run.name for run in found.runs], notes
    )
    if arguments.report is not None:
        page = arguments.report / "README.md"
        with _writing(arguments.report):
            if page.exists() and not files.is_of_a_log(page):
                problem = "is another page than the report of a log and is kept"
                raise UnusableInput(f"{page}: {problem}: choose another --report")
            written = files.render(record, {network.name: network}, {}, folder=arguments.report)
            files.replace_files(written, arguments.report)
        lines += ["", f"The report is in {page}."]
    print_lines(lines)
    return DONE


def do_merge(arguments: argparse.Namespace) -> int:
    """Join several records into a new one."""
    from bench.record.merging import merge

    print_lines(merge.format_merged(merge.merge(arguments.records, arguments.output)))
    return DONE


def do_check(arguments: argparse.Namespace) -> int:
    """Compare networks, record and speed with the stored values, and fail on a difference; or store new values."""
    from bench.gate import findings, regression
    from models import ARCHITECTURES

    if arguments.update:
        print_lines(regression.update(ARCHITECTURES, arguments.data))
        return DONE
    found = regression.check(ARCHITECTURES, arguments.runs, arguments.data)
    print_lines(findings.format_findings(found))
    _append(arguments.markdown, findings.format_markdown(found), (arguments.runs,))
    return FAILED if any(not finding.passed for finding in found) else DONE


def do_list(arguments: argparse.Namespace) -> int:
    """Print the networks that can be chosen by name."""
    from bench.cli import networks
    from bench.network import structure_facts
    from bench.report import show

    print_lines(show.format_list(networks.known(), structure_facts.load()))
    return DONE


def do_show(arguments: argparse.Namespace) -> int:
    """Print the layers of a network, or of every network in a folder."""
    from bench.cli import networks
    from bench.report import show

    chosen = networks.find([arguments.name], networks.known())
    for number, one in enumerate(networks.inspect(chosen)):
        lines = show.format_show(one.architecture, one.structure, one.unused, one.remarks)
        print_lines([*([""] if number else []), *lines])
    return DONE

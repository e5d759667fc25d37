"""The commands: each function takes the parsed arguments, does the work and returns the exit code.

A function imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bench.cli.selection import jobs, parse_devices, parse_names, parse_networks, parse_seeds, places, selected
from bench.cli.streams import print_lines
from bench.errors import UnusableInput, one_line

if TYPE_CHECKING:
    from bench.jobs.job import Outcome

DONE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
"""The exit codes. If a signal ends a command, the exit code is 128 plus the signal's number."""


def do_run(arguments: argparse.Namespace) -> int:
    """Train what is not recorded yet."""
    return _exit_code(_train(arguments), arguments)


def _train(arguments: argparse.Namespace) -> Outcome:
    with selected(arguments) as (selection, cluster):
        from bench.jobs import job

        return job.run(selection, places(arguments, cluster))


def do_all(arguments: argparse.Namespace) -> int:
    """Train what is not recorded yet, then write the report, even if runs failed."""
    from bench.report import written

    written.require_own(arguments.report)  # before hours of training
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
        print_lines([f"All of this is already recorded in {arguments.runs}. {advice}."])
    for ended in outcome.failed:
        print(f"bench: {ended.run}: {ended.status}: {ended.reason}", file=sys.stderr)
    if outcome.interrupted_by is not None:
        print(
            "bench: interrupted; every finished epoch is kept. To continue, run the same command again", file=sys.stderr
        )
        return 128 + outcome.interrupted_by
    return FAILED if outcome.failed else DONE


def do_plan(arguments: argparse.Namespace) -> int:
    """Print what `run` would do."""
    with selected(arguments) as (selection, cluster):
        from bench.jobs import job
        from bench.jobs.plan import format_plan
        from bench.record import record

        recorded = record.read(arguments.runs)
        job.warn(recorded)
        planned = job.make_plan(selection, cluster or job.environments(selection.devices), recorded)
    if cluster is None:
        print_lines(format_plan(planned, selection.jobs))
    else:
        from bench.jobs.cluster.workers import format_workers

        print_lines([*format_plan(planned, selection.jobs, cluster.slots), "", *format_workers(cluster.workers)])
    return DONE


def do_report(arguments: argparse.Namespace) -> int:
    """Write the report from the record."""
    from bench.files import cause
    from bench.record import catalogue, record
    from bench.report.files import write

    page = arguments.report / "README.md"
    recorded, networks = catalogue.read_record(arguments.runs)
    record.require_header(arguments.runs)
    try:
        if page.exists() and not arguments.runs.exists():
            raise UnusableInput(
                f"{arguments.runs}: no such record; {page} is the report of another one and is kept: correct --runs"
            )
        removed = write(recorded, networks.architectures, arguments.report, arguments.data)
    except OSError as error:
        place = error.filename or arguments.report
        raise UnusableInput(f"{place}: cannot be written ({cause(error)}): choose another --report") from error
    print_lines([f"The report is in {page}."])
    if removed:
        named = ", ".join(path.name for path in removed[:5]) + (" …" if len(removed) > 5 else "")
        print_lines([f"Removed, because only the earlier report had it: {named}."])
    return DONE


def do_verify(arguments: argparse.Namespace) -> int:
    """Train recorded runs again. Fail unless every requested run is identical to its record."""
    from bench.record import catalogue
    from models import ARCHITECTURES

    recorded = catalogue.read_record(arguments.runs)[1].architectures
    chosen = None if arguments.models is None else parse_networks(arguments.models, recorded)
    names = None if chosen is None else tuple(one.name for one in chosen)
    seeds = None if arguments.seeds is None else parse_seeds(arguments.seeds)
    devices = None if arguments.devices is None else parse_devices(arguments.devices)

    from bench.jobs import verify

    request = verify.Request(names, devices, seeds, arguments.epochs, jobs(arguments))
    found = verify.verify(request, {**ARCHITECTURES, **recorded}, places(arguments))
    print_lines(verify.format_verification(found))
    if found.interrupted_by is not None:
        return 128 + found.interrupted_by
    return DONE if found.is_identical else FAILED


def do_speed(arguments: argparse.Namespace) -> int:
    """Measure training images per second and print them."""
    from models import ARCHITECTURES

    chosen = [ARCHITECTURES[name] for name in parse_names(arguments.models)]

    from bench.gate import speed
    from bench.jobs import scheduling

    found = speed.measure(chosen, arguments.data, scheduling.physical_cores())
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
    own = [catalogue.read(path).architectures for path in (arguments.old, arguments.new)]
    architectures = {**ARCHITECTURES, **own[0], **own[1]}
    old, new = (record.read(path, architectures) for path in (arguments.old, arguments.new))
    found = compare.compare(old, new, architectures)
    print_lines(comparison_text.format_comparison(found))
    return found.exit_code


def do_merge(arguments: argparse.Namespace) -> int:
    """Join several records into a new one."""
    from bench.record import merge

    print_lines(merge.format_merged(merge.merge(arguments.records, arguments.output)))
    return DONE


def do_check(arguments: argparse.Namespace) -> int:
    """Compare networks, record and speed with the stored values, and fail on a difference; or store new values."""
    from bench.gate import regression
    from models import ARCHITECTURES

    if arguments.update:
        print_lines(regression.update(ARCHITECTURES, arguments.data))
        return DONE
    findings = regression.check(ARCHITECTURES, arguments.runs, arguments.data)
    print_lines(regression.format_findings(findings))
    return FAILED if any(not finding.passed for finding in findings) else DONE


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
        print_lines([*([""] if number else []), *show.format_show(one.architecture, one.structure, one.unused)])
    return DONE

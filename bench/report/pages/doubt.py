"""How to disbelieve the report: what to run again, what was checked, and where it could mislead."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from bench.evidence.summary import GroupSummary, Summary
from bench.network.specification import VARIED, Vary
from bench.record.environments import EXACT
from bench.report.markdown import DATA, anchor, code, link
from bench.report.pages.variance import repeated
from bench.wording import listed

LEFT_OUT = "What was left out"


def lines(summary: Summary, runs: Path, folder: Path) -> list[str]:
    """The section. `runs` is the record, and `folder` the folder of the report."""
    return [
        "## How to disbelieve it",
        "",
        f"Repeat it, in the folder that holds {code(f'{folder.absolute().name}/')}:",
        "",
        "```sh",
        *_commands(summary, runs, folder),
        "```",
        "",
        f"- **Were the numbers computed as recorded?** {repeated(summary.repeats)} {_same_bits(summary)}",
        (
            "- **Is the test set used twice?** Yes. It is looked at after every epoch. So a best accuracy is chosen on "
            "it and flatters, and a first epoch at the target is one lucky epoch. A last accuracy is not chosen among "
            "epochs."
        ),
        (
            "- **Are the seeds enough?** A claim is open until they are. But all runs see the same test images, and "
            "more seeds do not reduce the sampling error."
        ),
        f"- **Was something left out?** {_left_out(summary)}",
        "- **For scripts:** [`summary.json`](summary.json) has the numbers behind these pages.",
        "",
    ]


def _commands(summary: Summary, runs: Path, folder: Path) -> list[str]:
    here = folder.absolute().parent
    record = os.path.relpath(runs.absolute(), here)
    own = _files(record, "runs.csv", "--runs") + _files(folder.absolute().name, "report", "--report")
    beside = str(Path(record).with_stem(f"{runs.stem}-again"))
    again = _files(beside, "", "--runs") + _files(f"{folder.absolute().name}-again", "", "--report")
    every = {network.name for network in summary.networks if network.groups}
    files = _models(summary, every) if _has_own(summary) else ""  # the code beside the record is run only with --trust
    trained = summary.current or not summary.other_recipes  # otherwise `all` would train runs that are not recorded
    commands = [
        (
            f"verify{files} --epochs 3{own}",
            "Train the first epochs of the runs again, and compare the bits. It names what it cannot repeat here.",
        ),
        (f"report{own}", "Write these pages again. The same record gives the same bytes."),
        *((f"all{selection}{again}", what) for selection, what in _selections(summary) if trained),
        *(
            (f"all --vary {vary}{kind}{again}", f"And the runs in which the seed changes only {VARIED[vary]}.")
            for vary in VARIED
            if (kind := _varied(summary, vary))
        ),
    ]
    return [line for words, what in commands for line in (f"# {what}", f"python -m bench {words}")]


def _files(path: str, default: str, option: str) -> str:
    return "" if path == default else f" {option} {_word(path)}"


def _word(path: str) -> str:
    """A path as one word of a shell, on one line. Bash and zsh read the bytes that are no text from $'…'."""
    if path.isprintable():
        return shlex.quote(path)
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return f"$'{''.join(plain)}'"


def _selections(summary: Summary) -> Iterator[tuple[str, str]]:
    """The options that select the runs of the report, and what a command with them does.

    Exact arithmetic is the usual one. So runs that are native, although they could be exact, need an option.
    """
    of_the_usual, of_native = (
        [one for one in summary.current if _could_be_exact(summary, one) == could] for could in (False, True)
    )
    if of_the_usual or not of_native:
        more = " It also trains further seeds of some networks." if _has_more_seeds(of_the_usual) else ""
        yield _selection(summary, of_the_usual), f"Train everything again, beside this record and this report.{more}"
    if of_native:
        what = "And the seeds" if of_the_usual else "Train everything again, beside this record and this report,"
        bits = "Its bits depend on the machine and the releases, also of this program."
        yield f"{_selection(summary, of_native)} --arithmetic native", f"{what} in native arithmetic. {bits}"


def _could_be_exact(summary: Summary, one: GroupSummary) -> bool:
    """Whether the runs of a group are native, but would be exact if they were trained now."""
    architecture = next(network.architecture for network in summary.networks if network.name == one.group.model)
    lacking = {"cpu": architecture.uncovered, "cuda": (*architecture.uncovered, *architecture.uncovered_on_gpu)}
    return one.group.environment != EXACT.digest and not lacking.get(one.group.devices[0], ("the device",))


def _has_more_seeds(of: Sequence[GroupSummary]) -> bool:
    """Whether a command with the seeds of all groups trains seeds that one of them does not have."""
    return len({frozenset(run.seed for run in one.group.runs) for one in of}) > 1


def _selection(summary: Summary, of: Sequence[GroupSummary]) -> str:
    """Networks, seeds and devices of groups."""
    seeds = sorted({run.seed for one in of for run in one.group.runs})
    devices = dict.fromkeys(device for one in of for device in one.group.devices)
    parts = [
        _models(summary, {one.group.model for one in of}),
        f" --seeds {_seeds(seeds)}",
        f" --devices {','.join(devices)}" if devices else "",
    ]
    return "".join(parts)


def _models(summary: Summary, models: Collection[str]) -> str:
    """The option for these networks. The record does not know the files of users' own networks."""
    named = [network.name for network in summary.networks if network.name in models and network.is_documented]
    own = ["FILES"] if _has_own(summary) else []
    everything = not own and len(named) in (0, len(summary.networks))
    return "" if everything else f" --models {','.join([*named, *own])}"


def _has_own(summary: Summary) -> bool:
    return any(not network.is_documented for network in summary.networks)


def _varied(summary: Summary, vary: Vary) -> str:
    """The networks and seeds of the runs in which the seed changes only one kind, or nothing without such runs."""
    runs = [one for one in summary.other_recipes if one.vary == vary]
    documented = {network.name for network in summary.networks if network.is_documented}
    names = dict.fromkeys(one.model if one.model in documented else "FILES" for one in runs)
    seeds = sorted({seed for one in runs for seed in one.seeds})
    return f" --models {','.join(names)} --seeds {_seeds(seeds)}" if runs else ""


def _seeds(seeds: Sequence[int]) -> str:
    """Ascending seeds in the form of the command line."""
    if not seeds:
        return "5"
    if seeds[-1] - seeds[0] == len(seeds) - 1:
        return str(seeds[-1]) if seeds[0] == 1 else f"{seeds[0]}-{seeds[-1]}"
    return ",".join(map(str, seeds))


def _same_bits(summary: Summary) -> str:
    """Where a run must have the same bits again."""
    native = [code(place.environment) for place in summary.places if not place.is_exact]
    exact = [place for place in summary.places if place.is_exact]
    said = "Runs in exact arithmetic must be identical on every machine. " if exact else ""
    if native:
        environments = f"environment{'' if len(native) == 1 else 's'} {listed(native[:5])}"
        said += f"Runs of the {environments}{' and others' if len(native) > 5 else ''} must be identical only there, "
        said += "with the same release of this program."
    return said.strip()


def _left_out(summary: Summary) -> str:
    problems = sum(map(len, (summary.problems, summary.problems_of_misses, summary.problems_of_verifications)))
    where = link("what was left out", f"{DATA}#{anchor(LEFT_OUT)}")
    if not problems and not summary.other_recipes:
        return "No: every line of the record was read and used."
    others = "runs of other recipes are described apart" if summary.other_recipes else ""
    lines = f"{problems:,} lines have a problem" if problems > 1 else "1 line has a problem" if problems else ""
    return f"See {where}: {listed([one for one in (lines, others) if one])}."

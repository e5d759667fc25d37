"""Where the variance comes from: training again, the seed, the device."""

from __future__ import annotations

from bench.evidence.summary import Repeats, Summary
from bench.report.pages import paired
from bench.report.pages.markdown import text
from bench.wording import count


def lines(summary: Summary) -> list[str]:
    """A paragraph for each source."""
    found = [
        f"**Repeat**: the same seed in the same environment must give the same bits. {_repeated(summary.repeats)}",
        "",
        "**Seed**: the standard deviations and variances of the table above.",
        "",
    ]
    if not summary.between_devices:
        reason = "there is one device" if len(summary.labels) == 1 else "no seed is complete on two devices"
        return [
            *found,
            f"**Device**: {reason}, so that nothing can be said. The same seeds on another one would show it.",
            "",
        ]
    found += [
        (
            "**Device**: the same seeds on two devices, paired. Weights, order of the images and dropout are the same "
            "there."
        ),
        "",
    ]
    tests = summary.between_devices
    return [*found, paired.power(tests), "", *paired.as_table(tests, ["on", "another"])]


def _repeated(repeats: Repeats) -> str:
    """What came of training recorded runs again."""
    if not repeats.here + repeats.elsewhere:
        return (
            "No verification is recorded: `python -m bench verify` trains recorded runs again, compares every bit and "
            "keeps what came of it for this report."
        )
    said = []
    if repeats.here:
        outcome = f"{repeats.identical_here} of {count(repeats.here, 'verified run')}"
        said.append(
            f"Of {count(repeats.recorded, 'recorded run')} {repeats.here} were trained again in their own environment, "
            f"over {count(repeats.epochs, 'epoch')} in all: {outcome} identical, bit for bit."
        )
        if repeats.differing:
            named = text("; ".join(repeats.differing[:5]))
            more = f" and {len(repeats.differing) - 5} more" if len(repeats.differing) > 5 else ""
            said.append(f"**Not identical: {named}{more}; the repeat variance is not 0.**")
        else:
            said.append("The repeat variance of these is 0.")
    else:
        said.append(f"Of {count(repeats.recorded, 'recorded run')} none was trained again in its own environment.")
    if repeats.elsewhere:
        said.append(
            f"{repeats.identical_elsewhere} of {count(repeats.elsewhere, 'run')} trained again in another environment "
            "came out identical, which is not to be expected."
        )
    return " ".join(said)

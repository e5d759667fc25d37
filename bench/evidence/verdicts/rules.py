"""By which rules claims are judged, and the numbers in them."""

from __future__ import annotations

from bench.evidence.statistics import smallest_deciding_n

LEVEL = 0.05
HALF = 0.5
SEEDS_FOR_SHARES = smallest_deciding_n(HALF, 1 - LEVEL)
SEEDS_FOR_RANKS = round(2 / LEVEL) - 1

RULES: tuple[str, ...] = (
    "Parameters and layers are counted in the module and in the shapes that an image takes through it.",
    (
        "Batch norm or dropout after every convolution means anywhere between it and the next convolution or linear "
        "layer. A last convolution with no linear layer behind it scores the classes and is left out."
    ),
    "Average pooling is global if one output averages every cell.",
    "The target is reached at 9940 of 10,000 images: 9939 rounds to 99.4 % and is below it.",
    (
        "A network reaches the target if more than half of all seeds do, in any epoch of the documented number; a "
        "claim of fewer than 20 epochs looks at the first 19. With one-sided 95 % Clopper-Pearson bounds on that "
        "share, the claim holds if the lower bound is above one half, and does not hold if the upper one is below."
    ),
    "A claim on the last epochs is judged in the same way: a seed succeeds if every one of them is above the target.",
    (
        "One epoch at the target is enough, and each is a look at the test set: that the target is reached does not "
        "say that it is kept, which is why the evidence also counts the seeds that are there in the last epoch."
    ),
    f"{SEEDS_FOR_SHARES} seeds that agree are the fewest that decide; any forecast takes the share to stay as seen.",
    (
        "The bounds are for a number of seeds fixed beforehand, and for seeds not chosen by their outcome. Adding "
        "seeds until one decides errs more often: if exactly half of all seeds succeed, in 13 % of cases with a look "
        "at 5 and one at 13 seeds, in 20 % with a look after each seed from 5 to 20. Nothing is corrected for the "
        "number of claims."
    ),
    (
        "A run that diverged has failed, whatever it reached before: everywhere in this report it counts as never at "
        "the target, and in tests on means as none correct."
    ),
    (
        "A run is unfinished if it crashed, was interrupted, ran out of time or is still going on. What it has reached "
        "counts. While it has not, it is a failure in every lower bound and left out of every upper one, here and in "
        "the tables, so that no failed run can ever improve a verdict. The lower bounds hold whatever it would have "
        "become; the upper ones, like the Kaplan–Meier estimate, if why it stopped has nothing to do with that. Tests "
        "on means leave it out."
    ),
    (
        "A first epoch, a best or a last accuracy is that of one run, and is judged as one more draw beside the "
        "complete seeds. If the document's own log contradicts it, it does not hold, whatever the seeds do."
    ),
    (
        "A first epoch is ranked among those of the complete seeds; a seed that never reaches the target ranks last. "
        "An epoch outside all n of them has p = 2/(n + 1), and one more seed falls inside with a confidence of (n − 1)/"
        f"(n + 1), which is that of the interval given. At the level {LEVEL:g} it takes {SEEDS_FOR_RANKS} seeds: fewer "
        "cannot reject any epoch, so that they decide nothing."
    ),
    (
        "A best or last accuracy does not hold outside the 95 % prediction interval of one new run (Student's t). It "
        "holds inside it, if it is also within the range of the seeds and the interval ends below a perfect score: a "
        "seed gone astray widens the interval, and earns nothing by it. "
        f"Fewer than {SEEDS_FOR_SHARES} seeds decide nothing. That it holds means no more than: it is like our seeds. "
        "With 5 of them the interval is three of their standard deviations wide on either side."
    ),
    "Runs tested on anything but the 10,000 test images decide nothing.",
    "If a seed diverged, no such claim holds on the strength of the others.",
    "A best accuracy is the best of many looks at the test set, on either side of the comparison.",
    "What the document's own log or layer table contradicts is named with the verdict, whichever it is.",
)
"""How verdicts come about, in sentences for the report."""

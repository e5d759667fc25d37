"""The rules by which claims are judged, and the numbers in them."""

from __future__ import annotations

from bench.evidence.statistics import LEVEL, smallest_deciding_n

HALF = 0.5
_CONFIDENCE = f"{100 * (1 - LEVEL):g} %"
SEEDS_FOR_SHARES = smallest_deciding_n(HALF, 1 - LEVEL)
SEEDS_FOR_RANKS = round(2 / LEVEL) - 1

RULES: tuple[str, ...] = (
    "Claims about parameters and layers are judged by the module itself and by the shapes of its layer outputs.",
    (
        "“After every convolution” means that batch norm or dropout stands anywhere between a convolution and the next "
        "convolution or linear layer. If no linear layer follows the last convolution, that convolution is the "
        "classifier and is not counted."
    ),
    "Average pooling is global if one output is the average of every cell of a channel.",
    (
        "A run reaches the target if it classifies at least the target's number of test images correctly. One image "
        "fewer is below the target, even if both numbers round to the same percentage."
    ),
    (
        "A network reaches the target if more than half of all seeds reach it in any epoch of the recipe. For a claim "
        f"of fewer than n epochs, only the first n − 1 epochs count. The share of seeds has one-sided {_CONFIDENCE} "
        "Clopper-Pearson bounds. The claim holds if the lower bound is above one half. It does not hold if the upper "
        "bound is below one half."
    ),
    (
        "A claim about the last epochs is judged in the same way. A seed succeeds if it is above the target in every "
        "one of these epochs."
    ),
    (
        "One epoch at the target is enough, and every epoch is one more look at the test set. A seed that reaches the "
        "target may fall below it again. The evidence therefore also counts the seeds that are at the target in the "
        "last epoch."
    ),
    (
        f"{SEEDS_FOR_SHARES} seeds can decide if all of them agree; fewer seeds never decide. A forecast of further "
        "seeds assumes that the share stays the same."
    ),
    (
        "The bounds are valid if the number of seeds is fixed beforehand and no seed is chosen by its outcome. If "
        "seeds are added until a verdict is decided, the verdict is wrong more often. If exactly half of all seeds "
        "succeed, it is wrong in 13 % of cases with one look at 5 and one at 13 seeds, and in 20 % with a look after "
        "each seed from 5 to 20. The verdicts are not corrected for the number of claims."
    ),
    (
        "A run that diverged has failed, even if it reached the target before. Everywhere in this report it counts as "
        "a run that never reaches the target. In tests on means it counts as 0 correct images."
    ),
    (
        "A run is unfinished if it crashed, was interrupted, ran out of time or is still running. If it has reached "
        "the target, it counts as a success. Otherwise every lower bound counts it as a failure and every upper bound "
        "leaves it out, here and in the tables. So no failed run can ever improve a verdict. The lower bounds are "
        "valid for any outcome of the unfinished runs. The upper bounds and the Kaplan–Meier estimate are valid only "
        "if the reason why a run stopped has nothing to do with its outcome. Tests on means leave unfinished runs out."
    ),
    (
        "A claimed first epoch, best accuracy or last accuracy describes one run. That run is judged as one more draw "
        "beside the complete seeds. If the document's own log contradicts the claim, the claim does not hold, even if "
        "the seeds agree with it."
    ),
    (
        "A first epoch is ranked among the first epochs of the complete seeds. A seed that never reaches the target "
        "ranks last. An epoch that is earlier or later than all n seeds has p = 2/(n + 1). The evidence gives the "
        "range of the seeds as the interval of one new run: one more seed falls inside it with a confidence of "
        f"(n − 1)/(n + 1). At the level {LEVEL:g}, at least {SEEDS_FOR_RANKS} seeds are needed. Fewer seeds cannot "
        "reject any epoch, so they decide nothing."
    ),
    (
        f"A best or last accuracy does not hold if it is outside the {_CONFIDENCE} prediction interval of one new run "
        "(Student's t). It holds if it is inside the interval and within the range of the seeds, and if the interval "
        "ends below a perfect score. A single bad seed widens the interval; the last two conditions stop it from "
        f"helping the claim. Fewer than {SEEDS_FOR_SHARES} seeds decide nothing. “Holds” means only that the claimed "
        f"value is like our seeds. With {SEEDS_FOR_SHARES} seeds, the interval extends three of their standard "
        "deviations to either side."
    ),
    "Runs that were tested on another number of images than the target has decide nothing.",
    (
        "If a seed diverged, a claim about a first epoch, a best or a last accuracy cannot hold. At best it cannot be "
        "decided yet."
    ),
    "A best accuracy is the best of many looks at the test set. That is true of the claim and of our seeds.",
    "If the document's own log or layer table contradicts a claim, the evidence says so, for every outcome.",
)
"""The rules of the verdicts, in sentences for the report."""

"""The rules by which claims are judged, and the numbers in them."""

from __future__ import annotations

from bench.evidence.statistics import DECIDING, SEEDS, further_seeds

_LEAST = further_seeds(0, 0)
_BOTH, _HIGH = SEEDS["on both sides"], SEEDS["too high"]

RULE: tuple[str, ...] = (
    (
        "By all seeds that are recorded, a claim on what most seeds do holds if the e-value for it is at least 20, "
        "does not hold if the e-value against it is at least 20, and is true of about half of all seeds if the 90 % "
        "confidence sequence of the share is inside 0.3 to 0.7."
    ),
    (
        "A claimed first epoch is compared with our first 39 seeds, and a claimed best or last accuracy with our first "
        "19: it does not hold if it is earlier or later than all of them, or higher, and it holds as soon as no "
        "further seed can bring that about."
    ),
    (
        "However often one looks, “holds” and “does not hold” are each wrong on a share in at most 5 % of cases, and a "
        "value that is one more draw is rejected in at most 5 %, so seeds may be added until every claim is decided."
    ),
    (
        "The rule was fixed on 26 November 2026: it could not be fitted to the seeds that were trained later, but of "
        "our own record, all runs in the arithmetic of release 0.1.0 and four exact ones were known."
    ),
)
"""The rule of the verdicts in four sentences."""

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
        "of fewer than n epochs, only the first n − 1 epochs count. The e-value of the seeds is a mixture of "
        "likelihood ratios against “at most half”: 55 % of its weight is uniform over the shares from one half to 1, "
        f"and 45 % is on “every seed”. It reaches {DECIDING} with a probability of at most 5 % if the claim is wrong, "
        "over all looks together (Ville's inequality). The e-value against the claim is the same with successes and "
        "failures exchanged."
    ),
    (
        "“About half of all seeds do” means that the 90 % confidence sequence of the share is inside 0.3 to 0.7. With "
        "a probability of 90 % this sequence has the true share after every seed at once. The Clopper-Pearson bounds "
        "in the evidence describe the seeds so far. They are valid for one look, and decide nothing."
    ),
    (
        "A claim about the last epochs is judged in the same way, because it is about a share of runs and not about "
        "one value. A seed succeeds if it is above the target in every one of these epochs."
    ),
    (
        "One epoch at the target is enough, and every epoch is one more look at the test set. A seed that reaches the "
        "target may fall below it again. The evidence therefore also counts the seeds that are at the target in the "
        "last epoch."
    ),
    (
        f"{_LEAST} seeds can decide if all of them agree; fewer seeds never decide. No share stays open after 242 "
        "seeds. The number of further seeds that would decide an open claim assumes that the share stays the same. "
        "The expected successes are rounded up and down, and both must decide."
    ),
    (
        "The rules need that no seed is chosen by its outcome. Seeds may be added as long as a claim is open, and a "
        "later seed can open a claim again. Then the evidence says so. To end at the first decision would be as valid; "
        "we count every seed that is there. The verdicts are not corrected for the number of claims."
    ),
    (
        "A run that diverged has failed, even if it reached the target before. Everywhere in this report it counts as "
        "a run that never reaches the target. In tests on means it counts as 0 correct images."
    ),
    (
        "A run is unfinished if it crashed, was interrupted, ran out of time or is still running. If it has reached "
        "the target, it counts as a success. Otherwise every lower bound and the e-value for a claim count it as a "
        "failure, and every upper bound and the e-value against a claim leave it out. So no failed run can ever "
        "improve a verdict. The lower bounds and the e-value for a claim are valid for any outcome of the unfinished "
        "runs. The upper bounds, the e-value against a claim and the Kaplan–Meier estimate are valid only if the "
        "reason why a run stopped has nothing to do with its outcome. Tests on means leave unfinished runs out."
    ),
    (
        "A claimed first epoch, best accuracy or last accuracy describes one run. That run is judged as one more draw "
        "beside the complete seeds."
    ),
    "If the document's own log contradicts such a claim, the claim does not hold, even if the seeds agree with it.",
    (
        f"The test of a first epoch has {_BOTH} seeds and two sides. The test of a best or last accuracy has {_HIGH} "
        "seeds and one side, because people publish high values. They are the first seeds that are complete or "
        "diverged. Here p is the probability that one more draw is as far out as the claimed value. A value beyond all "
        "of them has p = 0.05 and does not hold. If one seed is on the other side, or has the same value, no further "
        "seed can change the outcome, so the claim holds before the test has all its seeds. A seed that never reaches "
        "the target is later than every epoch."
    ),
    (
        "“Holds” means only that the described run cannot be told from our seeds. The ranges of one new run in the "
        "evidence describe the seeds and decide nothing: for a first epoch it is the range of our n seeds, with a "
        "confidence of (n − 1)/(n + 1), and for an accuracy the 95 % prediction interval (Student's "
        "t). From 39 seeds on, and where Student's t goes beyond what is possible, it is the range of the seeds for an "
        "accuracy too."
    ),
    (
        "A seed in exact arithmetic counts once, whichever devices and machines have trained it. If their results of "
        "an epoch differ, the record contradicts itself: from that epoch on, the run counts as unfinished."
    ),
    "Runs that were tested on another number of images than the target has decide nothing.",
    (
        "A seed that diverged counts against a claim about a first epoch, a best or a last accuracy: as earlier or "
        "later, whichever side the other seeds are on, and as lower."
    ),
    "A best accuracy is the best of many looks at the test set. That is true of the claim and of our seeds.",
    "If the document's own log or layer table contradicts a claim, the evidence says so, for every outcome.",
)
"""The rules of the verdicts, in sentences for the report."""

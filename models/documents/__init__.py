"""What the five documents say, a file each: `RECIPE` is how a network was trained, `DOCUMENT` what is claimed of it.

Data only, without torch. Figures are quoted; the words are ours. What a document leaves out was read in its author's
public notebook at the commit named, and is marked as such wherever a value has a source.

Accuracies are images classified correctly of 10,000, so that "99.4 %" is 9940. A `reaches_target` claim carries the
count claimed, a `sustained` claim the number of last epochs, `epochs_below` and `parameters_below` the bound itself,
which is excluded.
"""

from __future__ import annotations

from models.documents import expand_squeeze, gap_head, squeeze_fc, ten_twenty_thirty, unpadded

__all__ = ["COMMON", "expand_squeeze", "gap_head", "squeeze_fc", "ten_twenty_thirty", "unpadded"]

COMMON: tuple[str, ...] = (
    "Trained on the 60,000 and tested on the 10,000 images of MNIST, normalised and not augmented.",
    "The test set is evaluated after every epoch, and every best epoch is chosen on it.",
    "The training images are shuffled, and the last, short batch is kept.",
    "Mean negative log-likelihood, SGD with momentum 0.9, without weight decay, Nesterov momentum or schedule.",
    "Single precision, PyTorch's default initialisation, seed 1, no determinism flags.",
    "Neither the model of the cloud GPU nor the version of PyTorch is recorded: no run can be repeated bit for bit.",
)
"""What holds for all five documents and their notebooks, for a reader of the report."""

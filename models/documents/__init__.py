"""The contents of the five documents, one file each.

`RECIPE` says how the network was trained. `DOCUMENT` has the other facts and the claims.

These modules contain only data and do not import torch. The figures are quoted from the documents, but the sentences
are not. If a document leaves out a value, the value comes from its author's public notebook at the given commit. Every
value with a field for its source says which source it has.

Accuracies are correctly classified images of 10,000, so "99.4 %" is 9940. The value of a `reaches_target` claim is the
claimed count, and that of a `sustained` claim is the number of last epochs. The value of `epochs_below` and
`parameters_below` is the bound, which is excluded.
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
    "The model of the cloud GPU and the version of PyTorch are not recorded, so no run can be repeated bit for bit.",
)
"""Facts about all five documents and their notebooks. The report prints them."""

"""Draw the figures as SVG. The same numbers and the same matplotlib give the same bytes.

Every figure has an opaque light background, so that it is legible on a dark page too. The colours are those of Okabe
and Ito, which colour-blind readers can distinguish. No meaning depends on colour alone. Letters are drawn as paths, so
that a figure needs no font.
"""

from bench.report.figures.by_epoch import accuracy, accuracy_overview, time_to_target
from bench.report.figures.by_group import last_accuracy, seconds_per_epoch
from bench.report.figures.components import components
from bench.report.figures.evidence import evidence

__all__ = [
    "accuracy",
    "accuracy_overview",
    "components",
    "evidence",
    "last_accuracy",
    "seconds_per_epoch",
    "time_to_target",
]

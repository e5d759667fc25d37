"""Numbers to pictures: SVG that is the same to the byte for the same numbers and the same matplotlib.

Figures stand on an opaque light ground of their own, so that they are legible on a dark page too. Colours are Okabe
and Ito's, which colour-blind readers tell apart; no meaning rests on colour alone. Letters are drawn as paths, so
that a picture needs no font.
"""

from bench.report.figures.by_epoch import accuracy, accuracy_overview, time_to_target
from bench.report.figures.by_group import last_accuracy, seconds_per_epoch

__all__ = ["accuracy", "accuracy_overview", "last_accuracy", "seconds_per_epoch", "time_to_target"]

"""A reproducibility benchmark: five documented networks, trained again, over seeds and devices."""

__version__ = "0.1.0"

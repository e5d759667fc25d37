"""A reproducibility benchmark. It trains five documented networks again, with several seeds and on several devices."""

__version__ = "0.2.0"

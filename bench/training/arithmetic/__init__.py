"""The exact arithmetic of a training step, on one core of a CPU or on a GPU."""

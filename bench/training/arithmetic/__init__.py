"""The arithmetic of a training step on one core of a CPU."""

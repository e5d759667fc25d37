"""The arithmetic of a training step on a GPU, for several runs of a network at once."""

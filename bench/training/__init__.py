"""Training of one network on one device, epoch by epoch: the data, the random numbers and the arithmetic of a run."""

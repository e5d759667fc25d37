"""Jobs: what to train, where to train it, and what came out of it."""

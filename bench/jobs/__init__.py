"""Jobs. A job plans which runs to train, trains them here or on a cluster, and records the results."""

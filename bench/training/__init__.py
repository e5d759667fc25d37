"""One run: it trains a network an epoch at a time and touches no file."""

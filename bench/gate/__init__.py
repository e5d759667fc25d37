"""The gate: the checks of networks, record and speed that CI runs on every change."""

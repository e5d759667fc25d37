"""The gate: what CI holds the project to."""

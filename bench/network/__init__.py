"""Networks: what is trained, and what was claimed of it."""

"""Logs that other programs wrote: accuracy by epoch, as CSV. They become the values that the evidence is found from."""

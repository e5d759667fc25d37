"""The process that trains one run, or several side by side on a GPU: `python -m bench.jobs.worker`."""

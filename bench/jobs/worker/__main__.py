"""Start the process: `python -m bench.jobs.worker`."""

from bench.jobs.worker.process import main

main()

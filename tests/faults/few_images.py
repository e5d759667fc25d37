"""The command line on the first images of MNIST only: `python few_images.py WORDS`."""

from __future__ import annotations

import functools
import sys

from quickly import IMAGES, ROOT

sys.path.insert(0, str(ROOT))

from bench.cli import parser
from bench.jobs import job, verify

if __name__ == "__main__":
    job.run = functools.partial(job.run, subset=IMAGES)
    verify.verify = functools.partial(verify.verify, subset=IMAGES)
    words = sys.argv[1:]
    if words[0] in ("run", "all", "verify"):
        words += ["--data", str(ROOT / "data")]
    sys.exit(parser.main(words))

"""Ctrl-C where Python would lose it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MOMENT = 0.01  # seconds


@contextmanager
def delivered_again() -> Iterator[None]:
    """While this lasts, an interrupt that strikes where no exception can be raised comes again a moment later.

    In a callback of the garbage collector Python prints a KeyboardInterrupt, with a traceback, and forgets it.
    """
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            before(unraisable)
            return
        again = threading.Timer(_MOMENT, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before

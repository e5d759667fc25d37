"""Deliver a Ctrl-C that Python would otherwise lose."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_DELAY = 0.01  # seconds until a lost Ctrl-C is repeated


@contextmanager
def lost_interrupts_repeated() -> Iterator[None]:
    """Within this context, repeat every Ctrl-C that arrives where Python cannot raise an exception.

    In a callback of the garbage collector, Python prints the KeyboardInterrupt with a traceback and then forgets it.
    Here the process sends the signal to itself again, a moment later.
    """
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            before(unraisable)
            return
        again = threading.Timer(_DELAY, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before

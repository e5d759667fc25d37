"""Run a user's code in a child process, which may end in any way, print, or never end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from bench.errors import UnusableInput, one_line

LIMIT = 60
"""The longest time to try one network, in seconds."""

Values = dict[str, Any]


def in_child(function: Callable[[], Values]) -> Values:
    """Return what a function gives in a child process, or `refused` with the reason."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        try:
            found = function()
        except UnusableInput as error:
            found = {"refused": str(error)}
        except BaseException as error:  # an error of this package or of the network
            found = {"refused": f"{type(error).__name__}: {one_line(error)}"}
        with os.fdopen(writing, "w") as pipe:
            json.dump(found, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    try:
        answer: Values = json.loads(text)
        return answer
    except ValueError:
        pass
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        advice = "remove slow code, make a large network smaller, or try again when this machine has less to do"
        return {"refused": f"building and trying it takes more than {LIMIT} seconds: {advice}"}
    how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
    return {"refused": f"it ends the process that builds it, {how}: remove the code that does this"}

"""What the Python flows share: counted checks, waiting for a condition with a deadline, and how they end."""

import os
import sys
import threading
import time

PORT = int(os.environ["ECOSYSTEM_PORT"])
URL = f"redis://127.0.0.1:{PORT}/0"
WAIT_S_MAX = 30
count = 0


def same(found, expected, what):
    """The two are equal."""
    global count
    if found != expected:
        sys.exit(f"{what}: {found!r} instead of {expected!r}")
    count += 1


def holds(found, what):
    same(bool(found), True, what)


def fails(kind, what, call, *args, **kwargs):
    """The call raises an exception of that kind, which is the result."""
    global count
    try:
        result = call(*args, **kwargs)
    except kind as error:
        count += 1
        return error
    sys.exit(f"{what}: {result!r} instead of {kind}")


def until(condition, what):
    """Asks again and again until the condition gives something true, which is the result."""
    global count
    deadline = time.monotonic() + WAIT_S_MAX
    while True:
        found = condition()
        if found:
            count += 1
            return found
        if time.monotonic() > deadline:
            sys.exit(f"in vain: {what}")
        threading.Event().wait(0.01)


def done():
    """Ends the flow, whatever threads there still are."""
    print(f"{count} checks", flush=True)
    os._exit(0)

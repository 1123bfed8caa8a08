"""Waiting for a condition with a deadline, for the tests of several servers."""
import time

import redis

# How long anything may take until it is given up: a failover that is tried twice, a replica that comes back.
PATIENCE_S = 60


class Fault(Exception):
    """Something that must hold does not."""


class NotYet(Exception):
    """Raised by a condition that can say why it does not hold."""


def until(condition, what, seconds=PATIENCE_S):
    """Asks again and again until the condition gives something true, which is the result."""
    deadline, trouble = time.monotonic() + seconds, ""
    while True:
        try:
            if found := condition():
                return found
            trouble = ""
        except (NotYet, OSError, LookupError, redis.RedisError) as error:
            trouble = f": {error}"
        if time.monotonic() > deadline:
            raise Fault(f"not within {seconds} s: {what}{trouble}")
        time.sleep(0.02)

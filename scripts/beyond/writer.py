"""A client that writes through redis-py and Sentinel until it is ended: `writer.py NAME GROUP WAIT_MS SENTINEL...`.

Each step sets a key of its own and adds to a counter, and has WAIT tell how many replicas have both: all three in one pipeline, so over
one connection. Beside that the counter is read from a replica. On standard output, a line a step:

    ok NUMBER BEGIN END REPLICAS COUNTER REPLICA'S-COUNTER
    no NUMBER BEGIN END ERROR

BEGIN and END are seconds since 1970; the last is -1 when no replica could be read. A write that is refused or not answered is
not tried again: the next step has another key.
"""
import sys
import threading
import time

from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

# How long a connection that does not answer is waited for, beyond WAIT's own time, and how long between steps.
SILENCE_S_MAX = 0.3
PACE_S = 0.005


def main():
    name, group, wait_ms, *sentinels = sys.argv[1:]
    places = [place.split(":") for place in sentinels]
    sentinel = Sentinel(places, sentinel_kwargs={"socket_timeout": SILENCE_S_MAX, "retry": Retry(NoBackoff(), 0)})
    options = {"socket_timeout": int(wait_ms) / 1000 + SILENCE_S_MAX, "socket_connect_timeout": SILENCE_S_MAX,
               "retry": Retry(NoBackoff(), 0)}
    primary, replica = sentinel.master_for(group, **options), sentinel.slave_for(group, **options)
    shown = [-1]
    threading.Thread(target=watch_replica, args=[replica, f"{name}:count", shown], daemon=True).start()
    number = 0
    while True:
        number += 1
        begin = time.time()
        try:
            step = primary.pipeline(transaction=False)
            step.set(f"{name}:{number}", number).incr(f"{name}:count").wait(1, int(wait_ms))
            _, count, replicas = step.execute()
            print("ok", number, begin, time.time(), replicas, count, shown[0], flush=True)
        except RedisError as error:
            # Without what a pipeline puts before it.
            print("no", number, begin, time.time(), " ".join(str(error).split("caused error: ")[-1].split()), flush=True)
            if "NOREPLICAS" in str(error):
                # Perhaps another has taken over: the next connection asks the sentinels.
                primary.connection_pool.disconnect()
        time.sleep(PACE_S)


def watch_replica(replica, key, shown):
    """What a replica shows of the counter, read by itself, as a replica may be missed for longer."""
    while True:
        try:
            shown[0] = int(replica.get(key) or 0)
        except RedisError:
            shown[0] = -1
        time.sleep(PACE_S)


if __name__ == "__main__":
    main()

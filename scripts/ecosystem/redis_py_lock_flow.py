"""redis-py's lock, in both protocols."""

import threading

from redis import Redis
from redis.exceptions import LockError, LockNotOwnedError

from checks import PORT, done, fails, holds, same, until

for protocol in (2, 3):
    client = Redis(host="127.0.0.1", port=PORT, protocol=protocol)
    client.delete("lock", "short", "wait", "section")
    lock = client.lock("lock", timeout=60)
    holds(lock.acquire(blocking=False), "taken")
    other = client.lock("lock", timeout=60)
    same(other.acquire(blocking=False), False, "held by another")
    same((lock.locked(), lock.owned(), other.owned()), (True, True, False), "whose it is")
    holds(lock.extend(100), "extended")
    holds(client.ttl("lock") > 100, "by so much")
    holds(lock.extend(30, replace_ttl=True), "to so much")
    holds(client.ttl("lock") <= 30, "no longer")
    holds(lock.reacquire(), "as at first")
    holds(client.ttl("lock") > 30, "for the time it had")
    lock.release()
    same(lock.locked(), False, "released")
    fails(LockError, "released twice", lock.release)
    short = client.lock("short", timeout=0.05)
    holds(short.acquire(), "for a short time")
    until(lambda: not short.locked(), "it runs out")
    fails(LockNotOwnedError, "and is not owned then", short.release)
    holds(short.acquire(), "taken again")
    client.set("short", "stolen", px=60000)
    fails(LockNotOwnedError, "stolen", short.release)
    fails(LockError, "nor extended then", short.extend, 1)
    fails(LockError, "nor taken again", short.reacquire)
    held = client.lock("wait", timeout=60)
    holds(held.acquire(), "held")
    same(client.lock("wait", timeout=60).acquire(blocking_timeout=0.1), False, "waited in vain")
    inside, order = [], []

    def enter(n):
        with Redis(host="127.0.0.1", port=PORT, protocol=protocol).lock("section", timeout=60, sleep=0.005):
            inside.append(n)
            order.append((n, len(inside)))
            inside.remove(n)

    threads = [threading.Thread(target=enter, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(sorted(order), [(n, 1) for n in range(8)], "one at a time")
done()

"""redlock of PyPI (redlock-py)."""

from redlock import MultipleRedlockException, Redlock
from redis import Redis

from checks import PORT, done, holds, same, until

client = Redis(host="127.0.0.1", port=PORT)
manager = Redlock([{"host": "127.0.0.1", "port": PORT, "db": 0}], retry_count=1)
lock = manager.lock("resource", 60000)
holds(lock, "taken")
same(client.get("resource"), lock.key, "held in the server")
same(manager.lock("resource", 1000), False, "held by another")
manager.unlock(lock)
same(client.exists("resource"), 0, "released")
short = manager.lock("resource", 50)
holds(short and short.validity <= 50, "for a short time")
until(lambda: client.exists("resource") == 0, "it runs out")
later = manager.lock("resource", 60000)
manager.unlock(short)
same(client.get("resource"), later.key, "another's lock is not released")
manager.unlock(later)
same(issubclass(MultipleRedlockException, Exception), True, "its exceptions")
done()

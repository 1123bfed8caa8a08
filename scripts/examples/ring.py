#!/usr/bin/env python3
"""Keys spread over several servers by consistent hashing, with redis-py: each key has one server, found on a ring of points.

    python3 scripts/examples/ring.py SET greeting hello -- one=127.0.0.1:7379 two=127.0.0.1:7380 three=127.0.0.1:7381

sends one command to the server of its first argument, and prints that server's name and the reply. `ring.js` does the same with ioredis and
agrees on where a key is. The points belong to names, so a server may move to another machine and keep its keys; when one is added,
only the keys that come to it move. What is between the first braces of a key, if anything, stands for the whole, so that
keys can be kept together. A server that is down is missed: its keys raise redis-py's errors until it is back.
"""
import bisect
import hashlib
import sys

import redis

POINTS = 160


def hashed(text):
    return int.from_bytes(hashlib.md5(text.encode()).digest()[:8], "big")


class Ring:
    """`servers` maps names to whatever stands for a server: `redis.Redis` objects, say."""

    def __init__(self, servers):
        self.servers = servers
        points = sorted((hashed(f"{name}-{point}"), name) for name in servers for point in range(POINTS))
        self.points, self.names = [point for point, _ in points], [name for _, name in points]

    def name_of(self, key):
        """The name at the first point at or behind the key's."""
        begin, end = key.find("{"), key.find("}", key.find("{") + 1)
        tag = key[begin + 1:end] if 0 <= begin < end - 1 else key
        return self.names[bisect.bisect_left(self.points, hashed(tag)) % len(self.names)]

    def server_of(self, key):
        return self.servers[self.name_of(key)]


def main():
    at = sys.argv.index("--")
    command, places = sys.argv[1:at], dict(word.split("=") for word in sys.argv[at + 1:])
    ring = Ring({name: redis.Redis.from_url(f"redis://{place}", decode_responses=True) for name, place in places.items()})
    print(ring.name_of(command[1]), ring.server_of(command[1]).execute_command(*command))


if __name__ == "__main__":
    main()

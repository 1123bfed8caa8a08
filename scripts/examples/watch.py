#!/usr/bin/env python3
"""A live query with redis-py: prints what a query answers, and what it answers anew whenever a key that it names changes.

    pip install redis
    python3 scripts/examples/watch.py GET greeting
    redis-cli -p 7379 SET greeting hello               # in another terminal

prints the name, the fingerprint and the result of each frame:

    GET 2846808687 null
    GET 2846808687 "hello"

ALEADB_URL names another server than redis://127.0.0.1:7379. It ends with Ctrl-C, or with the connection.

How it works. A watch belongs to a connection, so it takes one from a pool and keeps it. The first answer is an ordinary
reply and the later ones are RESP3 pushes, and `read_response(push_request=True)` returns both alike. Other commands go
over other connections.
"""
import json
import os
import sys

import redis


def watch(url, command, *args):
    """Yields [name, fingerprint, result]: the first answer at once, then one after every change."""
    pool = redis.ConnectionPool.from_url(url, protocol=3, decode_responses=True)
    connection = pool.get_connection()
    try:
        connection.send_command(f"{command}.WATCH", *args)
        while True:
            yield connection.read_response(push_request=True)
    finally:
        pool.disconnect()


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: watch.py COMMAND [ARGUMENT...]")
    try:
        for name, fingerprint, result in watch(os.environ.get("ALEADB_URL", "redis://127.0.0.1:7379"), *sys.argv[1:]):
            # An error may stand in the result's place (the key may hold another type by now); json prints it as a text.
            print(name, fingerprint, json.dumps(result, ensure_ascii=False, default=str), flush=True)
    except KeyboardInterrupt:
        print()
    except redis.RedisError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

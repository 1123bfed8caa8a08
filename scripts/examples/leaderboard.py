#!/usr/bin/env python3
"""A live leaderboard in a terminal: one watched query, drawn again with every frame that the server pushes.

    pip install redis
    python3 scripts/examples/leaderboard.py            # the ten best, until Ctrl-C
    python3 scripts/examples/leaderboard.py --feed     # in another terminal: somebody scores ten times a second

The query is `ZRANGE.WATCH board 0 9 REV WITHSCORES`. Nothing is polled: while nobody scores, nothing is sent. Arrows show
who has climbed or fallen since the last frame. Into a pipe or a file it writes frame after frame, without escape codes.

ALEADB_URL names another server than redis://127.0.0.1:7379.
"""
import argparse
import os
import random
import signal
import sys
import time

import redis

PLAYERS = ["Ada", "Barbara", "Edsger", "Frances", "Grace", "Ken", "Leslie", "Margaret", "Niklaus", "Radia", "Tony", "Whitfield"]
BAR_COLUMNS = 32
# Cursor to the corner; erase to the end of the line, to the end of the screen; hide and show the cursor.
HOME, END_OF_LINE, END_OF_SCREEN, HIDE, SHOW = "\033[H", "\033[K", "\033[J", "\033[?25l", "\033[?25h"


def watch(url, command, *args):
    """Yields the results of a query: the first at once, then one after every change."""
    pool = redis.ConnectionPool.from_url(url, protocol=3, decode_responses=True)
    connection = pool.get_connection()
    try:
        connection.send_command(f"{command}.WATCH", *args)
        while True:
            _name, _fingerprint, result = connection.read_response(push_request=True)
            if isinstance(result, redis.RedisError):
                raise result
            yield result
    finally:
        pool.disconnect()


def lines(key, board, places):
    """The text of a frame; `places` are those of the frame before, by player."""
    yield f"{key}: the best {len(board)}" if board else f"{key}: nobody has scored yet"
    most = max((score for _, score in board), default=0)
    for place, (player, score) in enumerate(board, start=1):
        before = places.get(player, place if not places else len(places) + 1)
        arrow = "▲" if place < before else "▼" if place > before else " "
        bar = "█" * round(BAR_COLUMNS * score / most) if most > 0 else ""
        yield f"{place:3} {arrow} {player:<12} {score:>10,.10g}  {bar}".rstrip()


def show(url, key, top, frames):
    """Draws until `frames` frames have been drawn, if that is a number."""
    on_screen = sys.stdout.isatty()
    places = {}
    try:
        if on_screen:
            print(HIDE + HOME + END_OF_SCREEN, end="")
        for number, board in enumerate(watch(url, "ZRANGE", key, 0, top - 1, "REV", "WITHSCORES"), start=1):
            text = list(lines(key, board, places))
            if on_screen:
                print(HOME + "".join(line + END_OF_LINE + "\n" for line in text) + END_OF_SCREEN, end="", flush=True)
            else:
                print("\n".join(text) + "\n", flush=True)
            places = {player: place for place, (player, _) in enumerate(board, start=1)}
            if number == frames:
                break
    finally:
        if on_screen:
            print(SHOW, end="", flush=True)


def feed(url, key, every_s, count):
    """Gives points to somebody `count` times, or without an end."""
    with redis.Redis.from_url(url) as db:
        while count is None or count > 0:
            db.zincrby(key, random.randint(1, 100), random.choice(PLAYERS))
            count = None if count is None else count - 1
            time.sleep(every_s)


def main():
    parser = argparse.ArgumentParser(description="A live leaderboard in a terminal.")
    parser.add_argument("--key", default="board", help="the sorted set (default %(default)s)")
    parser.add_argument("--top", type=int, default=10, help="how many to show (default %(default)s)")
    parser.add_argument("--frames", type=int, help="end after so many frames")
    parser.add_argument("--feed", action="store_true", help="score instead of showing")
    parser.add_argument("--every", type=float, default=0.1, help="--feed: seconds between two scores (default %(default)s)")
    parser.add_argument("--count", type=int, help="--feed: end after so many scores")
    options = parser.parse_args()
    url = os.environ.get("ALEADB_URL", "redis://127.0.0.1:7379")
    # `kill` ends it as Ctrl-C does, with the cursor shown again.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.feed:
            feed(url, options.key, options.every, options.count)
        else:
            show(url, options.key, options.top, options.frames)
    except KeyboardInterrupt:
        pass
    except redis.RedisError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures what a client feels while another one's command takes long, several servers side by side; called by pause-bench.sh.

A process of its own sends PING after PING. Meanwhile one command over a large value is sent and its answer is read, some times
over. Each server is fresh and pinned to one processor, this script and the one that pings to another, where the latter and the
kernel's own threads go before the former (if the system lets them): what the reader of a large answer takes of that processor is
no pause of the server.

For each command: how long its answer took, the 99th percentile of the PINGs meanwhile, and the longest PING of a round: the
median of the rounds and the worst, in milliseconds. The line `quiet` is the same without a command, over five seconds. The kernel
and other programs have their part in the worst: some milliseconds about once a second on a virtual machine.
Python's standard library only; the method of starting servers is bench.py's.
"""
import argparse
import multiprocessing
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bench import CLIENT_CPU, Server, encode, pin  # noqa: E402

BATCH = 500
QUIET_S = 1.0
QUIET_ROUNDS = 5
END = b"$3\r\nend\r\n"


class Client:
    """A connection that sends commands and reads whole replies, without looking at their elements."""

    def __init__(self, server):
        self.socket = server.connect()
        self.file = self.socket.makefile("rb", buffering=1 << 20)

    def skip(self):
        """Reads one reply; its line."""
        line = self.file.readline()
        if not line:
            raise SystemExit("pause-bench: the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$" and rest != b"-1":
            self.file.read(int(rest) + 2)
        elif kind == b"*":
            for _ in range(int(rest)):
                self.skip()
        return line

    def ask(self, *args):
        self.socket.sendall(encode(*args))
        return self.skip()

    def swallow(self, *args):
        """Sends a command, and reads its reply as bytes without an end of their own: up to the next command's reply."""
        self.socket.sendall(encode(*args) + encode("ECHO", "end"))
        head = tail = self.socket.recv(1 << 20)
        while not tail.endswith(END):
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise SystemExit("pause-bench: the server closed the connection")
            tail = (tail + piece)[-len(END):] if len(piece) < len(END) else piece
        if head.startswith(b"-"):
            raise SystemExit(f"pause-bench: {args[0]}: {head[1:].splitlines()[0].decode()}")

    def dump(self, key):
        """The payload of a key."""
        self.socket.sendall(encode("DUMP", key))
        return self.file.read(int(self.file.readline()[1:-2]) + 2)[:-2]

    def words(self, line):
        """The words of a line, in which the name of a key in angle brackets stands for its payload."""
        return [self.dump(word[1:-1]) if word.startswith("<") else word for word in line.split()]

    def fill(self, lines):
        """Sends lines, some at a time."""
        batch = []
        for line in lines:
            batch.append(encode(*line))
            if len(batch) == BATCH:
                self.flush(batch)
        self.flush(batch)

    def flush(self, batch):
        self.socket.sendall(b"".join(batch))
        for _ in batch:
            self.skip()
        batch.clear()


def schedule(policy, priority):
    try:
        os.sched_setscheduler(0, getattr(os, policy), os.sched_param(priority))
    except (AttributeError, PermissionError):
        pass


def ping(server, stop, results):
    schedule("SCHED_FIFO", 1)
    client, took = Client(server), []
    while not stop.is_set():
        began = time.perf_counter()
        client.ask("PING")
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    results.put((took[min(len(took) - 1, int(len(took) * 0.99))], took[-1]))


def felt(server, work):
    """What who pings feels while `work` is done: 99th percentile and longest, and how long the work took."""
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    process = multiprocessing.Process(target=ping, args=(server, stop, results))
    process.start()
    time_left(QUIET_S / 4)
    began = time.perf_counter()
    work()
    took = (time.perf_counter() - began) * 1000
    stop.set()
    p99, longest = results.get()
    process.join()
    return p99, longest, took


def time_left(seconds):
    """Goes by some time without a wait that others would notice."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        os.sched_yield()


def pieces(count):
    for first in range(0, count, 100):
        yield range(first, min(first + 100, count))


def values(count):
    """Lines that make the values of the commands below."""
    for numbers in pieces(count):
        yield ["SADD", "set", *(f"member:{n}" for n in numbers)]
        yield ["SADD", "other", *(f"member:{2 * n}" for n in numbers)]
        yield ["HSET", "hash", *(word for n in numbers for word in (f"field:{n}", f"value:{n}"))]
        yield ["RPUSH", "list", *(f"element:{n}" for n in numbers)]
        yield ["RPUSH", "numbers", *((n * 7919) % count for n in numbers)]
        yield ["ZADD", "zset", *(word for n in numbers for word in (n, f"member:{n}"))]
        yield ["ZADD", "more", *(word for n in numbers for word in (n, f"member:{2 * n}"))]
        yield ["GEOADD", "geo", *(word for n in numbers for word in (n % 3600 / 10 - 180, n % 1601 / 10 - 80, f"place:{n}"))]
        yield from (["XADD", "stream", f"{n + 1}-1", "field", n] for n in numbers)
        yield ["MSET", *(word for n in numbers for word in (f"key:{n}", "value"))]
    for n in range(100):
        yield ["SETRANGE", "bytes", n * count, "x" * count]
        yield ["SETRANGE", "zeros", n * count, "\0" * count]
    for n in range(1000):
        yield ["PFADD", f"hll:{n}", *range(n, n + 3000, 3)]
    text = "".join(chr(97 + n * n % 26) for n in range(10_000))
    yield ["MSET", "text", text, "other-text", text[::-1]]


COMMANDS = [
    "KEYS *",
    "KEYS nothing*",
    "SMEMBERS set",
    "HGETALL hash",
    "HKEYS hash",
    "HVALS hash",
    "LRANGE list 0 -1",
    "ZRANGE zset 0 -1 WITHSCORES",
    "ZREVRANGEBYSCORE zset +inf -inf",
    "XRANGE stream - +",
    "XREVRANGE stream + -",
    "SINTER set other",
    "SINTERCARD 2 set other",
    "SUNION set other",
    "SDIFF set other",
    "SUNIONSTORE to set other",
    "SINTERSTORE to set other",
    "SDIFFSTORE to set other",
    "SORT numbers",
    "SORT numbers DESC LIMIT 0 10",
    "SORT list ALPHA STORE to",
    "SORT numbers BY key:* ALPHA GET key:*",
    "ZUNION 2 zset more",
    "ZUNIONSTORE to 2 zset more",
    "ZUNIONSTORE to 2 zset set",
    "ZINTER 2 zset more",
    "ZINTERSTORE to 2 zset more",
    "ZINTERCARD 2 zset more",
    "ZDIFFSTORE to 2 zset more",
    "ZRANGESTORE to zset 0 -1",
    "GEOSEARCH geo FROMLONLAT 0 0 BYRADIUS 10000 km",
    "GEOSEARCH geo FROMLONLAT 0 0 BYRADIUS 10000 km COUNT 100",
    "GEOSEARCHSTORE to geo FROMLONLAT 0 0 BYRADIUS 10000 km",
    "BITCOUNT bytes",
    "BITPOS zeros 1",
    "BITOP XOR to bytes zeros",
    "PFCOUNT " + " ".join(f"hll:{n}" for n in range(1000)),
    "PFMERGE union " + " ".join(f"hll:{n}" for n in range(1000)),
    "LCS text other-text",
    "COPY set to REPLACE",
    "COPY hash to REPLACE",
    "COPY zset to REPLACE",
    "COPY list to REPLACE",
    "COPY stream to REPLACE",
    "DUMP hash",
    "DUMP zset",
    "DUMP stream",
    "DUMP bytes",
    "RESTORE to 0 <hash> REPLACE",
    "RESTORE to 0 <zset> REPLACE",
    "RESTORE to 0 <set> REPLACE",
    "RESTORE to 0 <list> REPLACE",
    "RESTORE to 0 <stream> REPLACE",
    "LPOS list nothing",
    "SSCAN set 0 COUNT 1000000",
    "HSCAN hash 0 COUNT 1000000",
    "ZSCAN zset 0 COUNT 1000000",
    "SRANDMEMBER set 500000",
    "SRANDMEMBER set -1000000",
    "HRANDFIELD hash 500000",
    "ZRANDMEMBER zset 500000",
]


def key_names(count):
    return [f"key:{n}" for n in range(count)]


def paired(words, value="value"):
    return [word for name in words for word in (name, value)]


def many(count):
    """Commands with very many keys or arguments, by the names they are shown with: each with the lines that make what it needs."""
    keys, members = key_names(count), [f"member:{n}" for n in range(count)]
    set_all = [["MSET", *paired(keys[at : at + 500])] for at in range(0, count, 500)]
    scored = [word for n, member in enumerate(members) for word in (n, member)]
    ids = [f"{n + 1}-1" for n in range(count)]
    entries = [["XADD", "log", name, "field", "value"] for name in ids]
    pushed = [["RPUSH", "queue", *members[at : at + 500]] for at in range(0, count, 500)]
    gone = [["UNLINK", "made", "log", "queue"]]
    made = lambda line: gone + [line]  # noqa: E731
    return {
        "MGET": (set_all, ["MGET", *keys]),
        "EXISTS": (set_all, ["EXISTS", *keys]),
        "TOUCH": (set_all, ["TOUCH", *keys]),
        "MSET over what is there": (set_all, ["MSET", *paired(keys)]),
        "DEL": (set_all, ["DEL", *keys]),
        "MSET of new keys": ([["UNLINK", *keys[at : at + 500]] for at in range(0, count, 500)], ["MSET", *paired(keys)]),
        "UNLINK": (set_all, ["UNLINK", *keys]),
        "MSETNX": ([["UNLINK", *keys[at : at + 500]] for at in range(0, count, 500)], ["MSETNX", *paired(keys)]),
        "SADD": (gone, ["SADD", "made", *members]),
        "SMISMEMBER": (made(["SADD", "made", *members]), ["SMISMEMBER", "made", *members]),
        "SREM": (made(["SADD", "made", *members]), ["SREM", "made", *members]),
        "HSET": (gone, ["HSET", "made", *paired(members)]),
        "HMGET": (made(["HSET", "made", *paired(members)]), ["HMGET", "made", *members]),
        "HDEL": (made(["HSET", "made", *paired(members)]), ["HDEL", "made", *members]),
        "ZADD": (gone, ["ZADD", "made", *scored]),
        "ZMSCORE": (made(["ZADD", "made", *scored]), ["ZMSCORE", "made", *members]),
        "ZREM": (made(["ZADD", "made", *scored]), ["ZREM", "made", *members]),
        "RPUSH": (gone, ["RPUSH", "made", *members]),
        "LPUSH": (gone, ["LPUSH", "made", *members]),
        "PFADD": (gone, ["PFADD", "made", *members]),
        "XDEL": (gone + entries, ["XDEL", "log", *ids]),
        "LPOP": (gone + pushed, ["LPOP", "queue", count]),
    }


def large(count):
    """Commands that take very much from one value, with the lines that make it."""
    fresh = [["UNLINK", "taken"]]
    numbers = list(pieces(count))
    members = fresh + [["SADD", "taken", *(f"member:{n}" for n in some)] for some in numbers]
    scored = fresh + [["ZADD", "taken", *(word for n in some for word in (n, f"member:{n}"))] for some in numbers]
    pushed = fresh + [["RPUSH", "taken", *(f"element:{n % 7}" for n in some)] for some in numbers]
    entries = fresh + [["XADD", "taken", f"{n + 1}-1", "field", n] for n in range(count)]
    most = count - 10
    return {
        "ZREMRANGEBYRANK of most": (scored, ["ZREMRANGEBYRANK", "taken", 5, most]),
        "ZREMRANGEBYSCORE of most": (scored, ["ZREMRANGEBYSCORE", "taken", 5, most]),
        "ZPOPMIN of most": (scored, ["ZPOPMIN", "taken", most]),
        "ZMPOP of most": (scored, ["ZMPOP", 1, "taken", "MAX", "COUNT", most]),
        "SPOP of most": (members, ["SPOP", "taken", most]),
        "SPOP of half": (members, ["SPOP", "taken", count // 2]),
        "LTRIM to some": (pushed, ["LTRIM", "taken", 5, 10]),
        "LPOP of most": (pushed, ["LPOP", "taken", most]),
        "RPOP of most": (pushed, ["RPOP", "taken", most]),
        "LMPOP of most": (pushed, ["LMPOP", 1, "taken", "LEFT", "COUNT", most]),
        "LREM of one in seven": (pushed, ["LREM", "taken", 0, "element:3"]),
        "LINSERT at the end": (pushed + [["RPUSH", "taken", "last"]], ["LINSERT", "taken", "AFTER", "last", "x"]),
        "LINSERT of nothing": (pushed, ["LINSERT", "taken", "AFTER", "nothing", "x"]),
        "XTRIM to some": (entries, ["XTRIM", "taken", "MAXLEN", 5]),
        "XADD MAXLEN": (entries, ["XADD", "taken", "MAXLEN", 5, "*", "f", "v"]),
        "DEL of a list": (pushed, ["DEL", "taken"]),
    }


def measure_made(name, server, client, commands, rounds):
    """Commands that change what they need: it is made anew before each round."""
    for label, (lines, line) in commands.items():
        felt_each = []
        for _ in range(rounds):
            client.fill(lines)
            felt_each.append(felt(server, lambda: client.swallow(*line)))
        show(name, label, felt_each)


def measure(name, command, args, raw):
    with Server(command, raw) as server:
        client = Client(server)
        client.fill(values(args.elements))
        os.nice(19)
        show(name, "quiet", [felt(server, lambda: time_left(QUIET_S)) for _ in range(QUIET_ROUNDS)])
        if not args.command:
            measure_made(name, server, client, many(args.keys), args.rounds)
            measure_made(name, server, client, large(args.elements), args.rounds)
        for line in args.command or COMMANDS:
            words = client.words(line)
            show(name, line, [felt(server, lambda: client.swallow(*words)) for _ in range(args.rounds)])


def show(name, line, rounds):
    p99, longest, took = zip(*rounds)
    text = f"took {statistics.median(took):8.1f}  ping p99 {statistics.median(p99):8.2f}"
    text += f"  longest {statistics.median(longest):8.2f}  worst {max(longest):8.2f}"
    print(f"{name:12} {line[:36]:36} {text}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", required=True, metavar="NAME=COMMAND", help="a server; {port} is replaced")
    parser.add_argument("--elements", type=int, default=1_000_000, help="of each value, and keys")
    parser.add_argument("--rounds", type=int, default=5, help="of each command")
    parser.add_argument("--keys", type=int, default=100_000, help="that commands with very many keys or arguments name")
    parser.add_argument("--command", action="append", help="a command to measure in place of all, may be repeated")
    args = parser.parse_args()
    pin_self = pin(CLIENT_CPU)
    if pin_self:
        pin_self()
    with open(os.devnull, "w") as raw:
        for peer in args.peer:
            name, command = peer.split("=", 1)
            measure(name, command, args, raw)


if __name__ == "__main__":
    main()

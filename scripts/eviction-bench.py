#!/usr/bin/env python3
"""Measures how well servers choose what to evict: the miss ratio of caches that replay the same traces.

Each peer is started afresh for every run, as a cache: a GET for each request of the trace, and a SET for each that missed. The
requests go out over one connection in pipelines; the SETs of one pipeline's misses lead the next. What misses while the cache
fills is not counted: the first third of the trace is for that. eviction_traces.py says which traces there are.

Two comparisons are made:

memory   every server has the same `maxmemory`, the one that lets the first peer hold a tenth of the keys: who stores keys in
         less memory holds more of them, and misses less;
keys     every server has the `maxmemory` that lets it hold a tenth of the keys, found by trial: who misses less chooses better.

Redis tells times of access apart by the second (LRU) and counts down by the minute (LFU), so that it matters how fast a trace is
replayed. Unless told otherwise that is as fast as the server answers; `--pace` gives the requests a second instead.

The traces come from a seed, but not what a server samples: the same run again differs in the third digit. Values are 100 bytes,
or of 16 to 1,024 bytes by key with `--sizes mixed`. Python's standard library only; servers are started as bench.py does.

    scripts/eviction-bench.py --peer "redis=redis-server --port {port} --save ''" --peer "aleadb=target/release/aleadb --port {port}"
"""
import argparse
import json
import os
import random
import sys
import time
from array import array

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import eviction_traces as traces  # noqa: E402
from bench import CLIENT_CPU, Server, encode, pin  # noqa: E402

PIPELINE = 64
# Requests as encode() makes them, with a place for the key's number.
GET = b"*2\r\n$3\r\nGET\r\n$12\r\nkey:%08d\r\n"
SET = b"*3\r\n$3\r\nSET\r\n$12\r\nkey:%08d\r\n"
SIZES = {"fixed": (100, 100), "mixed": (16, 1024)}
# How far the number of keys held may be from the one that is asked for.
HELD_SLACK = 0.005
COMPARISONS = ("memory", "keys")


class Values:
    """The SET of each key, whose value's size comes from the key alone."""

    def __init__(self, keys, sizes, seed):
        low, high = SIZES[sizes]
        dice = random.Random(seed)
        self.sizes = array("H", (dice.randint(low, high) for _ in range(keys)))
        self.set_of_size = {size: SET + b"$%d\r\n%s\r\n" % (size, b"x" * size) for size in range(low, high + 1)}

    def set_request(self, key):
        return self.set_of_size[self.sizes[key]] % key


class Cache:
    """A server with a memory limit and one connection to it."""

    def __init__(self, server):
        self.server, self.socket = server, server.connect()

    def ask(self, *words):
        """The reply to one command, which has to be a single line or a bulk string."""
        self.socket.sendall(encode(*words))
        data = self.socket.recv(65536)
        while not data.endswith(b"\r\n") or (data[:1] == b"$" and len(data) < int(data[1:data.index(b"\r")])):
            data += self.socket.recv(65536)
        if data[:1] == b"-":
            raise Refused(data.decode().strip())
        return data

    def limit(self, policy, maxmemory):
        self.ask("CONFIG", "SET", "maxmemory-policy", policy)
        self.ask("CONFIG", "SET", "maxmemory", maxmemory)

    def held(self):
        return int(self.ask("DBSIZE")[1:])

    def get_and_set(self, gets, sets):
        """Sends a pipeline; returns for each GET whether it missed."""
        self.socket.sendall(b"".join(sets) + b"".join(gets))
        data = b""
        while True:
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise SystemExit("eviction-bench: the server closed the connection")
            data += piece
            # A value has neither line ends nor dollars, so a miss is one line, a hit two, and a SET one.
            misses = data.count(b"$-1\r\n")
            lines = data.count(b"\r\n")
            if data[-2:] == b"\r\n" and lines - len(sets) == 2 * len(gets) - misses:
                break
        words = data.split(b"\r\n")
        if words[:len(sets)] != [b"+OK"] * len(sets):
            wrong = next(word for word in words if word != b"+OK")
            raise Refused(wrong.decode())
        return [word == b"$-1" for word in words[len(sets):] if word[:1] == b"$"]


class Refused(Exception):
    """A server that does not know a policy, or refuses a SET."""


def replay(cache, trace, values, pace):
    """The ratio of requests that missed, after the first third."""
    counted_from, misses, pending = len(trace) // 3, 0, []
    begun = time.monotonic()
    for first in range(0, len(trace), PIPELINE):
        keys = trace[first:first + PIPELINE]
        missed = cache.get_and_set([GET % key for key in keys], pending)
        # Keys that missed twice in one pipeline are set once.
        absent = {key for key, miss in zip(keys, missed) if miss}
        pending = [values.set_request(key) for key in absent]
        if first >= counted_from:
            misses += sum(missed)
        if pace:
            ahead = first / pace - (time.monotonic() - begun)
            if ahead > 0.001:
                time.sleep(ahead)
    counted = len(trace) - -(-counted_from // PIPELINE) * PIPELINE
    return misses / counted


def keys_held(command, maxmemory, count, values, raw):
    """How many keys a fresh server holds when `count`, which are more, have been set one pipeline after another."""
    with Server(command, raw) as server:
        cache = Cache(server)
        cache.limit("allkeys-lru", maxmemory)
        for first in range(0, count, PIPELINE):
            cache.get_and_set([GET % first], [values.set_request(key) for key in range(first, min(first + PIPELINE, count))])
        return cache.held()


def maxmemory_for(command, held, values, raw):
    """The limit with which a server holds that many keys, by halving; the policies hold equally many, so one is tried."""
    with Server(command, raw) as server:
        info = Cache(server).ask("INFO", "memory")
    empty = next(int(line.split(b":")[1]) for line in info.split(b"\r\n") if line.startswith(b"used_memory:"))
    # Between no entries, and more than the largest ones take with what the server adds to each.
    low, high = empty, empty + held * (max(values.sizes) + 300)
    for _ in range(30):
        middle = (low + high) // 2
        try:
            found = keys_held(command, middle, 3 * held, values, raw)
        except Refused:
            found = 0
        if abs(found - held) <= HELD_SLACK * held or high - low < 1000:
            break
        low, high = (middle, high) if found < held else (low, middle)
    return middle


def run(command, policy, maxmemory, trace, values, pace, raw):
    """Miss ratio, keys held at the end, and seconds; None where the server has no such policy."""
    with Server(command, raw) as server:
        cache = Cache(server)
        try:
            cache.limit(policy, maxmemory)
        except Refused as refused:
            raw.write(f"{command}: {policy}: {refused}\n")
            return None
        begun = time.monotonic()
        ratio = replay(cache, trace, values, pace)
        return {"miss": ratio, "held": cache.held(), "seconds": time.monotonic() - begun}


def measure(peers, args, raw):
    count = int(args.keys * traces.HELD_SHARE)
    # The pass of `scan` has keys of its own.
    values = Values(2 * args.keys, args.sizes, args.seed)
    limits = {name: maxmemory_for(command, count, values, raw) for name, command in peers.items()}
    first = next(iter(limits))
    print(f"{count} keys with {args.sizes} sizes are held at a maxmemory of: " +
          ", ".join(f"{name} {limit:,}" for name, limit in limits.items()), flush=True)
    results = []
    for trace_name in args.traces:
        trace = traces.make(trace_name, args.keys, args.requests, args.seed)
        for comparison in args.comparisons:
            for policy in args.policies:
                for name, command in peers.items():
                    limit = limits[name if comparison == "keys" else first]
                    found = run(command, policy, limit, trace, values, args.pace, raw)
                    if found is None:
                        continue
                    where = f"{trace_name:9} {comparison:7} {policy:16} {name:14}"
                    print(f"{where} miss {found['miss']:.4f}   held {found['held']:7d}   {len(trace) / found['seconds']:9,.0f} "
                          f"requests/s", flush=True)
                    results.append({"trace": trace_name, "comparison": comparison, "policy": policy, "peer": name, **found})
    return results


def table(results, peers):
    """Miss ratios in per cent as a Markdown table: a row for each trace and comparison, a column for each peer and policy."""
    columns = [(name, policy) for policy in dict.fromkeys(row["policy"] for row in results) for name in peers]
    cells = {(row["trace"], row["comparison"], row["peer"], row["policy"]): row["miss"] for row in results}
    columns = [column for column in columns if any(cell[2:] == column for cell in cells)]
    lines = [f"| misses, % | {' | '.join(f'{name} {policy}' for name, policy in columns)} |", "| --- |" + " --- |" * len(columns)]
    for trace, comparison in dict.fromkeys((row["trace"], row["comparison"]) for row in results):
        values = [cells.get((trace, comparison, *column)) for column in columns]
        shown = " | ".join("" if value is None else f"{value * 100:.2f}" for value in values)
        lines.append(f"| {trace}, equal {comparison} | {shown} |")
    return "\n".join(lines)


def arguments():
    parser = argparse.ArgumentParser(description="Replays traces against caches and counts what misses.")
    parser.add_argument("--peer", action="append", required=True, metavar="NAME=COMMAND",
                        help="a server, started in the foreground; {port} is replaced; the first one's memory is that of all")
    parser.add_argument("--policies", default="allkeys-lru,allkeys-lfu",
                        help="values of maxmemory-policy; a server that does not know one is left out (%(default)s)")
    parser.add_argument("--traces", default=",".join(traces.TRACES), help="which traces (%(default)s)")
    parser.add_argument("--comparisons", default=",".join(COMPARISONS), help="at equal what (%(default)s)")
    parser.add_argument("--sizes", choices=SIZES, default="fixed", help="sizes of the values (%(default)s)")
    parser.add_argument("--keys", type=int, default=500_000, help="keys of a trace, a tenth of which is held (%(default)s)")
    parser.add_argument("--requests", type=int, default=4_000_000, help="requests of a trace (%(default)s)")
    parser.add_argument("--pace", type=int, default=0, metavar="N", help="requests a second (as fast as the server answers)")
    parser.add_argument("--seed", type=int, default=1, help="of the traces and the sizes (%(default)s)")
    parser.add_argument("--output", metavar="FILE", help="where to write all numbers as JSON")
    args = parser.parse_args()
    for name in ("policies", "traces", "comparisons"):
        setattr(args, name, getattr(args, name).split(","))
    unknown = [name for name in args.traces if name not in traces.TRACES]
    unknown += [name for name in args.comparisons if name not in COMPARISONS]
    if unknown:
        parser.error(f"not known: {', '.join(unknown)}")
    if args.keys < 1000 or args.requests < args.keys or args.pace < 0:
        parser.error("needs 1,000 keys or more, at least as many requests, and a pace that is not negative")
    if any("=" not in peer for peer in args.peer):
        parser.error("--peer takes NAME=COMMAND")
    return args


def main():
    args = arguments()
    peers = dict(peer.split("=", 1) for peer in args.peer)
    if (to_own_processor := pin(CLIENT_CPU)) and not args.pace:
        to_own_processor()
    with open(os.devnull, "w") as raw:
        results = measure(peers, args, raw)
    print(f"\n{table(results, peers)}")
    if args.output:
        with open(args.output, "w") as out:
            json.dump({"peers": peers, "arguments": vars(args), "results": results}, out, indent=1)


if __name__ == "__main__":
    main()

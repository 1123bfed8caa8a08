#!/usr/bin/env python3
"""Measures how punctual the timers of keys are, several servers side by side; called by expiry-bench.sh.

Two tests, each in a fresh server pinned to one processor, with this script pinned to another:

events   Beside a population of keys whose TTLs are far away, some keys are set to fall due at one instant. Nobody reads them;
         their `expired` events are waited for. How late is each, and how many come at all?
storm    Keys without a TTL are filled in, then as many with one that all fall due at one instant. What does a client that
         keeps sending GET feel, when is DBSIZE back to the plain keys, what is resident before and after?

Latencies are in milliseconds and include this script and the kernel: compare peers, and rounds, not machines.
Python's standard library only; the method of starting servers is bench.py's.
"""
import argparse
import os
import random
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bench import KEY, CLIENT_CPU, VALUE, Server, encode, pin  # noqa: E402

FAR_MS, FARTHEST_MS = 3_600_000, 86_400_000
BATCH = 1000


class Client:
    """A connection that sends commands and reads whole replies."""

    def __init__(self, server):
        self.socket = server.connect()
        self.file = self.socket.makefile("rb")

    def send(self, *args):
        self.socket.sendall(encode(*args))

    def reply(self):
        line = self.file.readline()
        if not line:
            raise SystemExit("expiry-bench: the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind in b"*>":
            return [self.reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def ask(self, *args):
        self.send(*args)
        return self.reply()

    def fill(self, keys, name, extra):
        """Sets keys in pipelines, one of which is written while the server runs another; `extra()` gives each key's further
        arguments."""
        waiting = 0
        for first in range(0, keys, BATCH):
            batch = range(first, min(first + BATCH, keys))
            self.socket.sendall(b"".join(encode("SET", name % i, VALUE, *extra()) for i in batch))
            self.expect_ok(waiting)
            waiting = len(batch)
        self.expect_ok(waiting)

    def expect_ok(self, count):
        replies = self.file.read(5 * count)
        if replies != b"+OK\r\n" * count:
            raise SystemExit(f"expiry-bench: SET answered {replies[:100]!r}")


def percentiles(values, shares=(50, 99, 99.9, 100)):
    if not values:
        return "none"
    ordered = sorted(values)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] for share in shares]
    return "  ".join(f"{'max' if share == 100 else f'p{share:g}'} {value:8.2f}" for share, value in zip(shares, at))


def measure_events(name, command, population, args, raw):
    with Server(command, raw) as server:
        client, listener = Client(server), Client(server)
        try:
            client.ask("CONFIG", "SET", "notify-keyspace-events", "Ex")
            listener.ask("SUBSCRIBE", "__keyevent@0__:expired")
        except RuntimeError as error:
            print(f"events {population:>9} {name:10} cannot be measured: {error}", flush=True)
            return
        client.fill(population, "far:%012d", lambda: ("PX", random.randint(FAR_MS, FARTHEST_MS)))
        due_ms = int(time.time() * 1000) + 2000
        client.fill(args.probes, "probe:%d", lambda: ("PXAT", due_ms))
        if time.time() * 1000 > due_ms:
            raise SystemExit("expiry-bench: setting the probes took longer than their lives")
        lags, end = [], due_ms / 1000 + args.wait
        while len(lags) < args.probes and time.time() < end:
            listener.socket.settimeout(max(0.001, end - time.time()))
            try:
                event = listener.reply()
            except (TimeoutError, socket.timeout):
                break
            if event[0] == b"message" and event[2].startswith(b"probe:"):
                lags.append(time.time() * 1000 - due_ms)
        print(f"events {population:>9} {name:10} {len(lags)} of {args.probes}; lag ms {percentiles(lags)}", flush=True)


def measure_storm(name, command, args, raw):
    with Server(command, raw) as server:
        client, control = Client(server), Client(server)
        empty = server.resident_settled()
        started = time.time()
        client.fill(args.keys, KEY, tuple)
        took = time.time() - started
        plain = server.resident_settled()
        # Twice the time of the first fill must do for the second.
        due_ms = int((time.time() + 2 * took + 8) * 1000)
        client.fill(args.keys, "due:%012d", lambda: ("PXAT", due_ms))
        full = server.resident_settled()
        if time.time() * 1000 > due_ms - 1000:
            raise SystemExit("expiry-bench: the fill took longer than the keys' lives")
        control.ask("CONFIG", "RESETSTAT")
        while time.time() * 1000 < due_ms - 1000:
            time.sleep(0.01)
        before, after, gone_ms = [], [], None
        end, look_ms = due_ms / 1000 + args.wait, due_ms
        while time.time() < end:
            start = time.perf_counter()
            client.ask("GET", KEY % 1)
            spent = (time.perf_counter() - start) * 1000
            now_ms = time.time() * 1000
            if now_ms < due_ms:
                before.append(spent)
            elif gone_ms is None:
                after.append(spent)
            if gone_ms is None and now_ms > look_ms:
                look_ms = now_ms + 20
                if control.ask("DBSIZE") <= args.keys:
                    gone_ms = now_ms - due_ms
            if gone_ms is not None and now_ms > due_ms + gone_ms + 200:
                break
            time.sleep(0.0003)
        figures = own_figures(control)
        time.sleep(args.settle)
        drained = server.resident_settled()
        gone = f"after {gone_ms:.0f} ms" if gone_ms is not None else f"not within {args.wait:g} s"
        label = f"storm {args.keys:>10} {name:10}"
        print(f"{label} all gone {gone}")
        print(f"{label} GET ms, the second before: {percentiles(before)}")
        print(f"{label} GET ms, until all gone:    {percentiles(after)}")
        print(f"{label} resident bytes a key: plain {(plain - empty) / args.keys:.1f}, "
              f"with TTL {(full - plain) / args.keys:.1f}, still there {args.settle:g} s later {(drained - plain) / args.keys:.1f}")
        if figures:
            print(f"{label} from inside: {figures}", flush=True)


def own_figures(control):
    """What AleaDB says of itself; other servers have no such section."""
    text = control.ask("INFO", "all").decode()
    fields = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
    wanted = ("turn_us_max", "expiry_lag_p50_ms", "expiry_lag_p99_ms", "expiry_lag_max_ms", "expiry_turns_over_budget")
    return ", ".join(f"{name} {fields[name]}" for name in wanted) if "expiry_lag_keys" in fields else ""


def arguments():
    parser = argparse.ArgumentParser(prog="expiry-bench.sh", usage="%(prog)s [options]",
                                     description="Measures the punctuality of keys' timers.")
    parser.add_argument("--peer", action="append", required=True, metavar="NAME=COMMAND",
                        help="a server, started in the foreground; {port} is replaced (a release build of this tree, then the "
                             "redis-servers that are found)")
    parser.add_argument("--tests", default="events,storm", help="any of events,storm (%(default)s)")
    parser.add_argument("--populations", default="0,100000,1000000",
                        help="other keys with a TTL beside the probes (%(default)s)")
    parser.add_argument("--probes", type=int, default=1000, help="keys due at one instant (%(default)s)")
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys of the storm (%(default)s)")
    parser.add_argument("--large", action="store_true", help="10M keys: beside the probes, and in the storm")
    parser.add_argument("--settle", type=float, default=12, help="seconds after the storm until memory is looked at (%(default)s)")
    parser.add_argument("--wait", type=float, default=30, help="seconds after which what has not happened counts as never (%(default)s)")
    args = parser.parse_args()
    args.tests, args.populations = args.tests.split(","), [int(count) for count in args.populations.split(",")]
    if not set(args.tests) <= {"events", "storm"} or any("=" not in peer for peer in args.peer):
        parser.error("--tests takes events and storm, --peer takes NAME=COMMAND")
    if args.large:
        args.populations, args.keys = [10_000_000], 10_000_000
    return args


def main():
    args = arguments()
    if (stay := pin(CLIENT_CPU)) is None:
        print("expiry-bench: needs processors 0 and 1 to pin to; running unpinned, so expect noise", file=sys.stderr)
    else:
        stay()
    peers = dict(peer.split("=", 1) for peer in args.peer)
    with open(os.devnull, "w") as raw:
        if "events" in args.tests:
            for population in args.populations:
                for name, command in peers.items():
                    measure_events(name, command, population, args, raw)
        if "storm" in args.tests:
            for name, command in peers.items():
                measure_storm(name, command, args, raw)


if __name__ == "__main__":
    main()

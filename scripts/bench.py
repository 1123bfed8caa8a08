#!/usr/bin/env python3
"""Measures several Redis-compatible servers side by side; called by bench.sh, which finds and builds them.

Method. Every peer runs for itself, pinned to one processor, and redis-benchmark is pinned to another. Rounds are
interleaved (peer A, peer B, peer A, ...), so that what else the machine does hits all alike, and medians are compared.
With pipelines the load generator is the bottleneck, so the number to compare is the server's own processor time per
request, taken from the scheduler's count over all its threads, not requests per second. Absolute numbers say little on a
shared machine; the ratios to the first peer do. Memory is what the kernel says is resident.

At the end it prints the medians as a Markdown table: those in README.md are made by `bench.sh --tests get,set,memory` and
`bench.sh --tests scripts --depths 16`.

Python's standard library only. Raw output and every single number are kept in the output directory.
"""
import argparse
import json
import os
import re
import resource
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import bench_scripts
import churn

SERVER_CPU, CLIENT_CPU = 0, 1
VALUE = "abcdefgh" * 4
# The name under which redis-benchmark's own random keys go, so that reads hit what was filled in.
KEY, RANDOM_KEY = "key:%012d", "key:__rand_int__"
START_DEADLINE_S = 20

# name: the command, as redis-benchmark takes it.
TESTS = {
    "ping": ["PING"],
    "get": ["GET", RANDOM_KEY],
    "set": ["SET", RANDOM_KEY, VALUE],
    "setex": ["SETEX", RANDOM_KEY, "3600", VALUE],
    "incr": ["INCR", "counter:__rand_int__"],
    "lpush": ["LPUSH", "list", VALUE],
    "sadd": ["SADD", "set", "member:__rand_int__"],
    "hset": ["HSET", "hash", "field:__rand_int__", VALUE],
    "zadd": ["ZADD", "zset", "__rand_int__", "member:__rand_int__"],
}
# Commands that run scripts, and how many times fewer requests a run makes.
SCRIPTS = bench_scripts.TESTS
# These are of one run of the server each, not of rounds of requests.
FRESH = ("memory", "idle", "start", "churn")
DEFAULT_TESTS = "ping,get,set,setex,memory,idle,start,churn"


def encode(*args):
    """One command in the wire format."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        arg = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(parts)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pin(cpu):
    """What a child does first to stay on one processor; nothing where there is only one."""
    if {SERVER_CPU, CLIENT_CPU} <= os.sched_getaffinity(0):
        return lambda: os.sched_setaffinity(0, {cpu})
    return None


class Server:
    """One peer, started in a directory of its own and stopped at the end of a `with`."""

    def __init__(self, command, log):
        self.command, self.log = command, log

    def __enter__(self):
        self.port = free_port()
        self.directory = tempfile.mkdtemp(prefix="aleadb-bench-")
        words = [word.format(port=self.port) for word in shlex.split(self.command)]
        self.started = time.monotonic()
        self.process = subprocess.Popen(words, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT, preexec_fn=pin(SERVER_CPU))
        try:
            self.first_pong_ms = self.wait_for_pong()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def wait_for_pong(self):
        """Milliseconds from the start of the process to its first answer."""
        while time.monotonic() < self.started + START_DEADLINE_S:
            if self.process.poll() is not None:
                raise SystemExit(f"bench: '{self.command}' ended with status {self.process.returncode}")
            try:
                with self.connect() as client:
                    client.sendall(encode("PING"))
                    if client.recv(64).startswith(b"+PONG"):
                        return (time.monotonic() - self.started) * 1000
            except OSError:
                pass
            time.sleep(0.0005)
        raise SystemExit(f"bench: '{self.command}' did not answer PING within {START_DEADLINE_S} s")

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), 60)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def product(self):
        """What it is, with the version unless it is AleaDB's."""
        ask = ["redis-cli", "-p", str(self.port), "INFO", "server"]
        info = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
        if "aleadb_version" in facts:
            return "AleaDB"
        # Valkey also reports the version of Redis that it is compatible with.
        of_valkey = facts.get("valkey_version")
        return f"Valkey {of_valkey}" if of_valkey else f"Redis {facts['redis_version']}"

    def cpu_s(self):
        """Seconds on a processor, all threads, user and system."""
        total_ns = 0
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                with open(f"/proc/{self.process.pid}/task/{thread}/schedstat") as stat:
                    total_ns += int(stat.read().split()[0])
            except FileNotFoundError:
                pass  # a helper thread that has just ended
        return total_ns / 1e9

    def resident(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    def resident_settled(self):
        """Resident bytes once they have not moved for half a second (five seconds at most)."""
        deadline, last, since = time.monotonic() + 5, self.resident(), time.monotonic()
        while time.monotonic() < deadline and time.monotonic() < since + 0.5:
            time.sleep(0.02)
            now = self.resident()
            if now != last:
                last, since = now, time.monotonic()
        return last

    def tell(self, lines):
        """Sends commands, and checks that none is answered with an error."""
        ask = ["redis-cli", "-e", "-p", str(self.port)]
        for line in lines:
            subprocess.run([*ask, *line], stdout=self.log, check=True)

    def fill(self, keys, *extra):
        """Sets `keys` keys in order, in pipelines of a thousand, and checks every reply."""
        with self.connect() as client:
            for first in range(0, keys, 1000):
                count = min(1000, keys - first)
                client.sendall(b"".join(encode("SET", KEY % i, VALUE, *extra) for i in range(first, first + count)))
                replies = b""
                while len(replies) < 5 * count:
                    piece = client.recv(65536)
                    if not piece:
                        raise SystemExit(f"bench: '{self.command}' closed the connection during the fill")
                    replies += piece
                if replies != b"+OK\r\n" * count:
                    raise SystemExit(f"bench: '{self.command}' answered SET with {replies[:200]!r}")


def load(server, test, args, depth, raw):
    """One run of redis-benchmark. Returns requests/s, latency percentiles in ms, and the server's CPU per request."""
    words, fewer = SCRIPTS[test] if test in SCRIPTS else (TESTS[test], 1)
    requests = max(args.requests * {1: 1, 16: 4}.get(depth, 8 if depth > 16 else 2) // fewer, args.clients * depth)
    command = ["redis-benchmark", "-p", str(server.port), "-n", str(requests), "-c", str(args.clients), "-P", str(depth),
               "-r", str(args.keys), "--precision", "3", *words]
    before = server.cpu_s()
    run = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin(CLIENT_CPU))
    used = server.cpu_s() - before
    raw.write(f"$ {shlex.join(command)}\n{run.stdout}{run.stderr}\n")
    if run.returncode != 0 or "Error from server" in run.stdout + run.stderr:
        raise SystemExit(f"bench: {shlex.join(command)} failed:\n{(run.stdout + run.stderr)[-2000:]}")
    return {"rps": parse_rate(run.stdout), "cpu_us": used / requests * 1e6,
            **{name: percentile(run.stdout, share) for name, share in (("p50", 50), ("p99", 99), ("p99.9", 99.9))}}


def parse_rate(text):
    found = re.search(r"throughput summary: ([0-9.]+) requests per second", text)
    if not found and "completed in 0.00 seconds" in text:
        raise SystemExit("bench: redis-benchmark was done before its clock had moved on: ask for more --requests")
    if not found:
        raise SystemExit(f"bench: no throughput in redis-benchmark's output:\n{text[-2000:]}")
    return float(found.group(1))


def percentile(text, share):
    """The latency below which `share` percent of requests stayed, from the first finer row of the distribution.

    redis-benchmark prints it at 50, 75, 87.5, ... percent, so for 99 this is the row of 99.219, for 99.9 that of 99.902.
    """
    rows = re.findall(r"^([0-9.]+)% <= ([0-9.]+) milliseconds \(cumulative", text.split("Cumulative")[0], re.M)
    return next((float(ms) for percent, ms in rows if float(percent) >= share), float("nan"))


def measure_load(peers, args, raw, results):
    """All request tests, with every peer running and filled, round by round."""
    tests = [test for test in args.tests if test not in FRESH]
    if not tests:
        return
    servers = {}
    try:
        for name, command in peers.items():
            servers[name] = Server(command, raw).__enter__()
            servers[name].fill(args.keys)
            if any(test in SCRIPTS for test in tests):
                servers[name].tell(bench_scripts.prepare())
        for test in tests:
            for depth in args.depths:
                runs = {name: [] for name in peers}
                for _ in range(args.rounds):
                    for name, server in servers.items():
                        runs[name].append(load(server, test, args, depth, raw))
                label = f"{test} P{depth}"
                results[label] = runs
                report_load(label, runs)
    finally:
        for server in servers.values():
            server.__exit__()


def median(runs, what):
    return statistics.median(run[what] for run in runs)


def report_load(label, runs):
    first = next(iter(runs.values()))
    for name, own in runs.items():
        rate, cpu = median(own, "rps"), median(own, "cpu_us")
        values = [run["cpu_us"] for run in own]
        spread = (max(values) - min(values)) / cpu * 100 if cpu else 0
        print(f"{label:19} {name:10} {rate:10.0f} /s {rate / median(first, 'rps'):5.2f}x   {cpu:7.3f} cpu us/req "
              f"{cpu / (median(first, 'cpu_us') or float('nan')):5.2f}x (spread {spread:2.0f}%)   p50 {median(own, 'p50'):7.3f}  "
              f"p99 {median(own, 'p99'):7.3f}  p99.9 {median(own, 'p99.9'):7.3f} ms", flush=True)


def measure_memory(command, args, raw):
    """Resident bytes a key, without and with a TTL, each in a fresh server."""
    found = {}
    for name, extra in (("plain", ()), ("with TTL", ("EX", "86400"))):
        with Server(command, raw) as server:
            empty = server.resident_settled()
            server.fill(args.keys, *extra)
            found[f"bytes a key, {name}"] = (server.resident_settled() - empty) / args.keys
    found["bytes for the TTL"] = found["bytes a key, with TTL"] - found["bytes a key, plain"]
    return found


def measure_idle(command, args, raw):
    """Resident bytes a connection that has sent one PING and then nothing."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = args.connections if hard == resource.RLIM_INFINITY else min(args.connections, hard - 100)
    clients = []
    with Server(command, raw) as server:
        empty = server.resident_settled()
        try:
            for _ in range(count):
                client = server.connect()
                clients.append(client)
                client.sendall(encode("PING"))
                if not client.recv(64).startswith(b"+PONG"):
                    raise SystemExit(f"bench: '{command}' refused connection {len(clients)} of {count}")
            return {f"bytes an idle connection, of {count}": (server.resident_settled() - empty) / count}
        finally:
            for client in clients:
                client.close()


def measure_start(command, args, raw):
    """Milliseconds from the start of the process to its first PONG: the median of several starts."""
    times = []
    for _ in range(max(5, args.rounds)):
        with Server(command, raw) as server:
            times.append(server.first_pong_ms)
    return {"ms from start to first PONG": statistics.median(times)}


def measure_fresh(peers, args, raw, results):
    for test, measure in (("memory", measure_memory), ("idle", measure_idle), ("start", measure_start)):
        if test not in args.tests:
            continue
        found = {name: measure(command, args, raw) for name, command in peers.items()}
        results[test] = found
        first = next(iter(found.values()))
        for what in first:
            for name, values in found.items():
                ratio = values[what] / first[what] if first[what] else float("nan")
                print(f"{what:36} {name:10} {values[what]:10.1f} {ratio:6.2f}x", flush=True)


def measure_churn(peers, args, raw, results):
    """What is resident of what is used while values come and go: see churn.py."""
    if "churn" in args.tests:
        results["churn"] = churn.measure(peers, args.churn_rounds, lambda command: Server(command, raw), encode)


def markdown(products, results):
    """The medians as a Markdown table, each with its ratio to the first peer's. `products` are the peers' names for people."""
    rows = []
    for label, found in results.items():
        test, _, depth = label.partition(" P")
        if test not in FRESH:
            what = f"{test.upper()}, {'one at a time' if depth == '1' else f'pipelines of {depth}'}"
            if depth == "1":
                rows.append((f"{what}: requests a second", [median(runs, "rps") for runs in found.values()], "{:,.0f}"))
            rows.append((f"{what}: server CPU a request, us", [median(runs, "cpu_us") for runs in found.values()], "{:.2f}"))
        elif test in FRESH and test != "churn":
            for key in next(iter(found.values())):
                rows.append((key, [values[key] for values in found.values()], "{:,.0f}"))
    lines = [f"| | {' | '.join(products)} |", "| --- |" + " --- |" * len(products)]
    for what, values, form in rows:
        first = values[0] or float("nan")
        cells = [form.format(value) + (f" ({value / first:.2f}x)" if index else "") for index, value in enumerate(values)]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def arguments():
    parser = argparse.ArgumentParser(prog="bench.sh", usage="%(prog)s [options]",
                                     description="Measures Redis-compatible servers side by side.")
    parser.add_argument("--peer", action="append", required=True, metavar="NAME=COMMAND",
                        help="a server, started in the foreground; {port} is replaced; the first is what ratios are to (a release "
                             "build of this tree, then the servers that peers.sh finds or brings)")
    parser.add_argument("--rounds", type=int, default=5, help="runs per peer and test (%(default)s)")
    parser.add_argument("--requests", type=int, default=200_000,
                        help="requests a run at depth 1; 4 times as many at 16, 8 times at 64 (%(default)s)")
    parser.add_argument("--tests", default=DEFAULT_TESTS,
                        help=f"any of {','.join([*TESTS, *SCRIPTS, *FRESH])}, or `scripts` for all of those (%(default)s)")
    parser.add_argument("--depths", default="1,16,64", help="pipeline depths (%(default)s)")
    parser.add_argument("--clients", type=int, default=50, help="connections under load (%(default)s)")
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys filled in and hit at random (%(default)s)")
    parser.add_argument("--connections", type=int, default=8000, help="idle connections (%(default)s)")
    parser.add_argument("--churn-rounds", type=int, default=12, help="rounds of load and delete of churn (%(default)s)")
    parser.add_argument("--output", required=True, help="directory for raw output and results.json (target/bench/DATE-TIME)")
    args = parser.parse_args()
    args.tests = [test for name in args.tests.split(",") for test in (SCRIPTS if name == "scripts" else [name])]
    args.depths = [int(depth) for depth in args.depths.split(",")]
    unknown = [test for test in args.tests if test not in {*TESTS, *SCRIPTS, *FRESH}]
    if unknown:
        parser.error(f"no such test: {', '.join(unknown)}")
    if min(args.rounds, args.requests, args.clients, args.keys, args.connections, args.churn_rounds, *args.depths) < 1:
        parser.error("numbers must be at least 1")
    if any("=" not in peer for peer in args.peer):
        parser.error("--peer takes NAME=COMMAND")
    return args


def main():
    args = arguments()
    peers = dict(peer.split("=", 1) for peer in args.peer)
    if pin(SERVER_CPU) is None:
        print("bench: needs processors 0 and 1 to pin to; running unpinned, so expect noise", file=sys.stderr)
    os.makedirs(args.output, exist_ok=True)
    results, products = {}, []
    print(f"ratios are to {next(iter(peers))}; medians of {args.rounds} interleaved rounds; {args.keys} keys")
    with open(os.path.join(args.output, "raw.txt"), "w", buffering=1) as raw:
        try:
            for command in peers.values():
                with Server(command, raw) as server:
                    products.append(server.product())
            measure_load(peers, args, raw, results)
            measure_fresh(peers, args, raw, results)
            measure_churn(peers, args, raw, results)
        finally:
            with open(os.path.join(args.output, "results.json"), "w") as out:
                json.dump({"peers": peers, "arguments": vars(args), "results": results}, out, indent=1)
    print(f"\n{markdown(products, results)}\n\nraw output: {args.output}")


if __name__ == "__main__":
    main()

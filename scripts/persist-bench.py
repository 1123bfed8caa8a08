#!/usr/bin/env python3
"""Measures what keeping data costs; called by persist-bench.sh, which finds and builds the servers. Starting servers, pinning
them and reading their processor time is bench.py's.

everysec  SET in pipelines of 16: the server's processor time a request without a log and with `appendfsync everysec`, and
          the log's bytes for that stream.
always    SET without pipelines, `appendfsync always`: requests a second and latencies.
save      SAVE of a filled server: seconds.
load      The seconds from the start of the process to the first PONG that is no -LOADING: of the dump that SAVE left, and of
          a log of as many SETs, both written by the first peer, so that all load the same files: AleaDB's are of a version
          that each of the others reads, which those of Redis 8 and Valkey 9 are not.
bgsave    A client sends GET every millisecond, another sends SETs of random keys: what the first waits, before BGSAVE and
          while it lasts; the resident bytes that come on top; and of AleaDB the longest turn.

Rounds are interleaved, medians are told. Python's standard library only.
"""
import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bench import CLIENT_CPU, KEY, RANDOM_KEY, VALUE, Server, encode, parse_rate, percentile, pin  # noqa: E402

TESTS = ("everysec", "always", "save", "load", "bgsave")
COMMON = "--port {port} --bind 127.0.0.1 --daemonize no"
LOAD_S_MAX = 300


class Peer:
    def __init__(self, text):
        self.name, _, self.program = text.partition("=")
        if not self.program:
            raise SystemExit("persist-bench: --peer takes name=program")

    def start(self, raw, options, directory=None):
        server = Server(f"{self.program} {COMMON} {options}", raw)
        return Placed(server, directory)


class Placed:
    """A server that may find a directory with files in it; the directory stays."""

    def __init__(self, server, directory):
        self.server, self.directory = server, directory

    def __enter__(self):
        if self.directory:
            self.server.command += f" --dir {self.directory}"
        return self.server.__enter__()

    def __exit__(self, *error):
        # Nothing is to be saved at the end.
        self.server.process.kill()
        self.server.__exit__(*error)


def ask(client, *args):
    client.sendall(encode(*args))
    reply = b""
    while not reply.endswith(b"\r\n"):
        piece = client.recv(65536)
        if not piece:
            raise SystemExit("persist-bench: the server closed the connection")
        reply += piece
    return reply


def info(client, field):
    client.sendall(encode("INFO", "everything"))
    text = b""
    while b"# Keyspace" not in text or not text.endswith(b"\r\n"):
        text += client.recv(65536)
    for line in text.split(b"\r\n"):
        if line.startswith(field.encode() + b":"):
            return line.split(b":", 1)[1].decode()
    return None


def benchmark(server, requests, depth, keys, clients=50):
    command = ["redis-benchmark", "-p", str(server.port), "-n", str(requests), "-c", str(clients), "-P", str(depth), "-r",
               str(keys), "--precision", "3", "SET", RANDOM_KEY, VALUE]
    before = server.cpu_s()
    run = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=pin(CLIENT_CPU))
    used = server.cpu_s() - before
    if "Error from server" in run.stdout + run.stderr:
        raise SystemExit(f"persist-bench: {(run.stdout + run.stderr)[-1000:]}")
    return {"cpu_us": used / requests * 1e6, "rps": parse_rate(run.stdout), "p50": percentile(run.stdout, 50),
            "p99": percentile(run.stdout, 99)}


def log_bytes(directory):
    top = os.path.join(directory, "appendonlydir")
    return sum(os.path.getsize(os.path.join(top, name)) for name in os.listdir(top) if ".incr." in name)


def measure_everysec(peers, args, raw):
    rows = {peer.name: {"off": [], "on": [], "bytes": []} for peer in peers}
    for _ in range(args.rounds):
        for peer in peers:
            with peer.start(raw, "--save '' --appendonly no") as server:
                rows[peer.name]["off"].append(benchmark(server, args.requests * 4, 16, args.keys)["cpu_us"])
            options = "--save '' --appendonly yes --appendfsync everysec --auto-aof-rewrite-percentage 0"
            with peer.start(raw, options) as server:
                rows[peer.name]["on"].append(benchmark(server, args.requests * 4, 16, args.keys)["cpu_us"])
                rows[peer.name]["bytes"].append(log_bytes(server.directory) / (args.requests * 4))
    for name, row in rows.items():
        off, on = statistics.median(row["off"]), statistics.median(row["on"])
        print(f"everysec  {name:10} SET p16 {off:.3f} us without a log, {on:.3f} us with ({on / off:.2f}x), "
              f"{statistics.median(row['bytes']):.1f} bytes of log a request")


def measure_always(peers, args, raw):
    rows = {peer.name: [] for peer in peers}
    for _ in range(args.rounds):
        for peer in peers:
            with peer.start(raw, "--save '' --appendonly yes --appendfsync always") as server:
                rows[peer.name].append(benchmark(server, args.requests // 4, 1, args.keys))
    first = None
    for name, row in rows.items():
        middle = {what: statistics.median(run[what] for run in row) for what in row[0]}
        first = first or middle["rps"]
        print(f"always    {name:10} SET p1 {middle['rps']:.0f} requests a second ({middle['rps'] / first:.2f}x), p50 "
              f"{middle['p50']:.3f} ms, p99 {middle['p99']:.3f} ms")


def measure_save(peers, args, raw):
    for peer in peers:
        with peer.start(raw, "--save '' --appendonly no") as server:
            server.fill(args.keys)
            with server.connect() as client:
                client.settimeout(LOAD_S_MAX)
                took = []
                for _ in range(args.rounds):
                    before = time.monotonic()
                    if ask(client, "SAVE") != b"+OK\r\n":
                        raise SystemExit(f"persist-bench: {peer.name} does not save")
                    took.append(time.monotonic() - before)
            size = os.path.getsize(os.path.join(server.directory, "dump.rdb"))
        print(f"save      {peer.name:10} {args.keys} keys: {statistics.median(took):.3f} s, {size / args.keys:.1f} bytes a key")


def make_files(peer, args, raw, top):
    """A directory with a dump and one with a log of the same keys, written by the peer."""
    places = {"dump": os.path.join(top, "dump"), "log": os.path.join(top, "log")}
    for what, place in places.items():
        os.mkdir(place)
        options = "--save '' --appendonly " + ("no" if what == "dump" else "yes --auto-aof-rewrite-percentage 0")
        with peer.start(raw, options, place) as server:
            server.fill(args.keys)
            with server.connect() as client:
                client.settimeout(LOAD_S_MAX)
                if what == "dump":
                    ask(client, "SAVE")
                else:
                    ask(client, "CONFIG", "SET", "appendfsync", "always")
                    ask(client, "SET", "last", "1")
    return places


def measure_load(peers, args, raw):
    author = peers[0]
    top = tempfile.mkdtemp(prefix="aleadb-bench-")
    try:
        places = make_files(author, args, raw, top)
        for what, place in places.items():
            rows = {peer.name: [] for peer in peers}
            for _ in range(args.rounds):
                for peer in peers:
                    copy = os.path.join(top, "copy")
                    shutil.copytree(place, copy)
                    appendonly = "yes" if what == "log" else "no"
                    started = time.monotonic()
                    with peer.start(raw, f"--save '' --appendonly {appendonly}", copy) as server:
                        with server.connect() as client:
                            client.settimeout(LOAD_S_MAX)
                            while not ask(client, "PING").startswith(b"+PONG"):
                                time.sleep(0.001)
                            rows[peer.name].append(time.monotonic() - started)
                            keys = ask(client, "DBSIZE")
                            if int(keys[1:-2]) < args.keys:
                                raise SystemExit(f"persist-bench: {peer.name} has loaded {keys!r}")
                    shutil.rmtree(copy)
            for name, row in rows.items():
                print(f"load      {name:10} {what} of {args.keys} keys, written by {author.name}: {statistics.median(row):.3f} s")
    finally:
        shutil.rmtree(top, ignore_errors=True)


class Reader(threading.Thread):
    """Sends GET every millisecond and notes what each waited, in milliseconds."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.client, self.waits, self.over = server.connect(), [], False
        self.start()

    def run(self):
        os.sched_setaffinity(0, {CLIENT_CPU})
        while not self.over:
            before = time.perf_counter()
            ask(self.client, "GET", KEY % 1)
            self.waits.append((time.perf_counter() - before) * 1000)
            time.sleep(0.001)

    def take(self):
        taken, self.waits = sorted(self.waits), []
        return taken


def share(waits, part):
    return waits[min(len(waits) - 1, int(len(waits) * part))] if waits else float("nan")


def measure_bgsave(peers, args, raw):
    for peer in peers:
        with peer.start(raw, "--save '' --appendonly no") as server:
            server.fill(args.keys)
            if args.threads_cpu is not None:
                place_threads(server, args.threads_cpu)
            command = ["redis-benchmark", "-p", str(server.port), "-n", "1000000000", "-c", "8", "-r", str(args.keys), "SET",
                       RANDOM_KEY, VALUE]
            writer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pin(CLIENT_CPU))
            try:
                reader, client = Reader(server), server.connect()
                time.sleep(3)
                quiet, resident = reader.take(), server.resident_settled()
                ask(client, "CONFIG", "RESETSTAT")
                started, peak = time.monotonic(), resident
                ask(client, "BGSAVE")
                while info(client, "rdb_bgsave_in_progress") != "0":
                    peak = max(peak, server.resident() + children(server))
                    time.sleep(0.02)
                took, during = time.monotonic() - started, reader.take()
                turn = info(client, "turn_us_max")
                reader.over = True
            finally:
                writer.kill()
                writer.wait()
        turn = f", longest turn {int(turn) / 1000:.2f} ms" if turn else ""
        print(f"bgsave    {peer.name:10} {args.keys} keys in {took:.1f} s: GET p99.9 {share(quiet, 0.999):.2f} ms before, "
              f"{share(during, 0.999):.2f} during, longest {during[-1] if during else 0:.2f}; "
              f"{(peak - resident) / 1048576:.0f} MiB on top{turn}")


def place_threads(server, cpu):
    """Moves all threads but the first to a processor of their own. They start with the first work there is for them."""
    client = server.connect()
    ask(client, "BGSAVE")
    while info(client, "rdb_bgsave_in_progress") != "0":
        time.sleep(0.02)
    for thread in os.listdir(f"/proc/{server.process.pid}/task"):
        if int(thread) != server.process.pid:
            os.sched_setaffinity(int(thread), {cpu})


def children(server):
    """Bytes that children of the server have for themselves: a fork's copies."""
    total = 0
    for pid in open(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read().split():
        try:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Private_"))
        except OSError:
            pass  # it has just ended
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], help="name=program; the first is what ratios are to")
    parser.add_argument("--tests", default=",".join(TESTS), help=f"of {','.join(TESTS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--threads-cpu", type=int, help="bgsave: the processor for the servers' threads beside the first")
    parser.add_argument("--raw", default=os.devnull, help="where what the servers print goes")
    args = parser.parse_args()
    unknown = set(args.tests.split(",")) - set(TESTS)
    if unknown:
        raise SystemExit(f"persist-bench: no such test: {', '.join(sorted(unknown))}")
    peers = [Peer(text) for text in args.peer]
    measures = {"everysec": measure_everysec, "always": measure_always, "save": measure_save, "load": measure_load,
                "bgsave": measure_bgsave}
    with open(args.raw, "w") as raw:
        for test in TESTS:
            if test in args.tests.split(","):
                measures[test](peers, args, raw)
                sys.stdout.flush()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures what live queries cost and how soon they tell; called by watch-bench.sh.

Each server is pinned to one processor, this script to another:

presence  Two servers side by side, one of which has many watches of keys that nobody touches. What does a SET cost each, and
          how many bytes does a watch take?
fanout    One key with many watchers, each a connection of its own, is changed. What does that cost the server for each frame,
          beside a program that does nothing but write the same bytes to as many sockets?
latency   From the write of a SET to the frame at its watcher: with many watchers of a key each, and with as many of one key,
          where the last of them counts.

Latencies include this script and the kernel. Python's standard library only; the method of starting servers is bench.py's.
"""
import argparse
import os
import resource
import select
import socket
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bench import CLIENT_CPU, SERVER_CPU, VALUE, Server, encode, pin  # noqa: E402

BATCH = 500
# What redis-benchmark overwrites before it counts.
RANDOM_KEYS = 1_000_000


def read_exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise SystemExit("watch-bench: the server closed the connection")
        data += piece
    return data


def first_answer(connection):
    """Reads the answer to GET.WATCH of a key that is missing: three bulk strings, the last of them null."""
    data = b""
    while not data.endswith(b"$-1\r\n"):
        data += connection.recv(4096)
    return data


def sets(server, count, depth):
    """Microseconds of the server's time for each SET of a random key."""
    words = ["redis-benchmark", "-p", str(server.port), "-t", "set", "-n", str(count), "-c", "50", "-P", str(depth),
             "-r", str(RANDOM_KEYS), "-d", str(len(VALUE)), "-q"]
    before = server.cpu_s()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True, preexec_fn=pin(CLIENT_CPU))
    return (server.cpu_s() - before) / count * 1e6


def measure_presence(command, args, log):
    limits = f" --watch-max-per-client {args.watches} --watch-max-total {args.watches}"
    with Server(command + limits, log) as bare, Server(command + limits, log) as watched:
        for server in (bare, watched):
            sets(server, 2 * RANDOM_KEYS, 64)
        before = watched.resident_settled()
        with watched.connect() as watcher:
            for first in range(0, args.watches, BATCH):
                batch = range(first, min(first + BATCH, args.watches))
                watcher.sendall(b"".join(encode("GET.WATCH", "watched:%09d" % i) for i in batch))
                answers = b""
                while answers.count(b"$-1\r\n") < len(batch):
                    answers += watcher.recv(1 << 16)
            bytes_each = (watched.resident_settled() - before) / args.watches
            for depth in (16, 1):
                pairs = [(sets(bare, args.requests, depth), sets(watched, args.requests, depth)) for _ in range(args.rounds)]
                without, present = (statistics.median(side) for side in zip(*pairs))
                ratio = statistics.median(b / a for a, b in pairs)
                print(f"presence   SET, pipeline {depth:2}: {without:.3f} us, with {args.watches:,} watches {present:.3f} us, "
                      f"ratio {ratio:.3f}", flush=True)
            print(f"presence   {bytes_each:.0f} resident bytes a watch", flush=True)


class Readers:
    """Connections that are sent frames."""

    def __init__(self, connections):
        self.connections = {connection.fileno(): connection for connection in connections}
        self.poll = select.epoll()
        for connection in connections:
            connection.setblocking(False)
            self.poll.register(connection.fileno(), select.EPOLLIN)

    def drain(self, size):
        """Reads a frame of so many bytes from each."""
        left = dict.fromkeys(self.connections, size)
        while left:
            for fd, _ in self.poll.poll():
                count = len(self.connections[fd].recv(size))
                if count == 0:
                    raise SystemExit("watch-bench: the server closed a watcher's connection")
                left[fd] -= count
                if left[fd] == 0:
                    del left[fd]

    def close(self):
        self.poll.close()
        for connection in self.connections.values():
            connection.close()


def schedstat_s(pid):
    with open(f"/proc/{pid}/schedstat") as stat:
        return int(stat.read().split()[0]) / 1e9


def write_barely(count, frame, ready):
    """The other program: accepts connections and writes a frame to each of them when told to. Answers with the nanoseconds
    that its loop costs without the writing."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    ready.sendall(struct.pack("!H", listener.getsockname()[1]))
    control = listener.accept()[0]
    receivers = []
    for _ in range(count):
        receiver = listener.accept()[0]
        receiver.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        receivers.append(receiver)
    sends = [receiver.send for receiver in receivers]
    started = time.process_time_ns()
    for send in sends:
        len(frame)
    loop_ns = time.process_time_ns() - started
    while control.recv(1):
        for send in sends:
            send(frame)
        control.sendall(struct.pack("!Q", loop_ns))


def fan_out_barely(args, frame):
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        if (stay := pin(SERVER_CPU)) is not None:
            stay()
        write_barely(args.watchers, frame, theirs)
        os._exit(0)
    port = struct.unpack("!H", read_exactly(ours, 2))[0]
    control = socket.create_connection(("127.0.0.1", port))
    readers = Readers([socket.create_connection(("127.0.0.1", port)) for _ in range(args.watchers)])
    costs = []
    for _ in range(args.changes):
        before = schedstat_s(pid)
        control.sendall(b"x")
        loop_ns = struct.unpack("!Q", read_exactly(control, 8))[0]
        costs.append((schedstat_s(pid) - before - loop_ns / 1e9) / args.watchers * 1e6)
        readers.drain(len(frame))
    control.close()
    readers.close()
    os.waitpid(pid, 0)
    return statistics.median(costs)


def measure_fanout(command, args, log):
    with Server(command + f" --maxclients {args.watchers + 100}", log) as server, server.connect() as writer:
        connections = [server.connect() for _ in range(args.watchers)]
        for connection in connections:
            connection.sendall(encode("GET.WATCH", "k"))
            head = first_answer(connection)[:-5]
        frame = head + b"$%d\r\n%s\r\n" % (len(VALUE), VALUE.encode())
        readers, costs, bare = Readers(connections), [], []
        for _ in range(args.changes):
            before = server.cpu_s()
            writer.sendall(encode("SET", "k", VALUE))
            read_exactly(writer, 5)
            readers.drain(len(frame))
            costs.append((server.cpu_s() - before) / args.watchers * 1e6)
        readers.close()
    bare = fan_out_barely(args, frame)
    cost = statistics.median(costs)
    print(f"fanout     {args.watchers:,} watchers of one key: {cost:.3f} us a frame, bare writing {bare:.3f} us, "
          f"ratio {cost / bare:.2f}", flush=True)


def percentiles(values):
    ordered = sorted(values)
    at = (("p50", 0.5), ("p99", 0.99), ("max", 1))
    return "  ".join(f"{name} {ordered[min(len(ordered) - 1, int(len(ordered) * share))]:.3f}" for name, share in at)


def measure_latency(command, args, log):
    for shared in (False, True):
        with Server(command, log) as server, server.connect() as writer:
            connections = [server.connect() for _ in range(args.readers)]
            for number, connection in enumerate(connections):
                connection.sendall(encode("GET.WATCH", "k" if shared else f"k{number}"))
                head = first_answer(connection)[:-5]
            size = len(head) + len(VALUE) + 7
            delays = []
            readers = Readers(connections) if shared else None
            for round in range(args.changes if shared else 10 * args.changes):
                started = time.perf_counter_ns()
                if shared:
                    writer.sendall(encode("SET", "k", VALUE))
                    readers.drain(size)
                else:
                    number = round * 7919 % args.readers
                    writer.sendall(encode("SET", f"k{number}", VALUE))
                    connections[number].recv(size + 20)
                delays.append((time.perf_counter_ns() - started) / 1e6)
                read_exactly(writer, 5)
            what = "of one key, the last of them" if shared else "of a key each"
            print(f"latency    {args.readers:,} watchers {what}, ms: {percentiles(delays)}", flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="watch-bench.sh", usage="%(prog)s [options]",
                                     description="Measures what live queries cost and how soon they tell.")
    parser.add_argument("--server", required=True,
                        help="the server's command line; {port} stands for its port (a release build of this tree)")
    parser.add_argument("--tests", default="presence,fanout,latency", help="any of %(default)s (all)")
    parser.add_argument("--watches", type=int, default=1_000_000, help="watches that are present and concern no SET (%(default)s)")
    parser.add_argument("--watchers", type=int, default=10_000, help="watchers of the key that is changed (%(default)s)")
    parser.add_argument("--readers", type=int, default=1_000, help="watchers whose frames are timed (%(default)s)")
    parser.add_argument("--requests", type=int, default=1_000_000, help="SETs of one measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of presence and of its absence (%(default)s)")
    parser.add_argument("--changes", type=int, default=100, help="changes that are pushed (%(default)s)")
    args = parser.parse_args()
    if not set(args.tests.split(",")) <= {"presence", "fanout", "latency"}:
        parser.error("--tests takes presence, fanout and latency")
    return args


def main():
    args = arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < args.watchers + 1000:
        raise SystemExit(f"watch-bench: {args.watchers} watchers need as many open files; the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if (stay := pin(CLIENT_CPU)) is None:
        print("watch-bench: needs processors 0 and 1 to pin to; running unpinned, so expect noise", file=sys.stderr)
    else:
        stay()
    tests = {"presence": measure_presence, "fanout": measure_fanout, "latency": measure_latency}
    with open(os.devnull, "w") as log:
        for name in args.tests.split(","):
            tests[name](args.server, args, log)


if __name__ == "__main__":
    main()

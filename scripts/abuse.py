#!/usr/bin/env python3
"""Replays attacks on AleaDB and redis-server side by side; called by abuse.sh. The attacks are the lines of attacks.py.

Every line meets a fresh server, pinned to one processor, with this script on another. Of each it is told:

stall    The longest time that somebody else waits: a process of its own, with a connection of its own, sends PING and GET in turn
         every millisecond from the beginning of the attack to its end. What the kernel says the server and that process
         spent in the queue for a processor does not count, nor does the longest wait at an idle server, which is
         measured first.
memory   What was resident at the peak, above what was resident at the start.
outcome  What became of the attackers and of the elements at stake.

Exit status 1 means that AleaDB failed a line: it ended, lost an element, did not do what it must (and redis-server does), stalled
others for more than 100 ms and more than 1.3 times what redis-server does, or took more than 50 MB and more than 1.3 times as
much memory. A stall that fails by little is measured twice, and the shorter one counts.

Only loopback addresses are used; every line has a deadline and every server a limit of memory. Python's standard library only;
the method of starting servers is bench.py's.
"""
import argparse
import json
import os
import resource
import select
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attacks import LINES, Client, Gone, Refused, encode  # noqa: E402
from bench import CLIENT_CPU, Server, pin  # noqa: E402

STALL_MS_MAX, MEMORY_MB_MAX, RATIO_MAX = 100, 50, 1.3
# A stall beyond so many times what is allowed is not measured again.
AGAIN_MAX = 3
# Bytes of addresses that a server may use: what a fault would take must not take the machine down.
ADDRESS_BYTES_MAX = 6 << 30
NOISE_S = 1
OPTIONS = {"aleadb": " --save ''", "redis": " --save '' --appendonly no --daemonize no"}


class Overdue(Exception):
    """The line's deadline has passed."""


class Probe:
    """The process that feels the stalls."""

    def __init__(self, server):
        self.ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.ours.close()
            try:
                feel(server.port, server.process.pid, theirs)
            except (OSError, KeyboardInterrupt):
                pass  # the server or the script has gone
            os._exit(0)
        theirs.close()
        # Once it is connected: lines count the server's clients.
        if self.ours.recv(1) != b"c":
            raise SystemExit("abuse: the probe got no answer")

    def restart(self):
        """Forgets what was felt so far."""
        self.ours.sendall(b"r")

    def finish(self):
        """The longest wait in milliseconds, one that still lasts included."""
        self.ours.settimeout(5)
        try:
            self.ours.sendall(b"s")
        except OSError:
            pass  # the server has ended, and the probe after it, with what it measured
        try:
            stall_ms = json.loads(self.ours.recv(100))
        except (OSError, ValueError):
            stall_ms = None
        self.ours.close()
        os.waitpid(self.pid, 0)
        return stall_ms


def feel(port, server_pid, orders):
    """Measures in the probe's process until ordered to stop; answers with the longest wait in milliseconds."""
    try:
        # Its own time in the queue may pass while the server works, and would be subtracted all the same.
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except PermissionError:
        pass  # for the superuser only; a busy machine then hides a part of the stalls
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    queues = [open(f"/proc/{pid}/schedstat") for pid in (server_pid, os.getpid())]
    connection.sendall(encode("PING"))
    connection.recv(100)
    orders.sendall(b"c")
    longest_ns, turn = 0, 0
    while True:
        queued_ns, started = queued(queues), time.perf_counter_ns()
        connection.sendall((encode("PING"), encode("GET", "probe"))[turn % 2])
        turn += 1
        ready, _, _ = select.select([connection, orders], [], [])
        order, replied = b"", connection in ready
        if not replied:
            order = orders.recv(1)
            if order == b"r":
                replied = connection in select.select([connection], [], [])[0]
        alive = replied and connection.recv(100)
        took_ns = time.perf_counter_ns() - started
        # Files are read a second time only if it matters.
        if took_ns > longest_ns:
            longest_ns = max(longest_ns, took_ns - (queued(queues) - queued_ns))
        if not order and select.select([orders], [], [], 0.001)[0]:
            order = orders.recv(1)
        if order == b"r":
            longest_ns = 0
        elif order or not alive:
            orders.sendall(json.dumps(longest_ns / 1e6).encode())
            return


def queued(files):
    """Nanoseconds that processes were ready to run but did not."""
    total_ns = 0
    for file in files:
        try:
            file.seek(0)
            total_ns += int(file.read().split()[1])
        except ProcessLookupError:
            pass  # the server has ended, which others notice
    return total_ns


class Run:
    """One line on one server, as the line sees it."""

    def __init__(self, name, server, probe, smoke):
        self.name, self.server, self.probe, self.smoke = name, server, probe, smoke
        self.control = Client(server)
        self.kept, self.lost, self.faults = [], 0, []
        self.others = self.clients()

    def size(self, full, smoke):
        return smoke if self.smoke else full

    def connect(self):
        """A client whose connection is kept until the end unless the line closes it. It has been served once: before that the
        server may not know of it, and would not count it."""
        client = Client(self.server)
        self.kept.append(client)
        client.ask("PING")
        return client

    def begin(self):
        """What went before was preparation: nobody's wait counted."""
        self.control.ask("PING")
        self.probe.restart()

    def clients(self):
        return int(self.information("clients")["connected_clients"])

    def attackers(self):
        """How many of the line's clients the server still has."""
        return self.clients() - self.others

    def information(self, section):
        text = self.control.ask("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    def until(self, condition, seconds):
        """Whether it comes true in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def fault(self, text):
        """Something did not happen that must."""
        self.faults.append(text)

    def memory(self, field):
        """`VmRSS` or `VmHWM` in bytes; `None` once the server has ended."""
        return status_bytes(self.server.process.pid, field)


def status_bytes(pid, field):
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) * 1024 for line in status if line.startswith(field + ":")), None)
    except FileNotFoundError:
        return None


class Result:
    """What a line gave on one server."""

    def __init__(self, outcome, stall_ms=None, memory_mb=None, lost=0, faults=(), ended=False, seconds=0.0):
        self.outcome, self.stall_ms, self.memory_mb = outcome, stall_ms, memory_mb
        self.lost, self.faults, self.ended, self.seconds = lost, list(faults), ended, seconds

    def report(self, line, name):
        shown = "".join(f"{'-' if value is None else format(value, '.1f'):>10}" for value in (self.stall_ms, self.memory_mb))
        details = "; ".join([self.outcome, *self.faults])
        print(f"{line.name:32} {name:7}{shown}{self.seconds:7.1f}  {details}", flush=True)


def overdue(*_):
    raise Overdue


def play(line, name, command, args, noise_ms, log):
    """Runs a line on a server of its own."""
    started = time.monotonic()
    if line.starts:
        result = line.play(command, args.smoke)
        return Result(*result, seconds=time.monotonic() - started)
    with Server(command + line.options, log) as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_AS, (ADDRESS_BYTES_MAX, ADDRESS_BYTES_MAX))
        # A line that outgrows its caches on purpose is not to be blamed for what the server touches at its start.
        idle = status_bytes(server.process.pid, "VmRSS")
        probe = Probe(server)
        run = Run(name, server, probe, args.smoke)
        signal.alarm(args.deadline)
        try:
            outcome = line.play(run)
            # What the attackers' going costs is part of it.
            for client in run.kept:
                client.close()
            run.until(lambda: run.attackers() <= 0, 5)
            run.control.ask("PING")
        except Overdue:
            outcome = "overdue"
            run.fault(f"not done after {args.deadline} s")
        except Gone:
            outcome = "connection lost"
        except (Refused, OSError) as error:
            outcome = "failed"
            run.fault(f"unexpected: {error}")
        finally:
            signal.alarm(0)
        stall_ms, peak = probe.finish(), run.memory("VmHWM")
        # A server that is about to die of a signal may still be writing its last words.
        ended = outcome == "connection lost" and run.until(lambda: server.process.poll() is not None, 5)
        if ended or server.process.poll() is not None:
            ended, outcome, peak = True, f"crashed with status {server.process.returncode}", None
        for client in run.kept + [run.control]:
            client.close()
        if ended or outcome == "overdue":
            server.process.kill()
        return Result(outcome, None if stall_ms is None else max(0.0, stall_ms - noise_ms),
                      None if peak is None else (peak - idle) / 1e6, run.lost, run.faults, ended, time.monotonic() - started)


def failures(ours, theirs, args):
    """Why a line counts as failed, if it does."""
    reasons = list(ours.faults) if theirs is None or not theirs.faults else []
    if ours.ended:
        reasons.append(ours.outcome)
    if ours.lost:
        reasons.append(f"{ours.lost} elements lost")
    # Small sizes and builds that are not optimised say nothing of these.
    if not args.smoke and theirs is not None:
        reasons += [reason for reason in (too_long(ours, theirs), too_much(ours, theirs)) if reason]
    return reasons


def too_long(ours, theirs):
    if ours.stall_ms is not None and theirs.stall_ms is not None:
        if ours.stall_ms > max(STALL_MS_MAX, RATIO_MAX * theirs.stall_ms):
            return f"stalls {ours.stall_ms:.0f} ms, redis-server {theirs.stall_ms:.0f}"
    return None


def too_much(ours, theirs):
    if ours.memory_mb is not None and theirs.memory_mb is not None:
        if ours.memory_mb > max(MEMORY_MB_MAX, RATIO_MAX * theirs.memory_mb):
            return f"takes {ours.memory_mb:.0f} MB, redis-server {theirs.memory_mb:.0f}"
    return None


def measure(line, peers, args, noise, log):
    """Plays a line on every peer; the reasons for which it fails."""
    results = {}
    for name, command in peers.items():
        if line.only in (None, name):
            results[name] = play(line, name, command, args, noise[name], log)
            results[name].report(line, name)
    ours, theirs = results.get("aleadb"), results.get("redis")
        # Other work on the machine may double a stall, but not make ten of one.
    if (ours is not None and theirs is not None and not args.smoke and not ours.ended and too_long(ours, theirs)
            and ours.stall_ms < AGAIN_MAX * max(STALL_MS_MAX, RATIO_MAX * theirs.stall_ms)):
        again = play(line, "aleadb", peers["aleadb"], args, noise["aleadb"], log)
        again.report(line, "again")
        if again.stall_ms is not None and not again.ended:
            ours.stall_ms = min(ours.stall_ms, again.stall_ms)
    return failures(ours, theirs, args) if ours is not None else []


def measure_noise(peers, args, log):
    """The longest wait of all at idle servers, in milliseconds."""
    noise = {}
    for name, command in peers.items():
        with Server(command, log) as server:
            probe = Probe(server)
            time.sleep(0.1 if args.smoke else NOISE_S)
            noise[name] = probe.finish() or 0.0
    return noise


def chosen(words):
    """The lines whose group or whole name was given; all if none was."""
    lines = [line for line in LINES if not words or any(line.name == word or line.group == word for word in words)]
    known = {line.group for line in LINES} | {line.name for line in LINES}
    if unknown := [word for word in words if word not in known]:
        raise SystemExit(f"abuse: no such line: {', '.join(unknown)}; --list shows them")
    return lines


def arguments():
    parser = argparse.ArgumentParser(prog="abuse.sh", description="Replays attacks on AleaDB and redis-server side by side.")
    parser.add_argument("lines", nargs="*", metavar="LINE", help="lines or groups of lines (all)")
    parser.add_argument("--list", action="store_true", help="print the lines, and what each does")
    parser.add_argument("--server", metavar="PATH", help="AleaDB's program (a release build of this tree)")
    parser.add_argument("--redis", metavar="PATH", default="", help="redis-server's program (as peers.sh finds it)")
    parser.add_argument("--no-redis", dest="redis", action="store_const", const="",
                        help="AleaDB alone: neither stalls nor memory are judged")
    parser.add_argument("--smoke", action="store_true", help="small sizes, a few seconds: only crashes, losses and faults are judged")
    parser.add_argument("--deadline", type=int, default=60, help="seconds after which a line is given up (%(default)s)")
    args = parser.parse_args()
    if not args.list and not args.server:
        parser.error("--server is needed; abuse.sh builds one")
    return args


def main():
    args = arguments()
    lines = chosen(args.lines)
    if args.list:
        for line in lines:
            print(f"{line.name:32} {line.what}")
        return 0
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if (stay := pin(CLIENT_CPU)) is None:
        print("abuse: needs processors 0 and 1 to pin to; running unpinned, so expect noise", file=sys.stderr)
    else:
        stay()
    signal.signal(signal.SIGALRM, overdue)
    # Servers run in directories of their own.
    paths = {"aleadb": os.path.abspath(args.server), "redis": args.redis and os.path.abspath(args.redis)}
    peers = {name: f"{path} --port {{port}} --bind 127.0.0.1{OPTIONS[name]}" for name, path in paths.items() if path}
    failed = {}
    with open(os.devnull, "w") as log:
        noise = measure_noise(peers, args, log)
        print("subtracted as noise: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in noise.items()))
        print(f"{'line':32} {'server':7}{'stall ms':>10}{'memory MB':>10}{'s':>7}  outcome", flush=True)
        for line in lines:
            if reasons := measure(line, peers, args, noise, log):
                failed[line.name] = reasons
    for name, reasons in failed.items():
        print(f"FAILED {name}: {'; '.join(reasons)}")
    print(f"{len(lines) - len(failed)} of {len(lines)} lines passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

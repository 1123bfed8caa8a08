#!/usr/bin/env python3
"""Kills a server under load and checks what it comes back with; called by crash-test.sh.

Several writers, each with keys of its own and a connection of its own, send commands one after another and note what was
acknowledged: a counter that grows by one, a list that gets the next number, a hash, a sorted set, a stream, keys with a
deadline that are read back, transactions that change two keys together. A reader notes what it was shown of all counters. At a
random moment the server is killed with SIGKILL and started again on its directory. Then of every writer:

- what was acknowledged is there, and at most one command more, the one that was under way;
- what belongs together (both keys of a transaction, the list and its length) is there together or not at all;
- what a reader was shown is there.

Under `appendfsync always` every one of these must hold. A kill of the process alone does not take from the system what was
written, so they hold under `everysec` too, which `--fsync everysec` checks; what a power cut leaves is the business of the
simulated disk in tests/sim. From time to time the log is rewritten or a snapshot saved, so that kills meet those as well.

Exit status 1 means that something was lost, or that a server did not start. The directory is kept then, and named.
"""
import argparse
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

WRITERS = 8
# Seconds a server may take until it answers.
START_S_MAX = 60
ROUND_S = (0.05, 0.6)
# Elements of a list or stream after which it begins anew.
ELEMENTS_MAX = 500


class Gone(Exception):
    """The server has gone."""


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")

    def send(self, *commands):
        data = b""
        for command in commands:
            words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
            data += b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Gone from error

    def reply(self):
        try:
            line = self.stream.readline()
            if not line.endswith(b"\r\n"):
                raise Gone
            kind, text = line[:1], line[1:-2]
            if kind == b"*":
                return None if text == b"-1" else [self.reply() for _ in range(int(text))]
            if kind == b"$":
                if text == b"-1":
                    return None
                body = self.stream.read(int(text) + 2)
                if len(body) != int(text) + 2:
                    raise Gone
                return body[:-2]
            if kind == b":":
                return int(text)
            if kind == b"-":
                return RuntimeError(text.decode())
            return text
        except OSError as error:
            raise Gone from error

    def ask(self, *command):
        self.send(command)
        return self.reply()

    def close(self):
        self.socket.close()


class Writer:
    """One client's keys, what was acknowledged of them, and what may be there besides."""

    def __init__(self, number):
        self.name = f"w{number}"
        self.random = random.Random(number)
        self.count = 0
        self.begun = 0
        self.pending = None

    def key(self, kind):
        return f"{self.name}:{kind}"

    def step(self, connection):
        """The next number is written into every kind of key in one transaction, or into the counter alone."""
        number = self.count + 1
        together = self.random.random() < 0.5
        if together:
            commands = [["MULTI"], ["SET", self.key("count"), number], ["RPUSH", self.key("list"), number]]
            if number - self.begun > ELEMENTS_MAX:
                commands[2:2] = [["UNLINK", self.key("list"), self.key("stream")]]
            commands += [
                ["HSET", self.key("hash"), "last", number, f"field{number % 50}", "x" * self.random.randrange(100)],
                ["ZADD", self.key("zset"), number, "member"],
                ["XADD", self.key("stream"), f"{number}-1", "number", number],
                ["SET", self.key("timed"), number, "PX", 3_600_000 + number],
                ["EXEC"],
            ]
        else:
            commands = [["SET", self.key("count"), number]]
        self.pending = (number, together)
        connection.send(*commands)
        replies = [connection.reply() for _ in commands]
        answer = replies[-1]
        wrong = [reply for reply in replies if isinstance(reply, Exception)]
        if wrong or answer is None:
            raise AssertionError(f"{self.name}: {wrong or answer} to {commands}")
        if len(commands) > 2 and commands[2][0] == "UNLINK":
            self.begun = number
        self.count, self.pending = number, None
        self.last_together = number if together else getattr(self, "last_together", 0)

    def check(self, connection):
        """What the server that came back says; faults as texts."""
        count = int(connection.ask("GET", self.key("count")) or 0)
        may_be = self.count + (1 if self.pending else 0)
        faults = []
        if not self.count <= count <= may_be:
            faults.append(f"{self.name}: acknowledged up to {self.count}, {count} is there")
        last = getattr(self, "last_together", 0)
        if self.pending and self.pending[1] and count == self.pending[0]:
            last = count
        seen = {
            "list": connection.ask("LINDEX", self.key("list"), -1),
            "hash": connection.ask("HGET", self.key("hash"), "last"),
            "zset": connection.ask("ZSCORE", self.key("zset"), "member"),
            "timed": connection.ask("GET", self.key("timed")),
        }
        newest = connection.ask("XREVRANGE", self.key("stream"), "+", "-", "COUNT", 1)
        seen["stream"] = newest[0][1][1] if newest else None
        for kind, value in seen.items():
            if int(value or 0) != last:
                faults.append(f"{self.name}: its {kind} should hold {last} and holds {value}")
        if last and not connection.ask("PTTL", self.key("timed")) > 0:
            faults.append(f"{self.name}: a deadline is gone")
        # Go on from what is there.
        self.count, self.pending, self.last_together = count, None, last
        return faults


class Run:
    def __init__(self, options):
        self.options = options
        self.dir = tempfile.mkdtemp(prefix="aleadb-crash-")
        self.random = random.Random(options.seed)
        self.writers = [Writer(number) for number in range(WRITERS)]
        self.shown = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = None
        self.acknowledged = 0

    def start(self):
        command = shlex.split(self.options.server) + [
            "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir, "--appendonly", "yes",
            "--appendfsync", self.options.fsync, "--save", "", "--logfile", os.path.join(self.dir, "log"),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S_MAX
        while True:
            try:
                connection = Connection(self.port)
                if connection.ask("PING") == b"PONG":
                    return connection
                connection.close()
            except (Gone, OSError):
                pass
            if self.process.poll() is not None:
                raise SystemExit(f"crash-test: the server ended with {self.process.returncode}; see {self.dir}")
            if time.monotonic() > deadline:
                raise SystemExit(f"crash-test: the server does not answer; see {self.dir}")
            time.sleep(0.005)

    def load(self, faults):
        def write(writer):
            try:
                connection = Connection(self.port)
                while True:
                    writer.step(connection)
            except (Gone, OSError):
                pass
            except AssertionError as error:
                faults.append(str(error))

        def read():
            try:
                connection = Connection(self.port)
                keys = [writer.key("count") for writer in self.writers]
                while True:
                    for key, value in zip(keys, connection.ask("MGET", *keys)):
                        self.shown[key] = max(self.shown.get(key, 0), int(value or 0))
            except (Gone, OSError):
                pass

        threads = [threading.Thread(target=write, args=[writer]) for writer in self.writers]
        threads.append(threading.Thread(target=read))
        for thread in threads:
            thread.start()
        return threads

    def round(self, number):
        faults = []
        connection = self.start()
        for writer in self.writers:
            faults += writer.check(connection)
        for writer in self.writers:
            key = writer.key("count")
            if self.shown.get(key, 0) > writer.count:
                faults.append(f"{key}: a client was shown {self.shown[key]}, {writer.count} is there")
        before = sum(writer.count for writer in self.writers)
        threads = self.load(faults)
        draw = self.random.random()
        if draw < 0.2:
            connection.ask("BGREWRITEAOF")
        elif draw < 0.3:
            connection.ask("BGSAVE")
        time.sleep(self.random.uniform(*ROUND_S))
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for thread in threads:
            thread.join()
        connection.close()
        self.acknowledged += sum(writer.count for writer in self.writers) - before
        return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="the command line of the server, without port and directory")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--fsync", default="always", choices=["always", "everysec", "no"])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    run = Run(options)
    for number in range(options.kills + 1):
        faults = run.round(number)
        if faults:
            print("\n".join(faults))
            sys.exit(f"crash-test: after {number} kills; the directory is {run.dir}")
    shutil.rmtree(run.dir)
    print(f"{options.kills} kills, {run.acknowledged} commands acknowledged under {options.fsync}, none lost")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Spreads keys over three servers, with twemproxy and with rings in clients; called by twemproxy-test.sh.

replies  Every command that the proxy lets through, in a line of beyond/proxied.py: the replies are those of a single server that is sent
         the same lines. Which commands those are it finds by sending each that the servers know; one that gets through and has
         no line is a fault. Those that are refused are listed.
spread   Thousands of keys through the proxy: each is on one server, every server has its share, keys with the same tag are together, and
         another proxy with the same configuration finds them all.
down     A server is killed and started again. Without auto_eject_hosts its keys are answered with errors and nothing else changes;
         with it the others take them over, no other key moves, and afterwards they are as they were before.
rings    The same for examples/ring.py and ring.js, which find each other's keys; and a fourth server takes keys from the others only.

Exit status 1 means that something did not hold; the directory with logs is kept then, and named.
"""
import argparse
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import redis

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "beyond"), os.path.join(HERE, "examples")]
from process import Process  # noqa: E402
from proxied import LINES, SCRIPT  # noqa: E402
from ring import Ring  # noqa: E402
from waiting import Fault, until  # noqa: E402

NAMES = ("one", "two", "three")
KEYS = 3000
# The share of the keys that each of three servers has at least and at most: ketama's and the ring's hundred and some points a server.
SHARE_MIN, SHARE_MAX = 0.15, 0.55
# A server comes back with what it had.
SERVER_CONF = 'save ""\nappendonly yes\nappendfsync no\n'


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Refused(Exception):
    """The connection was closed instead of an answer."""


class Plain:
    """A connection that shows replies as they come; errors of the server are values."""

    def __init__(self, port):
        self.connection = redis.Connection(host="127.0.0.1", port=port, protocol=2, socket_timeout=2, decode_responses=False,
                                           lib_name=None, lib_version=None, retry=None)
        self.connection.connect()

    def ask(self, words):
        try:
            self.connection.send_command(*words)
            return self.connection.read_response(disconnect_on_error=False)
        except redis.ResponseError as error:
            return error
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise Refused from error

    def close(self):
        self.connection.disconnect()


class Proxy:
    """A nutcracker with the pools of examples/nutcracker.yml, on other ports."""

    def __init__(self, directory, name, servers):
        self.data, self.cache, stats = free_ports(3)
        with open(os.path.join(HERE, "examples", "nutcracker.yml"), encoding="ascii") as example:
            text = example.read()
        ports = {21121: self.data, 21122: self.cache, **{7379 + at: server.port for at, server in enumerate(servers)}}
        for old, new in ports.items():
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{{{new}}}")
        conf = os.path.join(directory, f"{name}.yml")
        with open(conf, "w", encoding="ascii") as file:
            file.write(text.replace("1:{", "1:").replace("}:1 ", ":1 ").replace("}\n", "\n"))
        with open(os.path.join(directory, f"{name}.log"), "ab") as log:
            self.process = subprocess.Popen(["nutcracker", "-c", conf, "-s", str(stats), "-m", "16384"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        for port in (self.data, self.cache):
            until(lambda p=port: self.client(p).ping(), f"{name} answers")

    @staticmethod
    def client(port):
        return redis.Redis("127.0.0.1", port, decode_responses=True, retry=None, socket_timeout=5, lib_name=None, lib_version=None)

    def end(self):
        self.process.kill()
        self.process.wait()


class Run:
    def __init__(self, options):
        self.options = options
        self.dir = tempfile.mkdtemp(prefix="aleadb-twemproxy-")
        self.faults, self.running = [], []
        ports = free_ports(len(NAMES) + 1)
        self.servers = [self.serve(name, options.server, port) for name, port in zip(NAMES, ports)]
        self.oracle = self.serve("oracle", options.oracle, ports[-1])
        self.proxies = [Proxy(self.dir, name, self.servers) for name in ("proxy", "proxy2")]

    def serve(self, name, program, port):
        server = Process(self.dir, name, program, ("127.0.0.1", port), SERVER_CONF)
        self.running.append(server)
        return server

    def end(self):
        for proxy in getattr(self, "proxies", ()):
            proxy.end()
        for server in self.running:
            server.signal(signal.SIGKILL)

    def hold(self, condition, what):
        if not condition:
            self.faults.append(what)
            print(f"FAULT: {what}", flush=True)

    def empty(self):
        for server in (*self.servers, self.oracle):
            server.ask("FLUSHALL")

    def killed(self):
        server = self.servers[1]
        server.signal(signal.SIGKILL)
        return server

    # Replies.

    def replies(self):
        self.empty()
        through, single = Plain(self.proxies[0].data), Plain(self.oracle.port)
        sha = single.ask(["SCRIPT", "LOAD", SCRIPT]).decode()
        for server in self.servers:
            server.ask("SCRIPT", "LOAD", SCRIPT)
        dumps, lines = {}, [line for line in LINES.splitlines() if line]
        for line in lines:
            for connection in (through, single):
                filled = {"$dump": dumps.get(connection), "$sha": sha}
                words = [filled.get(word, word) for word in shlex.split(line.lstrip("?~"))]
                try:
                    reply = connection.ask(words)
                except Refused:
                    self.hold(False, f"{'the proxy' if connection is through else 'the single server'} closes the connection at: {line}")
                    return set()
                if words[0] == "DUMP":
                    dumps[connection] = reply
                if connection is through:
                    proxied = reply
            same = type(proxied) is type(reply) if line[0] == "?" else self.shown(proxied, line) == self.shown(reply, line)
            self.hold(same, f"{line}: through the proxy {proxied!r}, from a single server {reply!r}")
        covered = {shlex.split(line.lstrip("?~"))[0] for line in lines}
        print(f"replies: {len(lines)} lines of {len(covered)} commands compared")
        return covered

    @staticmethod
    def shown(reply, line):
        if isinstance(reply, Exception):
            return f"error {reply}"
        if "GEOPOS" in line:
            # Whatever the number of digits.
            return [[float(number) for number in place] for place in reply]
        if line[0] != "~" or not isinstance(reply, list):
            return reply
        pairs = zip(reply[::2], reply[1::2]) if "HGETALL" in line else reply
        return sorted(pairs)

    def passes(self, name, arity):
        """Whether the proxy answers a command rather than closing the connection. The words are numbers, as some have to be."""
        for count in range(max(abs(arity) - 1, 0), 9):
            plain = Plain(self.proxies[0].data)
            try:
                reply = plain.ask([name, *["1"] * count])
            except Refused:
                continue
            finally:
                plain.close()
            return not (isinstance(reply, Exception) and "no password is set" in str(reply))
        return False

    def commands(self, covered):
        """Every command of the servers is tried; those that get through must have been compared."""
        known = {words[0].decode().upper(): words[1] for words in Plain(self.servers[0].port).ask(["COMMAND"])}
        passed = {name for name, arity in known.items() if self.passes(name, arity)}
        self.hold(not passed - covered, f"let through, but not compared: {' '.join(sorted(passed - covered))}")
        self.hold(not covered - passed, f"compared, but not let through: {' '.join(sorted(covered - passed))}")
        print(f"commands: {len(passed)} let through, {len(known) - len(passed)} refused: {' '.join(sorted(set(known) - passed)).lower()}")

    # Keys.

    def holders(self, prefix, count=KEYS):
        """The servers that have each key."""
        places = []
        for server in self.servers:
            with server.client() as client:
                pipeline = client.pipeline(transaction=False)
                for n in range(count):
                    pipeline.exists(f"{prefix}{n}")
                places.append(pipeline.execute())
        return [[NAMES[at] for at in range(len(NAMES)) if places[at][n]] for n in range(count)]

    def spread_of(self, what, holders):
        self.hold(all(len(holder) == 1 for holder in holders), f"{what}: a key is not on exactly one server")
        shares = {name: sum(holder == [name] for holder in holders) / len(holders) for name in NAMES}
        self.hold(all(SHARE_MIN <= share <= SHARE_MAX for share in shares.values()), f"{what}: the shares are {shares}")
        print(f"{what}: {', '.join(f'{name} {share:.0%}' for name, share in shares.items())} of {len(holders)} keys")

    def spread(self):
        self.empty()
        first, second = (self.proxies[at].client(self.proxies[at].data) for at in (0, 1))
        for n in range(KEYS):
            first.set(f"k{n}", n)
        self.spread_of("spread", self.holders("k"))
        found = second.mget([f"k{n}" for n in range(KEYS)])
        self.hold(found == [str(n) for n in range(KEYS)], "another proxy does not find all keys")
        first.mset({f"{{tag}}{n}": n for n in range(50)})
        holders = self.holders("{tag}", 50)
        self.hold(len({tuple(holder) for holder in holders}) == 1 and len(holders[0]) == 1, "keys with one tag are on several servers")

    @staticmethod
    def values(client, prefix):
        """What a client finds under every key, errors as values."""
        found = []
        for n in range(KEYS):
            try:
                found.append(client.get(f"{prefix}{n}"))
            except redis.RedisError as error:
                found.append(error)
        return found

    def down(self):
        self.empty()
        data, cache = (self.proxies[0].client(port) for port in (self.proxies[0].data, self.proxies[0].cache))
        for n in range(KEYS):
            cache.set(f"k{n}", "before")
        lost = {n for n, holder in enumerate(self.holders("k")) if holder == ["two"]}
        server = self.killed()
        failed = {n for n, value in enumerate(self.values(data, "k")) if isinstance(value, Exception)}
        self.hold(failed == lost, f"without ejection {len(failed)} keys fail, the dead server's are {len(lost)}")
        until(lambda: cache.get(f"k{min(lost)}") is None, "the dead server is ejected")
        found = self.values(cache, "k")
        errors = sum(isinstance(value, Exception) for value in found)
        moved = sum(value != "before" for n, value in enumerate(found) if n not in lost)
        self.hold(moved == 0, f"with ejection {moved} keys of the living servers are not found")
        written = 0
        for n in lost:
            try:
                written += cache.set(f"k{n}", "meanwhile")
            except redis.RedisError:
                errors += 1
        self.hold(written >= len(lost) * 0.95, f"with ejection only {written} of {len(lost)} keys can be written")
        server.start()
        until(lambda: all(value == "before" for value in self.values(data, "k")), "every key is as it was, without ejection")
        until(lambda: all(value == "before" for value in self.values(cache, "k")), "every key is as it was, with ejection")
        print(f"down: {len(lost)} keys failed without ejection; with it they moved, {errors} requests failed, and what was written "
              f"meanwhile ({written}) is forgotten")

    # Rings of clients.

    def node_ring(self, action, prefix):
        places = [f"{name}=127.0.0.1:{server.port}" for name, server in zip(NAMES, self.servers)]
        words = [self.options.node, os.path.join(HERE, "beyond", "ring_load.js"), action, prefix, str(KEYS), *places]
        return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, timeout=120).stdout)

    def python_ring(self, action, prefix):
        """As beyond/ring_load.js does it."""
        ring = Ring({name: redis.Redis(port=server.port, decode_responses=True, retry=None) for name, server in zip(NAMES, self.servers)})
        found = {"right": 0, "wrong": 0, "failed": {}}
        for n in range(KEYS):
            key = f"{prefix}{n}"
            try:
                if action == "fill":
                    ring.server_of(key).set(key, n)
                found["right" if ring.server_of(key).get(key) == str(n) else "wrong"] += 1
            except redis.RedisError:
                found["failed"][ring.name_of(key)] = found["failed"].get(ring.name_of(key), 0) + 1
        return found

    def rings(self):
        self.empty()
        rings = {"redis-py": self.python_ring} | ({"ioredis": self.node_ring} if self.options.node else {})
        whole = {"right": KEYS, "wrong": 0, "failed": {}}
        for filler, fill in rings.items():
            self.hold((found := fill("fill", filler)) == whole, f"{filler}'s ring, filled: {found}")
            self.spread_of(f"{filler}'s ring", self.holders(filler))
            for finder, find in rings.items():
                self.hold((found := find("find", filler)) == whole, f"{finder}'s ring finds of {filler}'s keys: {found}")
        expected = {filler: sum(holder == ["two"] for holder in self.holders(filler)) for filler in rings}
        server = self.killed()
        for name, find in rings.items():
            wanted = {"right": KEYS - expected[name], "wrong": 0, "failed": {"two": expected[name]}}
            self.hold((found := find("find", name)) == wanted, f"{name}'s ring with a server down: {found}, not {wanted}")
        server.start()
        for name, find in rings.items():
            self.hold((found := find("find", name)) == whole, f"{name}'s ring with the server back: {found}")
        three, four = (Ring(dict.fromkeys(names)) for names in (NAMES, (*NAMES, "four")))
        moves = [(three.name_of(f"k{n}"), four.name_of(f"k{n}")) for n in range(KEYS)]
        moved = [new for old, new in moves if new != old]
        self.hold(set(moved) == {"four"} and len(moved) < KEYS * SHARE_MAX, f"with a fourth server {len(moved)} keys move, to {set(moved)}")
        print(f"rings: {' and '.join(rings)} agree; a server down and back costs its keys' time only; a fourth server takes "
              f"{len(moved) / KEYS:.0%} of the keys")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="the command line of the servers, without configuration")
    parser.add_argument("--oracle", required=True, help="that of the single server")
    parser.add_argument("--node", default="", help="the Node.js that runs ioredis; without, only redis-py's ring is tested")
    run = Run(parser.parse_args())
    try:
        run.commands(run.replies())
        run.spread()
        run.down()
        run.rings()
    except Fault as fault:
        run.hold(False, str(fault))
    finally:
        run.end()
    if run.faults:
        sys.exit(f"twemproxy-test: {len(run.faults)} faults; the directory is {run.dir}")
    shutil.rmtree(run.dir)


if __name__ == "__main__":
    main()

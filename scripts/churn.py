"""The churn test of bench.py: values of many pages come and go, and what is resident has to stay near what is used.

Each row of sizes gets a fresh server. A round loads values of random sizes up to a total, looks at `used_memory` and at what
the kernel says is resident, and then deletes: every value, or a random half of them, so that what is freed has other sizes than
what comes next. `mixed` loads strings of very different sizes, a third of them with a TTL that ends soon, hashes and lists, lets values
grow, and deletes a random half after each round, so that blocks of all sizes outlive their neighbours; `mixed, half gone` looks
only at the end, when the last half has been deleted and nothing has come in its place. `huge` writes into the last
bytes of long strings and deletes them while others stay; a server that frees on another thread gets a few seconds for it. The worst
round is what counts.

Python's standard library only.
"""
import os
import random
import time

KB, MB = 1000, 1_000_000
TOTAL = 200 * MB
PIPELINE_BYTES = MB
# What resident may be of used after any round.
RATIO_MAX = 1.3
# name: sizes of values in bytes, share of the values deleted after each round.
ROWS = {
    "100 B to 1 KB": (100, KB, 1.0),
    "1 to 4 KB": (KB, 4 * KB, 1.0),
    "4 to 16 KB": (4 * KB, 16 * KB, 1.0),
    "16 to 64 KB": (16 * KB, 64 * KB, 1.0),
    "16 to 64 KB, half": (16 * KB, 64 * KB, 0.5),
    "64 to 512 KB": (64 * KB, 512 * KB, 1.0),
    "0.5 to 4 MB": (512 * KB, 4 * MB, 1.0),
    "0.5 to 4 MB, half": (512 * KB, 4 * MB, 0.5),
    "1 to 40 MB": (MB, 40 * MB, 1.0),
    "mixed": ("mixed",),
    "mixed, half gone": ("half gone",),
    "huge": ("huge",),
}
HUGE_KEPT, HUGE_MIN, HUGE_MAX, SETTLE_S = 500 * MB, 20 * MB, 500 * MB, 5


class Client:
    """A connection that sends pipelines and checks that no reply is an error."""

    def __init__(self, server, encode):
        self.socket, self.encode = server.connect(), encode
        self.replies = self.socket.makefile("rb")

    def run(self, commands):
        self.socket.sendall(b"".join(self.encode(*command) for command in commands))
        for command in commands:
            reply = self.replies.readline()
            if reply[:1] not in b"+:":
                raise SystemExit(f"bench: {command[0]} answered {reply[:100]!r}")

    def used(self):
        self.socket.sendall(self.encode("INFO", "memory"))
        size = int(self.replies.readline()[1:])
        lines = self.replies.read(size + 2).split(b"\r\n")
        return next(int(line.split(b":")[1]) for line in lines if line.startswith(b"used_memory:"))


def ratios_of_values(server, client, row, rounds):
    low, high, gone = row
    dice, text = random.Random(1), os.urandom(high // 2).hex()
    values, made, ratios = [], 0, []
    for _ in range(rounds):
        batch, bytes_in_batch, held = [], 0, sum(size for _, size in values)
        while held < TOTAL:
            key, size = f"value:{made}", dice.randint(low, high)
            batch.append(("SET", key, text[:size]))
            values.append((key, size))
            made, held, bytes_in_batch = made + 1, held + size, bytes_in_batch + size
            if bytes_in_batch >= PIPELINE_BYTES:
                client.run(batch)
                batch, bytes_in_batch = [], 0
        client.run(batch)
        ratios.append(server.resident() / client.used())
        dice.shuffle(values)
        count = int(len(values) * gone)
        for first in range(0, count, 100):
            client.run([("DEL", key) for key, _ in values[first:min(first + 100, count)]])
        values = values[count:]
    return ratios


def mixed_command(dice, key, text):
    """A command that makes or enlarges a value, and the bytes that it takes, about."""
    # As many of each doubling, from 16 bytes to 16 KB.
    size = int(2 ** dice.uniform(4, 14))
    kind = dice.randrange(6)
    if kind == 0:
        return ("RPUSH", f"list:{key}", *(text[:size // 16 + 1] for _ in range(16))), size
    if kind == 1:
        return ("HSET", f"hash:{key}", *(word for i in range(8) for word in (f"field{i}", text[:size // 8 + 1]))), size
    if kind in (2, 3):
        return ("SET", f"value:{key}", text[:size], "PX", dice.randint(200, 3000)), size
    if kind == 4:
        return ("APPEND", f"value:{dice.randrange(key + 1)}", text[:size]), size
    return ("SET", f"value:{key}", text[:size]), size


def ratios_of_mixed(server, client, row, rounds):
    dice, text, made, ratios = random.Random(1), os.urandom(8 * KB).hex(), 0, []
    for _ in range(rounds):
        while client.used() < TOTAL:
            batch, bytes_in_batch = [], 0
            while bytes_in_batch < PIPELINE_BYTES:
                command, size = mixed_command(dice, made, text)
                batch.append(command)
                made, bytes_in_batch = made + 1, bytes_in_batch + size
            client.run(batch)
        ratios.append(server.resident() / client.used())
        names = [f"{kind}:{key}" for key in range(made) for kind in ("value", "list", "hash") if dice.random() < 0.5]
        dice.shuffle(names)
        for first in range(0, len(names), 500):
            client.run([("DEL", *names[first:first + 500])])
    return [settled_ratio(server, client)] if row[0] == "half gone" else ratios


def settled_ratio(server, client):
    """The ratio when it is low enough, or after some seconds."""
    deadline = time.monotonic() + SETTLE_S
    while (ratio := server.resident() / client.used()) > RATIO_MAX and time.monotonic() < deadline:
        time.sleep(0.05)
    return ratio


def ratios_of_huge(server, client, _row, rounds):
    dice, ratios = random.Random(1), []
    client.run([("SETRANGE", "kept", HUGE_KEPT, "x")])
    for at in range(rounds):
        for _ in range(3):
            client.run([("SETRANGE", f"huge:{at}", dice.randint(HUGE_MIN, HUGE_MAX), "x"), ("DEL", f"huge:{at}")])
        client.run([("SETRANGE", f"huge:{at}", HUGE_MIN, "x")])
        ratios.append(settled_ratio(server, client))
        client.run([("DEL", f"huge:{at}")])
    return ratios


# How rows of another kind than sizes are run.
RATIOS = {"mixed": ratios_of_mixed, "half gone": ratios_of_mixed, "huge": ratios_of_huge}


def measure(peers, rounds, start, encode):
    """Prints a table, and returns every ratio by row and peer. `start(command)` starts a server, to be used in a `with`."""
    found = {}
    print(f"{'resident / used, worst of ' + str(rounds) + ' rounds':32}" + "".join(f"{name:>12}" for name in peers), flush=True)
    for label, row in ROWS.items():
        found[label] = {}
        for name, command in peers.items():
            with start(command) as server:
                client = Client(server, encode)
                run = RATIOS.get(row[0], ratios_of_values)(server, client, row, rounds)
                found[label][name] = run
        worst = {name: max(run) for name, run in found[label].items()}
        cells = "".join(f"{ratio:11.2f}{'!' if ratio > RATIO_MAX else ' '}" for ratio in worst.values())
        print(f"{label:32}{cells}", flush=True)
    print(f"! is above {RATIO_MAX}")
    return found

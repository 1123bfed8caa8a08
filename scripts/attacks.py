"""The attacks that abuse.py replays, each a line of its table: what is sent, and what must have become of it.

A line is given an `abuse.Run` and returns its outcome in words. It sends what the protocol allows, or a corrupt payload, over
loopback connections of its own; with `smoke` all sizes are small. Payloads are built here, so that no file is needed.
"""
import random
import resource
import select
import shlex
import socket
import struct
import subprocess
import time

from bench import START_DEADLINE_S, Server, free_port

KB, MB, GB = 1 << 10, 1 << 20, 1 << 30
LINES = []


class Gone(Exception):
    """The server closed the connection, or ended."""


class Refused(Exception):
    """An error reply."""


def encode(*args):
    """One command in the wire format."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        arg = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(parts)


def encode_words(text):
    return encode(*text.split())


class Client:
    """A connection that sends commands and reads whole replies, or deliberately does neither."""

    def __init__(self, server):
        self.socket = server.connect()
        self.file = self.socket.makefile("rb")

    def send(self, *args):
        try:
            self.socket.sendall(encode(*args))
        except ConnectionError:
            raise Gone from None

    def reply(self):
        try:
            line = self.file.readline()
        except ConnectionError:
            raise Gone from None
        if not line:
            raise Gone
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Refused(rest.decode(errors="replace"))
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind in b"*>":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def ask(self, *args):
        self.send(*args)
        return self.reply()

    def run(self, text):
        return self.ask(*text.split())

    def read_bytes(self, count):
        """Reads so many bytes and throws them away; how many came."""
        buffer, got = bytearray(min(count, MB)), 0
        while got < count:
            try:
                piece = self.file.readinto(memoryview(buffer)[:count - got])
            except ConnectionError:
                break
            if not piece:
                break
            got += piece
        return got

    def is_refused(self):
        """Whether the next thing to read is an error; nothing is read."""
        ready = select.select([self.socket], [], [], 0)[0]
        try:
            return bool(ready) and self.socket.recv(1, socket.MSG_PEEK) == b"-"
        except ConnectionError:
            return False

    def reset(self):
        """Closes it so that the other side sees an error."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()


class Line:
    """A row of the table."""

    def __init__(self, play, group, name, what, options, only, starts):
        self.play, self.group, self.name, self.what = play, group, f"{group}/{name}", what
        self.options, self.only, self.starts = options, only, starts


def line(group, name, options="", only=None, starts=False):
    """Adds a function to the lines. `only` names the one server it is for; one that `starts` servers itself is given a command
    line instead of a run, and returns the first arguments of an `abuse.Result`."""
    def add(play):
        LINES.append(Line(play, group, name, play.__doc__.split("\n")[0], options, only, starts))
        return play
    return add


def flood(clients, data, idle_s=0.5):
    """Sends `data` to every client until all of it is taken or nothing moves any more. Returns how many bytes each took."""
    left = {client.socket.fileno(): memoryview(data) for client in clients}
    sockets = {client.socket.fileno(): client.socket for client in clients}
    poll = select.poll()
    for fd in left:
        sockets[fd].setblocking(False)
        poll.register(fd, select.POLLOUT)
    waiting = set(left)
    while waiting and (ready := poll.poll(idle_s * 1000)):
        for fd, _ in ready:
            try:
                left[fd] = left[fd][sockets[fd].send(left[fd][:MB]):]
            except BlockingIOError:
                continue
            except OSError:
                poll.unregister(fd)
                waiting.discard(fd)
                continue
            if not left[fd]:
                poll.unregister(fd)
                waiting.discard(fd)
    for fd in left:
        sockets[fd].settimeout(60)
    return [len(data) - len(left[client.socket.fileno()]) for client in clients]


def pings(size):
    ping = encode("PING")
    return ping * (size // len(ping) + 1)


def words_of(text):
    """The beginning of an error, which says what kind it is."""
    return " ".join(text.split()[:6])


# --- Dead waiters -------------------------------------------------------------------------------------------------------------

# Prepares, waits, gives an element, counts what is left (or, for a stream, what is pending for a consumer).
WAITERS = [
    ("", "BLPOP {k} 0", "RPUSH {k} job", "LLEN {k}"),
    ("", "BRPOP {k} 0", "RPUSH {k} job", "LLEN {k}"),
    ("", "BLMOVE {k} {k}:to LEFT RIGHT 0", "RPUSH {k} job", "LLEN {k}"),
    ("", "BRPOPLPUSH {k} {k}:to 0", "RPUSH {k} job", "LLEN {k}"),
    ("", "BLMPOP 0 1 {k} LEFT", "RPUSH {k} job", "LLEN {k}"),
    ("", "BZPOPMIN {k} 0", "ZADD {k} 1 job", "ZCARD {k}"),
    ("", "BZPOPMAX {k} 0", "ZADD {k} 1 job", "ZCARD {k}"),
    ("", "BZMPOP 0 1 {k} MIN", "ZADD {k} 1 job", "ZCARD {k}"),
    ("XGROUP CREATE {k} g $ MKSTREAM", "XREADGROUP GROUP g c BLOCK 0 STREAMS {k} >", "XADD {k} * job 1", "XPENDING {k} g"),
]
GOINGS = ["close", "half-close", "reset"]


def go(client, how):
    if how == "close":
        client.close()
    elif how == "reset":
        client.reset()
    else:
        client.socket.shutdown(socket.SHUT_WR)


def count_lost(run, jobs):
    """Compares what is left with what was given; `jobs` are pairs of a label and a command that counts."""
    lost = {}
    for label, count in jobs:
        reply = run.control.run(count)
        if (1 - reply[0] if isinstance(reply, list) else reply) != 1:
            lost[label] = lost.get(label, 0) + 1
            run.lost += 1
    told = ", ".join(f"{label} {number}" for label, number in lost.items())
    return f"{run.lost} of {len(jobs)} elements lost" + (f" ({told})" if told else "")


@line("dead-waiters", "blocking")
def blocking(run):
    """Clients wait in every blocking command, pipeline more, and go; then elements come, of which none may be lost."""
    sizes, jobs = run.size([0, 256 * KB, 3 * MB], [0, 64 * KB]), []
    for size in sizes:
        for how in GOINGS:
            clients = []
            for prepare, wait, give, count in WAITERS:
                key = f"job:{len(jobs)}"
                if prepare:
                    run.control.run(prepare.format(k=key))
                clients.append(run.connect())
                clients[-1].socket.sendall(encode_words(wait.format(k=key)))
                jobs.append((wait.split()[0] + " " + how, give.format(k=key), count.format(k=key)))
            flood(clients, pings(size))
            for client in clients:
                go(client, how)
    noticed = run.until(lambda: run.attackers() <= 0, 3)
    stay = 0 if noticed else run.attackers()
    for _, give, _ in jobs:
        run.control.run(give)
    run.control.ask("PING")
    return count_lost(run, [(label, count) for label, _, count in jobs]) + (f"; {stay} clients stay" if stay else "")


@line("dead-waiters", "paused")
def paused(run):
    """While CLIENT PAUSE holds their LPOP back, clients pipeline more and go; their commands must not run later."""
    jobs = []
    for number in range(3 * len(GOINGS)):
        run.control.ask("RPUSH", f"job:{number}", "job")
    run.control.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    for size in run.size([0, 256 * KB, 3 * MB], [0, 16 * KB, 64 * KB]):
        for how in GOINGS:
            client = run.connect()
            client.socket.sendall(encode("LPOP", f"job:{len(jobs)}"))
            flood([client], pings(size))
            go(client, how)
            jobs.append((how, f"LLEN job:{len(jobs)}"))
    noticed = run.until(lambda: run.attackers() <= 0, 3)
    stay = 0 if noticed else run.attackers()
    run.control.ask("CLIENT", "UNPAUSE")
    run.control.ask("PING")
    return count_lost(run, jobs) + (f"; {stay} clients stay" if stay else "")


@line("dead-waiters", "over-limit")
def over_limit(run):
    """Waiting and paused clients send more than client-query-buffer-limit, and stay; they must be cut off."""
    run.control.ask("CONFIG", "SET", "client-query-buffer-limit", "1mb")
    half, jobs = run.size(20, 3), []
    clients = [run.connect() for _ in range(2 * half)]
    for number in range(half, 2 * half):
        run.control.ask("RPUSH", f"job:{number}", "job")
    run.control.ask("CLIENT", "PAUSE", 60_000, "WRITE")
    for number, client in enumerate(clients):
        client.socket.sendall(encode("BLPOP", f"job:{number}", 0))
        jobs.append(("waiting" if number < half else "paused", f"LLEN job:{number}"))
    # No pause ends BLPOP's own wait, which begins once it has run.
    flood(clients[half:], pings(8 * MB))
    run.control.ask("CLIENT", "UNPAUSE")
    flood(clients[:half], pings(8 * MB))
    run.until(lambda: run.attackers() <= 0, 5)
    if stay := run.attackers():
        run.fault(f"{stay} of {len(clients)} clients stay beyond the limit")
    for number in range(half):
        run.control.ask("RPUSH", f"job:{number}", "job")
    run.control.ask("PING")
    told = count_lost(run, jobs)
    if stay:
        # Who is still there has been given its element.
        told, run.lost = f"{stay} clients stay", 0
    return told


@line("dead-waiters", "half-closed")
def half_closed(run):
    """Clients order 27 MB each, half-close and never read; they must go."""
    run.control.ask("SET", "value", b"v" * run.size(MB, 64 * KB))
    run.begin()
    clients = [run.connect() for _ in range(run.size(50, 5))]
    started = time.monotonic()
    for client in clients:
        client.socket.sendall(encode("GET", "value") * 27)
        client.socket.shutdown(socket.SHUT_WR)
    # Time to read is given on purpose, but not for ever.
    run.until(lambda: run.attackers() <= 0, run.size(30, 1))
    if (stay := run.attackers()) and not run.smoke:
        run.fault(f"{stay} of {len(clients)} clients stay")
    return f"{len(clients) - stay} of {len(clients)} gone after {time.monotonic() - started:.1f} s"


# --- Slow readers -------------------------------------------------------------------------------------------------------------

def owe(run, command, count, reply_bytes, batch=None):
    """A client orders replies that it does not read, `batch` at a time or all at once, and reads them when all are owed."""
    run.begin()
    reader = run.connect()
    if batch is None:
        (taken,) = flood([reader], command * count, idle_s=2)
    else:
        taken = 0
        for first in range(0, count, batch):
            data = command * min(batch, count - first)
            (sent,) = flood([reader], data, idle_s=2)
            taken += sent
            if sent < len(data):
                break
            time.sleep(0.005)
    # Whatever has been read has been answered when two turns later somebody else is.
    for _ in range(3):
        run.control.ask("PING")
    owed = run.memory("VmRSS") or 0
    ordered = taken // len(command)
    got = reader.read_bytes(ordered * reply_bytes)
    if got < ordered * reply_bytes:
        run.fault(f"{got} of {ordered * reply_bytes} bytes came")
    held = "" if ordered == count else f", {count - ordered} of {count} commands not taken"
    return f"{ordered * reply_bytes / 1e6:.0f} MB owed at {owed / 1e6:.0f} MB resident, read in the end{held}"


def bulk_bytes(size):
    return len(b"$%d\r\n" % size) + size + 2


@line("slow-readers", "large")
def large(run):
    """1.4 GB of GET of 14 MB, one every 5 ms, unread."""
    size = run.size(14 * 10**6, 10**5)
    run.control.ask("SET", "value", b"v" * size)
    return owe(run, encode("GET", "value"), run.size(100, 20), bulk_bytes(size), batch=1)


@line("slow-readers", "large-at-once")
def large_at_once(run):
    """1.4 GB of GET of 14 MB, pipelined, unread."""
    size = run.size(14 * 10**6, 10**5)
    run.control.ask("SET", "value", b"v" * size)
    return owe(run, encode("GET", "value"), run.size(100, 20), bulk_bytes(size))


@line("slow-readers", "lrange")
def lrange(run):
    """1.4 GB of LRANGE of 14,000 elements, ten every 5 ms, unread."""
    elements = run.size(14_000, 100)
    run.control.ask("RPUSH", "list", *["e" * 93] * elements)
    reply = len(b"*%d\r\n" % elements) + elements * bulk_bytes(93)
    return owe(run, encode("LRANGE", "list", 0, -1), run.size(1000, 50), reply, batch=10)


@line("slow-readers", "small")
def small(run):
    """1.4 GB of GET of 1,000 bytes, pipelined, unread."""
    run.control.ask("SET", "value", "v" * 1000)
    return owe(run, encode("GET", "value"), run.size(1_400_000, 2000), bulk_bytes(1000))


@line("slow-readers", "errors")
def errors(run):
    """A million pipelined errors, unread."""
    text = b"-ERR unknown command 'nonsense', with args beginning with: 'x' \r\n"
    return owe(run, encode("nonsense", "x"), run.size(1_000_000, 2000), len(text))


# --- Connections --------------------------------------------------------------------------------------------------------------

def connections(run, wanted):
    """As many as the limits of open files allow; the server has the same ones."""
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)


@line("connections", "idle", options=" --maxclients 10100")
def idle(run):
    """10,000 clients that have sent a command and then nothing; then all go at once."""
    count = connections(run, run.size(10_000, 200))
    for _ in range(count):
        run.connect()
    there = run.attackers()
    if there != count:
        run.fault(f"{there} of {count} are there")
    for client in run.kept:
        client.close()
    run.until(lambda: run.attackers() <= 0, 5)
    return f"{count} answered"


@line("connections", "stormy")
def stormy(run):
    """20,000 clients connect, send a command and go, in waves of 250; half of them go with an error, half do not read."""
    waves, size, answered = run.size(80, 4), run.size(250, 25), 0
    for wave in range(waves):
        clients = [Client(run.server) for _ in range(size)]
        for number, client in enumerate(clients):
            client.send("SET", f"k{wave}:{number}", "v")
        for client in clients if wave % 2 else []:
            client.reply()
            answered += 1
        for number, client in enumerate(clients):
            client.reset() if number % 2 else client.close()
    run.until(lambda: run.attackers() <= 0, 5)
    if stay := run.attackers():
        run.fault(f"{stay} clients stay")
    return f"{waves * size} came, {answered} read their answer"


# --- Giant packs --------------------------------------------------------------------------------------------------------------

def crc64(state, data):
    for byte in data:
        state = state >> 8 ^ CRC64[(state ^ byte) & 255]
    return state


def crc64_table():
    """Redis's polynomial (Jones), reflected."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x95AC9329AC4BC9B5 if value & 1 else 0)
        table.append(value)
    return table


CRC64 = crc64_table()


def crc64_repeated(state, block, count):
    """The state after so many blocks. What a block does to it is affine, so it is squared: O(log count)."""
    constant = crc64(0, block)
    columns = [crc64(1 << bit, block) ^ constant for bit in range(64)]

    def apply(value):
        total = 0
        for bit in range(64):
            if value >> bit & 1:
                total ^= columns[bit]
        return total
    while count:
        if count & 1:
            state = apply(state) ^ constant
        constant, columns = apply(constant) ^ constant, [apply(column) for column in columns]
        count >>= 1
    return state


def element(value):
    """A listpack's entry: a text, or a number below 128."""
    if isinstance(value, int):
        return bytes([value, 1])
    assert len(value) < 64
    return bytes([0x80 | len(value)]) + value + bytes([len(value) + 1])


def back_length(length):
    """The number behind an entry by which it is found from its end: 7 bits a byte, of which all but the first are marked."""
    digits = [length & 127]
    while length := length >> 7:
        digits.append(length & 127)
    return bytes([digits[-1]] + [digit | 128 for digit in reversed(digits[:-1])])


def giant_pack(before, after, size):
    """A listpack of exactly `size` bytes, whose entries are those of `before`, a huge text, and those of `after`, compressed
    with LZF as a payload holds it. Returns the parts: head, a block that is repeated, how often, tail."""
    head = b"".join(map(element, before))
    tail = b"".join(map(element, after)) + b"\xff"
    # 1 + 4 bytes of encoding before the text, 5 of length behind it; the smaller pack of a smoke run has fewer of these.
    back = len(back_length(size - 6 - len(head) - len(tail) - 5))
    text = size - 6 - len(head) - len(tail) - 5 - back
    head = struct.pack("<IH", size, len(before) + 1 + len(after)) + head + b"\xf0" + struct.pack("<I", text)
    tail = back_length(5 + text) + tail
    # A match of 264 bytes at distance 1 repeats the byte before it; what does not fill one goes in as it is.
    blocks, rest = divmod(text - 1, 264)
    before = literals(head + b"x" * (rest + 1))
    behind = literals(tail)
    clen = len(before) + 3 * blocks + len(behind)
    return b"\xc3" + length(clen) + length(size) + before, b"\xe0\xff\x00", blocks, behind


def literals(data):
    return b"".join(bytes([len(data[at:at + 32]) - 1]) + data[at:at + 32] for at in range(0, len(data), 32))


def length(value):
    return b"\x80" + struct.pack(">I", value)


def payload(kind, prefix, pack, suffix, version=10):
    """What RESTORE takes: the type, the pack, the format's version and the checksum."""
    head, block, count, tail = pack
    head = bytes([kind]) + prefix + head
    tail = tail + suffix + struct.pack("<H", version)
    crc = crc64(crc64_repeated(crc64(0, head), block, count), tail)
    return b"".join([head, block * count, tail, struct.pack("<Q", crc)])


def giants(run, data, commands):
    """Restores a payload and lets commands grow it; each is answered or refused."""
    run.begin()
    told = []
    for command in [("RESTORE", "k", 0, data), *map(str.split, commands)]:
        try:
            run.control.ask(*command)
            told.append(command[0])
        except Refused as error:
            told.append(f"{command[0]} refused ({words_of(str(error))})")
            if command[0] == "RESTORE":
                break
    run.control.ask("DEL", "k")
    return f"{len(data) / 1e6:.1f} MB sent: " + ", ".join(told)


def giant_size(run):
    return run.size(GB, MB)


@line("giant-packs", "hash")
def giant_hash(run):
    """RESTORE of a hash in a listpack of 1 GiB, from 12 MB; then it grows."""
    pack = giant_pack([b"f", b"v", b"g"], [], giant_size(run))
    return giants(run, payload(16, b"", pack, b""), ["HPEXPIRE k 100000 FIELDS 1 f", "HSET k h 1", "HINCRBY k h 1000"])


@line("giant-packs", "zset")
def giant_zset(run):
    """RESTORE of a sorted set in a listpack of 1 GiB; then it grows."""
    pack = giant_pack([b"m", 1], [2], giant_size(run))
    return giants(run, payload(17, b"", pack, b""), ["ZINCRBY k 1.5 m", "ZADD k 1000 n", "ZINCRBY k 7 m"])


@line("giant-packs", "set")
def giant_set(run):
    """RESTORE of a set in a listpack of 1 GiB; then it grows."""
    pack = giant_pack([b"a"], [], giant_size(run))
    return giants(run, payload(20, b"", pack, b""), ["SADD k b", "SREM k a", "SADD k c"])


@line("giant-packs", "list")
def giant_list(run):
    """RESTORE of a list with a node of 1 GiB; then it grows."""
    pack = giant_pack([b"a"], [], giant_size(run))
    grow = ["LSET k 0 abcdef", "LINSERT k BEFORE abcdef b", "LPUSH k x", "RPUSH k x", "LREM k 1 x", "LSET k 0 abcdefgh"]
    return giants(run, payload(18, b"\x01\x02", pack, b""), grow)


@line("giant-packs", "stream")
def giant_stream(run):
    """RESTORE of a stream with a node of 1 GiB in which 127 entries are marked as deleted; then the 128th is."""
    dead = [value for number in range(127) for value in (3, 0, number, b"v", 4)]
    master, alive = [2, 127, 1, b"f", 0], [2, 1, 0, b"v", 4]
    pack = giant_pack(master + dead + alive + [2, 2, 0], [4], giant_size(run))
    node = b"\x01\x10" + struct.pack(">QQ", 1, 0)
    # Entries, last id, first id, greatest deleted id, entries ever added, groups.
    suffix = bytes([2, 3, 0, 2, 0, 1, 63]) + b"\x40\x81" + b"\x00"
    return giants(run, payload(19, node, pack, suffix), ["XDEL k 2-0", "XADD k 9-0 f v", "XADD k 9-1 g v", "XDEL k 3-0"])


# --- Floods -------------------------------------------------------------------------------------------------------------------

@line("floods", "psubscribe")
def psubscribe(run):
    """400,000 patterns with one literal beginning of one client, which then goes."""
    count, batch = run.size(400_000, 2000), 1000
    client = run.connect()
    for first in range(0, count, batch):
        patterns = [b"news.*%d" % number for number in range(first, first + batch)]
        client.send("PSUBSCRIBE", *patterns)
        client.read_bytes(sum(len(b"*3\r\n$10\r\npsubscribe\r\n:%d\r\n" % (first + place + 1)) + bulk_bytes(len(pattern))
                              for place, pattern in enumerate(patterns)))
    client.close()
    run.until(lambda: run.attackers() <= 0, 40)
    return f"{count} patterns subscribed to, and gone"


def match(run, pattern, name):
    """Has a pattern looked for in a key's name and in a channel's."""
    run.control.ask("SET", name, "v")
    listener = run.connect()
    listener.ask("PSUBSCRIBE", pattern)
    run.begin()
    found = len(run.control.ask("KEYS", pattern)), run.control.ask("PUBLISH", name, "m")
    return f"found in {found[0]} keys and {found[1]} channels"


@line("floods", "glob")
def glob(run):
    """A pattern of 5 KB that nearly matches everywhere, on a name of 50 KB."""
    return match(run, b"*" + b"a" * run.size(5 * KB, 100) + b"b", b"a" * run.size(50 * KB, 1000))


@line("floods", "stars")
def stars(run):
    """A pattern of 2,500 stars, on a name of 5 KB."""
    return match(run, b"*a" * run.size(2500, 20) + b"b", b"a" * run.size(5 * KB, 100))


@line("floods", "classes")
def classes(run):
    """A class of 20 KB that is looked at everywhere, on a name of 50 KB."""
    members = b"bcdefghijklmnopqrstuvwxy" * run.size(850, 5)
    return match(run, b"*[" + members + b"]z", b"a" * run.size(50 * KB, 1000))


C1, C2, WORD = 0xCC9E2D51, 0x1B873593, 0xFFFFFFFF


def rotate(value, count):
    """To the right, 32 bits."""
    return (value >> count | value << (32 - count)) & WORD


def mur(a, h):
    """FarmHash's step, which takes four more bytes into the hash."""
    h ^= rotate(a * C1 & WORD, 17) * C2 & WORD
    return (rotate(h, 19) * 5 + 0xE6546B64) & WORD


def unmur(h, before):
    """The four bytes that lead from one state to another."""
    h = rotate((h - 0xE6546B64) * pow(5, -1, 1 << 32) & WORD, 13) ^ before
    return rotate(h * pow(C2, -1, 1 << 32) & WORD, 15) * pow(C1, -1, 1 << 32) & WORD


def same_fingerprint(count):
    """Keys whose GET has one fingerprint. FarmHash takes a text of twelve bytes four at a time, each step of which can be undone:
    for any last four bytes of a key there are four before them that lead to the wanted hash."""
    (name,) = struct.unpack("<I", b"GET ")
    first, wanted, keys = mur(12 + name, 60), 0x12345678, []
    for last in range(count):
        middle = unmur(wanted, mur(60 + last, first)) - 9
        if middle >= 0:
            keys.append(struct.pack("<II", middle, last))
    return keys


def watch_and_go(run, keys):
    """A client watches GET of every key, some of which then change, and goes. Returns the fingerprints seen and the seconds of
    the server's time that it took."""
    before, seen, client = run.server.cpu_s(), set(), run.connect()
    for first in range(0, len(keys), 500):
        batch = keys[first:first + 500]
        client.socket.sendall(b"".join(encode("GET.WATCH", key) for key in batch))
        seen.update(client.reply()[1] for _ in batch)
    for key in keys[:100]:
        run.control.ask("SET", key, "v")
    client.close()
    run.until(lambda: run.attackers() <= 0, 40)
    # What is done a piece a turn is done after so many turns.
    for _ in range(200):
        run.control.ask("PING")
    return seen, run.server.cpu_s() - before


@line("floods", "fingerprints", only="aleadb")
def fingerprints(run):
    """32,000 live queries whose fingerprint is the same; then the client goes. Beside as many with a fingerprint each."""
    keys = same_fingerprint(run.size(32_000, 500))
    _, ordinary_s = watch_and_go(run, [b"key%05d" % number for number in range(len(keys))])
    run.begin()
    seen, alike_s = watch_and_go(run, keys)
    if len(seen) != 1:
        run.fault(f"{len(seen)} fingerprints")
    if alike_s > 3 * ordinary_s and not run.smoke:
        run.fault("the server's time is not that of ordinary queries")
    return f"{len(keys)} queries in {alike_s:.2f} s of CPU, ordinary ones in {ordinary_s:.2f} s"


# --- Churn --------------------------------------------------------------------------------------------------------------------

@line("churn", "values")
def churn(run):
    """200 MB of values of 16 to 64 KB, loaded and deleted in turns; resident must stay near what is used."""
    rounds, total, value = run.size(12, 3), run.size(200 * 10**6, 2 * 10**6), b"v" * (64 * KB)
    draw, previous, worst = random.Random(1), [], 0.0
    for turn in range(rounds):
        keys, pending, loaded = [], [], 0
        while loaded < total:
            size = draw.randint(16 * KB, 64 * KB)
            keys.append(f"churn:{turn}:{len(keys)}")
            pending.append(encode("SET", keys[-1], value[:size]))
            loaded += size
            if len(pending) == 32 or loaded >= total:
                run.control.socket.sendall(b"".join(pending))
                for _ in pending:
                    run.control.reply()
                pending.clear()
        for first in range(0, len(previous), 200):
            run.control.ask("DEL", *previous[first:first + 200])
        previous = keys
        used = int(run.information("memory")["used_memory"])
        worst = max(worst, run.memory("VmRSS") / used)
    return f"resident at most {worst:.2f} of used after {rounds} rounds"


# --- Limits inside one command ------------------------------------------------------------------------------------------------

def cut_off(run, *commands):
    """A client sends commands whose replies exceed its limit; it must be cut off, and what it is owed not be kept."""
    run.control.ask("CONFIG", "SET", "client-output-buffer-limit", f"normal {run.size(10 * MB, 64 * KB)} 0 0")
    run.begin()
    client = run.connect()
    for command in commands:
        client.send(*command)
    run.until(lambda: run.attackers() <= 0 or client.is_refused(), 20)
    if client.is_refused():
        return "refused"
    if run.attackers() <= 0:
        return "closed"
    run.fault("not cut off at its limit")
    return "served"


# More than a server has time for.
ENDLESS = -10**8


@line("in-one-command", "srandmember")
def srandmember(run):
    """SRANDMEMBER of five million members, ten megabytes being the limit."""
    run.control.ask("SADD", "s", *[f"{number:0200}" for number in range(100)])
    return cut_off(run, ("SRANDMEMBER", "s", run.size(-5_000_000, -500_000)))


@line("in-one-command", "srandmember-endless")
def srandmember_endless(run):
    """SRANDMEMBER of a hundred million members, ten megabytes being the limit."""
    run.control.ask("SADD", "s", *range(100))
    return cut_off(run, ("SRANDMEMBER", "s", ENDLESS))


@line("in-one-command", "hrandfield-endless")
def hrandfield_endless(run):
    """HRANDFIELD of a hundred million fields with values, ten megabytes being the limit."""
    run.control.ask("HSET", "h", *[word for number in range(100) for word in (number, "v" * 50)])
    return cut_off(run, ("HRANDFIELD", "h", ENDLESS, "WITHVALUES"))


@line("in-one-command", "zrandmember-endless")
def zrandmember_endless(run):
    """ZRANDMEMBER of a hundred million members, ten megabytes being the limit."""
    run.control.ask("ZADD", "z", *[word for number in range(100) for word in (number, number)])
    return cut_off(run, ("ZRANDMEMBER", "z", ENDLESS, "WITHSCORES"))


@line("in-one-command", "multi")
def multi(run):
    """A transaction of a hundred LRANGEs of 6 MB each, ten megabytes being the limit."""
    run.control.ask("RPUSH", "list", *["e" * 93] * run.size(60_000, 1000))
    return cut_off(run, ("MULTI",), *[("LRANGE", "list", 0, -1)] * 100, ("EXEC",))


@line("in-one-command", "bitcount")
def bitcount(run):
    """BITCOUNT of 512 MB, and of a range of bits of it."""
    run.control.ask("SETBIT", "bits", run.size(2**32 - 1, 2**20 - 1), 0)
    # What was never written is the kernel's page of zeros.
    run.control.ask("BITOP", "NOT", "bits", "bits")
    run.begin()
    return f"{run.control.ask('BITCOUNT', 'bits')} counted, {run.control.ask('BITCOUNT', 'bits', 3, -5, 'BIT')} of a range"


@line("in-one-command", "dump")
def dump(run):
    """DUMP of a list of 6 MB, four times."""
    draw = random.Random(1)
    for _ in range(60):
        run.control.ask("RPUSH", "list", *[draw.randbytes(100) for _ in range(run.size(1000, 20))])
    run.begin()
    sizes = {len(run.control.ask("DUMP", "list")) for _ in range(4)}
    return f"{max(sizes) / 1e6:.1f} MB answered"


@line("in-one-command", "setrange")
def setrange(run):
    """SETRANGE up to 500 MB and DEL, three times; then 20 MB, ten times."""
    for size, times in ((run.size(500 * 10**6, 10**6), 3), (run.size(20 * 10**6, 10**5), 10)):
        for _ in range(times):
            run.control.ask("SETRANGE", "text", size, "x")
            run.control.ask("DEL", "text")
    return f"{(run.memory('VmRSS') or 0) / 1e6:.0f} MB resident in the end"


@line("in-one-command", "lpush")
def lpush(run):
    """A list of 10 MB grows at its front, element by element, pipelined."""
    count = run.size(100_000, 1000)
    client = run.connect()
    data = encode("LPUSH", "list", "e" * 100) * count
    flood([client], data)
    for _ in range(count):
        client.reply()
    return f"{count} answered"


# --- Databases at the start ---------------------------------------------------------------------------------------------------

@line("databases", "many", starts=True)
def databases_many(command, smoke):
    """A start with 100,000 databases: how long (as stall), how much memory."""
    count = 1000 if smoke else 100_000
    figures = []
    for options in ("", f" --databases {count}"):
        try:
            with Server(command + options, subprocess.DEVNULL) as server:
                figures.append((server.first_pong_ms, server.resident_settled()))
        except SystemExit:
            return "refused to start", None, None
    (plain_ms, plain), (many_ms, many) = figures
    return f"started with {count}", max(0.0, many_ms - plain_ms), (many - plain) / 1e6


@line("databases", "most", starts=True)
def databases_most(command, smoke):
    """A start with as many databases as the directive's type allows, and 2 GB of addresses: served or refused, not aborted."""
    port = free_port()
    words = shlex.split((command + " --databases 2147483647").format(port=port))
    limit = 2 * GB
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    started, outcome, faults, ended = time.monotonic(), None, [], False
    while outcome is None and time.monotonic() < started + START_DEADLINE_S:
        if process.poll() is not None:
            outcome = f"ended with status {process.returncode}"
            ended = process.returncode < 0
        else:
            outcome = "started" if answers(port) else None
            time.sleep(0.01)
    if outcome is None:
        outcome, faults = "overdue", ["neither answers nor ends"]
    process.kill()
    process.wait()
    return outcome, None, None, 0, faults, ended


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
            client.sendall(encode("PING"))
            return client.recv(64).startswith(b"+PONG")
    except OSError:
        return False

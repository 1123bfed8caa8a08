"""redis-py against a server on 127.0.0.1: `redis_py.py PORT`. Prints `redis-py: ok` at the end, or fails.

Covers what applications do through the library: every data type, expiry, pipelines, both protocols, iteration, pools,
errors, queues whose consumers wait, optimistic transactions, hashes with field deadlines, consumer groups, leaderboards, and what
Redis has added since 8.2.
"""

import sys
import threading
import time
import warnings

import redis

# The library warns of calls that are new, and of some that are old.
warnings.simplefilter("ignore")


def expect(found, wanted):
    assert found == wanted, f"{found!r} instead of {wanted!r}"


def expect_error(kind, text, action):
    try:
        result = action()
    except kind as error:
        assert text in str(error), f"{error!s} without {text!r}"
    else:
        raise AssertionError(f"{result!r} instead of an error with {text!r}")


def strings(db):
    expect(db.set("name", "value"), True)
    expect(db.get("name"), "value")
    expect(db.get("missing"), None)
    expect(db.set("name", "other", nx=True), None)
    expect(db.set("name", "newer", get=True), "value")
    expect(db.getset("name", "last"), "newer")
    expect(db.append("name", "ing"), 7)
    expect(db.strlen("name"), 7)
    expect(db.getrange("name", 1, 3), "ast")
    expect(db.setrange("name", 0, "f"), 7)
    expect(db.getdel("name"), "fasting")
    expect(db.mset({"a": "1", "b": "2"}), True)
    expect(db.mget("a", "missing", "b"), ["1", None, "2"])
    expect(db.incr("a", 41), 42)
    expect(db.decr("b"), 1)
    expect(db.incrbyfloat("a", 0.5), 42.5)
    expect(db.setnx("a", "x"), False)
    expect(db.exists("a", "b", "missing"), 2)
    expect(db.type("a"), "string")
    expect(db.rename("a", "c"), True)
    expect(db.delete("b", "c", "missing"), 2)
    expect_error(redis.ResponseError, "value is not an integer", lambda: (db.set("s", "x"), db.incr("s")))
    expect_error(redis.ResponseError, "unknown command 'NONSENSE'", lambda: db.execute_command("NONSENSE"))


def bytes_survive(port, protocol):
    with redis.Redis(port=port, protocol=protocol) as db:
        value = bytes(range(256)) * 1000
        db.set(b"\x00\xff", value)
        expect(db.get(b"\x00\xff"), value)
        db.delete(b"\x00\xff")


def expiry(db):
    expect(db.setex("brief", 100, "x"), True)
    assert 99 <= db.ttl("brief") <= 100
    expect(db.persist("brief"), True)
    expect(db.ttl("brief"), -1)
    expect(db.expire("brief", 50, xx=True), False)
    expect(db.expire("brief", 50), True)
    expect(db.ttl("missing"), -2)
    expect(db.getex("brief", px=40_000), "x")
    assert 39_000 <= db.pttl("brief") <= 40_000
    expect(db.expireat("brief", 1), True)
    expect(db.get("brief"), None)
    # What is due is gone without anybody asking for it.
    db.set("due", "x", px=20)
    deadline = time.monotonic() + 10
    while db.dbsize() != 0:
        assert time.monotonic() < deadline, db.keys()


def pipelines(db):
    pipe = db.pipeline(transaction=False)
    for number in range(5000):
        pipe.set(f"p:{number}", number)
    expect(pipe.execute(), [True] * 5000)
    for number in range(5000):
        pipe.get(f"p:{number}")
    expect(pipe.execute(), [str(number) for number in range(5000)])
    pipe.set("word", "x").incr("word").get("word")
    set_, error, get = pipe.execute(raise_on_error=False)
    expect((set_, get), (True, "x"))
    assert isinstance(error, redis.ResponseError), error


def iteration(db):
    found = list(db.scan_iter(match="p:*", count=100))
    expect(set(found), {f"p:{number}" for number in range(5000)})
    expect(set(db.scan_iter(match="p:12?")), {f"p:12{digit}" for digit in range(10)})
    expect(set(db.keys("p:499?")), {f"p:499{digit}" for digit in range(10)})
    expect(db.dbsize(), 5001)
    expect(db.flushdb(), True)
    expect(list(db.scan_iter()), [])


def pool(port, protocol):
    connections = redis.BlockingConnectionPool(
        port=port, protocol=protocol, max_connections=4, timeout=20, decode_responses=True
    )
    db = redis.Redis(connection_pool=connections)
    errors = []

    def work():
        try:
            for _ in range(200):
                db.incr("shared")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(errors, [])
    expect(db.getdel("shared"), "3200")
    connections.disconnect()


def subscriptions(db, port, protocol):
    expect(db.config_set("notify-keyspace-events", "KEA"), True)
    with redis.Redis(port=port, protocol=protocol, decode_responses=True) as other, other.pubsub() as listener:
        listener.subscribe("news", "weather")
        listener.psubscribe("__keyspace@0__:*")
        listener.ssubscribe("shard")
        heard = iter(lambda: listener.get_message(timeout=20), None)
        expect([next(heard)["type"] for _ in range(4)], ["subscribe", "subscribe", "psubscribe", "ssubscribe"])
        expect(db.publish("news", "hello"), 1)
        message = next(heard)
        expect((message["type"], message["channel"], message["data"]), ("message", "news", "hello"))
        expect(db.set("k", "v"), True)
        message = next(heard)
        expect((message["type"], message["channel"], message["data"]), ("pmessage", "__keyspace@0__:k", "set"))
        expect(db.spublish("shard", "x"), 1)
        expect(listener.get_sharded_message(timeout=20)["data"], "x")
        expect(db.pubsub_numsub("news", "missing"), [("news", 1), ("missing", 0)])
        expect((db.pubsub_numpat(), sorted(db.pubsub_channels())), (1, ["news", "weather"]))
        if protocol == 2:
            # With the third protocol redis-py cannot read the answer, which is no push.
            listener.ping("still there")
            expect(next(heard)["data"], "still there")
        listener.unsubscribe("weather")
        expect(next(heard)["type"], "unsubscribe")
    expect(db.config_set("notify-keyspace-events", ""), True)
    db.delete("k")


def pop_in_another_thread(db_of, action):
    """Starts a client that waits; what `action` returned is in the list once the thread has been joined."""
    results = []
    ready = threading.Event()

    def work():
        with db_of() as other:
            other.ping()
            ready.set()
            results.append(action(other))

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(20)
    return thread, results


def until_blocked(db, clients):
    deadline = time.monotonic() + 20
    while db.info("clients")["blocked_clients"] != clients:
        assert time.monotonic() < deadline, db.info("clients")


def queues(db, port, protocol):
    """Producers and consumers: the consumers wait, and each job reaches exactly one of them."""

    def connect():
        return redis.Redis(port=port, protocol=protocol, decode_responses=True)

    def consume(other):
        jobs = []
        while (job := other.blpop(["urgent", "jobs"], timeout=20)[1]) != "stop":
            jobs.append(job)
        return jobs

    consumers = [pop_in_another_thread(connect, consume) for _ in range(3)]
    until_blocked(db, 3)
    jobs = [f"job {number}" for number in range(600)]
    for job in jobs:
        db.rpush("urgent" if job.endswith("0") else "jobs", job)
    db.rpush("jobs", "stop", "stop", "stop")
    for thread, _ in consumers:
        thread.join(20)
    expect(sorted(job for _, results in consumers for job in results[0]), sorted(jobs))
    expect((db.exists("urgent", "jobs"), db.info("clients")["blocked_clients"]), (0, 0))
    expect(db.blpop("jobs", timeout=0.01), None)
    expect(db.brpoplpush("jobs", "done", timeout=1) if db.lpush("jobs", "x") else None, "x")
    expect(db.blmove("done", "jobs", timeout=1, src="LEFT", dest="RIGHT"), "x")
    expect(db.blmpop(1, 2, "done", "jobs", direction="LEFT"), ["jobs", ["x"]])
    thread, results = pop_in_another_thread(connect, lambda other: other.bzpopmin("board", timeout=20))
    until_blocked(db, 1)
    db.zadd("board", {"late": 2, "early": 1})
    thread.join(20)
    expect([list(result) for result in results], [["board", "early", 1.0]])
    db.delete("board")


def transactions(db, port, protocol):
    """Optimistic locking as redis-py does it: WATCH, and again if another client was quicker."""
    with redis.Redis(port=port, protocol=protocol, decode_responses=True) as other:
        db.set("stock", 10)
        interruptions = iter([True, True, False])
        with db.pipeline() as pipe:
            attempts = 0
            while True:
                try:
                    attempts += 1
                    pipe.watch("stock")
                    stock = int(pipe.get("stock"))
                    if next(interruptions):
                        other.decr("stock")
                    pipe.multi()
                    pipe.set("stock", stock - 1).rpush("sold", stock).get("stock")
                    expect(pipe.execute(), [True, 1, str(stock - 1)])
                    break
                except redis.WatchError:
                    continue
        expect((attempts, db.get("stock"), db.lrange("sold", 0, -1)), (3, "7", ["8"]))
        expect(db.transaction(lambda pipe: pipe.multi() or pipe.incr("stock"), "stock"), [8])
        pipe = db.pipeline(transaction=True)
        pipe.lpush("stock", 1).incr("stock")
        refused, incremented = pipe.execute(raise_on_error=False)
        assert isinstance(refused, redis.ResponseError) and "WRONGTYPE" in str(refused), refused
        expect(incremented, 9)
        # In parallel, no increment is lost.
        pool_of = redis.ConnectionPool(port=port, protocol=protocol, decode_responses=True)
        shared = redis.Redis(connection_pool=pool_of)

        def increment(pipe):
            value = int(pipe.get("stock"))
            pipe.multi()
            pipe.set("stock", value + 1)

        threads = [
            threading.Thread(target=lambda: [shared.transaction(increment, "stock") for _ in range(25)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect(db.get("stock"), "109")
        pool_of.disconnect()
    db.delete("stock", "sold")


def hashes(db):
    expect(db.hset("user", mapping={"name": "Ada", "visits": 1, "session": "s1", "otp": "1234"}), 4)
    expect(db.hincrby("user", "visits", 2), 3)
    expect(db.hmget("user", "name", "missing"), ["Ada", None])
    expect(db.hexpire("user", 100, "session", "missing"), [1, -2])
    assert 99 <= db.httl("user", "session")[0] <= 100
    expect(db.httl("user", "name", "missing"), [-1, -2])
    expect(db.hpersist("user", "session"), [1])
    expect(db.hpexpire("user", 20, "otp"), [1])
    deadline = time.monotonic() + 10
    while db.hlen("user") != 3:
        assert time.monotonic() < deadline, db.hgetall("user")
    expect(db.hgetall("user"), {"name": "Ada", "visits": "3", "session": "s1"})
    expect(db.hsetex("user", mapping={"otp": "5678"}, ex=100), 1)
    expect(db.hgetex("user", "otp", persist=True), ["5678"])
    expect(db.hgetdel("user", "otp", "missing"), ["5678", None])
    expect(dict(db.hscan_iter("user", match="n*")), {"name": "Ada"})
    db.delete("user")


def streams(db, port, protocol):
    """A consumer group: entries are shared out, acknowledged, and taken over from a consumer that has gone."""
    expect(db.xgroup_create("orders", "billing", id="$", mkstream=True), True)
    expect_error(
        redis.ResponseError, "BUSYGROUP", lambda: db.xgroup_create("orders", "billing", id="$", mkstream=True)
    )

    def read(name, block=None):
        def action(other):
            found = other.xreadgroup("billing", name, {"orders": ">"}, count=2, block=block)
            streams = found.items() if isinstance(found, dict) else found
            return [entry for _, entries in streams for entry in (entries[0] if protocol == 3 else entries)]

        return action

    def connect():
        return redis.Redis(port=port, protocol=protocol, decode_responses=True)

    thread, results = pop_in_another_thread(connect, read("ann", 20_000))
    until_blocked(db, 1)
    ids = [db.xadd("orders", {"number": number}) for number in range(5)]
    thread.join(20)
    expect([[(entry[0], entry[1]) for entry in entries] for entries in results], [[(ids[0], {"number": "0"})]])
    expect([entry[0] for entry in read("bob")(db)], ids[1:3])
    expect([entry[0] for entry in read("ann")(db)], ids[3:])
    expect(read("ann")(db), [])
    expect(db.xack("orders", "billing", *ids[3:]), 2)
    pending = db.xpending("orders", "billing")
    expect((pending["pending"], pending["min"], pending["max"]), (3, ids[0], ids[2]))
    expect([row["consumer"] for row in db.xpending_range("orders", "billing", "-", "+", 10)], ["ann", "bob", "bob"])
    claimed = db.xautoclaim("orders", "billing", "ann", min_idle_time=0, start_id=ids[1])
    expect([entry[0] for entry in claimed[1]], ids[1:3])
    expect(db.xack("orders", "billing", *ids), 3)
    expect(db.xpending("orders", "billing")["pending"], 0)
    expect(db.xlen("orders"), 5)
    expect(db.xtrim("orders", maxlen=2, approximate=False), 3)
    expect([entry[0] for entry in db.xrevrange("orders")], ids[:2:-1])
    expect(db.xinfo_stream("orders")["length"], 2)
    expect([group["name"] for group in db.xinfo_groups("orders")], ["billing"])
    db.delete("orders")


def leaderboard(db):
    players = {f"player {number}": number * 10 for number in range(100)}
    expect(db.zadd("scores", players), 100)
    expect(db.zincrby("scores", 955.5, "player 3"), 985.5)
    top = [tuple(row) for row in db.zrevrange("scores", 0, 2, withscores=True)]
    expect(top, [("player 99", 990.0), ("player 3", 985.5), ("player 98", 980.0)])
    expect((db.zrevrank("scores", "player 3"), db.zrank("scores", "nobody")), (1, None))
    expect(db.zscore("scores", "player 50"), 500.0)
    expect(db.zrange("scores", 15, 35, byscore=True), ["player 2"])
    expect(db.zrange("scores", 500, 0, byscore=True, desc=True, offset=0, num=2), ["player 50", "player 49"])
    expect(db.zadd("scores", {"player 50": 1}, gt=True, ch=True), 0)
    expect(db.zcount("scores", "(980", "+inf"), 2)
    expect(db.zrangestore("best", "scores", 0, 9, desc=True), 10)
    expect(db.zremrangebyrank("best", 0, 6), 7)
    expect([tuple(row) for row in db.zpopmax("best", 1)], [("player 99", 990.0)])
    expect(db.zunionstore("both", {"best": 2, "scores": 1}), 100)
    expect(db.zscore("both", "player 3"), 2956.5)
    expect(db.zcard("scores"), 100)
    expect(len(list(db.zscan_iter("scores"))), 100)
    db.delete("scores", "best", "both")


def lists(db):
    expect(db.rpush("list", "a", "b", "c", "b"), 4)
    expect(db.lrange("list", 0, -1), ["a", "b", "c", "b"])
    expect(db.lpos("list", "b", count=0), [1, 3])
    expect(db.linsert("list", "before", "c", "x"), 5)
    expect(db.lrem("list", -1, "b"), 1)
    expect(db.ltrim("list", 1, -1), True)
    expect(db.lmove("list", "other", "LEFT", "RIGHT"), "b")
    expect(db.lset("list", 0, "X"), True)
    expect(db.sort("list", alpha=True, desc=True), ["c", "X"])
    expect((db.lpop("list", 5), db.exists("list"), db.llen("other")), (["X", "c"], 0, 1))
    db.delete("other")


def sets(db):
    expect((db.sadd("odd", 1, 3, 5), db.sadd("prime", 2, 3, 5)), (3, 3))
    # redis-py makes sets of set replies with the second protocol, and leaves them as lists with the third.
    expect(set(db.sinter("odd", "prime")), {"3", "5"})
    expect(set(db.sunion("odd", "prime")), {"1", "2", "3", "5"})
    expect(set(db.sdiff("odd", "prime")), {"1"})
    expect((db.smismember("odd", ["1", "2"]), db.sintercard(2, ["odd", "prime"])), ([1, 0], 2))
    expect((db.smove("odd", "prime", 1), db.scard("prime"), db.srem("odd", 3, 4)), (True, 4, 1))
    expect(set(db.sscan_iter("prime")), {"1", "2", "3", "5"})
    expect((db.spop("odd"), db.exists("odd")), ("5", 0))
    db.delete("prime")


def bitmaps(db):
    expect((db.setbit("bits", 7, 1), db.setbit("bits", 8, 1)), (0, 0))
    expect((db.getbit("bits", 7), db.bitcount("bits"), db.bitcount("bits", 0, 0), db.bitpos("bits", 1)), (1, 2, 1, 7))
    expect(db.bitop("XOR", "none", "bits", "bits"), 2)
    expect(db.bitcount("none"), 0)
    expect(db.bitfield("bits").set("u8", 0, 255).incrby("u8", "#1", 200, overflow="SAT").execute(), [1, 255])
    db.delete("bits", "none")


def hyperloglogs(db):
    expect((db.pfadd("monday", "ann", "bob"), db.pfadd("monday", "ann"), db.pfadd("tuesday", "bob", "eve")), (1, 0, 1))
    expect((db.pfcount("monday"), db.pfcount("monday", "tuesday")), (2, 3))
    expect((db.pfmerge("both", "monday", "tuesday"), db.pfcount("both")), (True, 3))
    db.delete("monday", "tuesday", "both")


def geo(db):
    expect(db.geoadd("sicily", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")), 2)
    expect(db.geodist("sicily", "Palermo", "Catania", "km"), 166.2742)
    expect(db.geohash("sicily", "Palermo", "missing"), ["sqc8b49rny0", None])
    longitude, latitude = db.geopos("sicily", "Palermo")[0]
    assert abs(longitude - 13.361389) < 1e-5 and abs(latitude - 38.115556) < 1e-5, (longitude, latitude)
    near = db.geosearch("sicily", longitude=15, latitude=37, radius=200, unit="km", sort="ASC", withdist=True)
    expect([tuple(row) for row in near], [("Catania", 56.4413), ("Palermo", 190.4424)])
    db.delete("sicily")


def newer_strings(db):
    """What Redis 8.4 to 8.8 have added, by the library's own calls."""
    expect(db.set("s", "one"), True)
    expect((db.set("s", "x", ifeq="two"), db.set("s", "two", ifeq="one"), db.get("s")), (None, True, "two"))
    digest = db.digest("s")
    expect((db.set("s", "three", ifdne=digest), db.set("s", "three", ifdeq=digest)), (None, True))
    expect(db.set("s", "four", ifne="four", get=True), "three")
    expect((db.delex("s", ifeq="three"), db.delex("s", ifeq="four"), db.delex("s")), (0, 1, 0))
    nx = redis.commands.core.DataPersistOptions.NX
    expect(db.msetex({"a": "1", "b": "2"}, ex=100), 1)
    expect(db.msetex({"b": "3", "c": "4"}, data_persist_option=nx), 0)
    assert 99 <= db.ttl("a") <= 100
    expect([int(n) for n in db.increx("n", byint=5, ubound=7, ex=100)], [5, 5])
    expect([int(n) for n in db.increx("n", byint=5, ubound=7)], [5, 0])
    expect([int(n) for n in db.increx("n", byint=5, ubound=7, saturate=True)], [7, 2])
    expect([float(x) for x in db.increx("x", byfloat=0.5)], [0.5, 0.5])
    db.delete("a", "b", "n", "x")


def newer_collections(db):
    """What Redis 8.8 and 8.10 have added to collections, and our own members with deadlines."""
    db.rpush("from", "a", "b", "c", "d")
    expect(db.lmovem("from", "to", "LEFT", "RIGHT", count=2, mode="COUNT", ordering="BULK"), ["a", "b"])
    expect(db.lmovem("from", "to", "LEFT", "LEFT", count=3, mode="EXACTLY", ordering="OBO"), None)
    expect(db.blmovem("from", "to", 0.05, "LEFT", "LEFT", count=2, mode="EXACTLY", ordering="OBO"), ["d", "c"])
    expect(db.lrange("to", 0, -1), ["d", "c", "a", "b"])
    db.sadd("first", "a", "b", "c")
    db.sadd("second", "b")
    expect((db.sunioncard(2, ["first", "second"]), db.sdiffcard(2, ["first", "second"], limit=1)), (3, 1))
    db.zadd("ranked", {"a": 1, "b": 2})
    expect(db.zunion(["ranked", "second"], aggregate="COUNT", withscores=True), [wanted(db, "a", 1), wanted(db, "b", 2)])
    expect((db.himport_prepare("person", ["name", "age"]), db.himport_set("ann", "person", ["Ann", 30])), (True, True))
    expect((db.hgetall("ann"), db.himport_discard("person")), ({"name": "Ann", "age": "30"}, 1))
    expect((db.arset("log", 5, "x", "y"), db.arget("log", 6), db.arscan("log", 0, 9)), (2, "y", [[5, "x"], [6, "y"]]))
    core = redis.commands.core
    expect(db.argrep("log", 0, 9, [(core.ArrayPredicateType.GLOB, "[y-z]")]), [6])
    expect(int(db.arop("log", 0, 9, core.ArrayAggregateOperations.USED)), 2)
    expect(db.arinfo("log")["count"], 2)
    expect(db.execute_command("SADDEX", "present", "PX", 60000, "MEMBERS", 1, "ann"), 1)
    expect(db.execute_command("ZADDEX", "board", "PX", 20, "MEMBERS", 2, 7, "ann", 9, "bob"), 1)
    expect(db.execute_command("ZPERSIST", "board", "MEMBERS", 1, "ann"), [1])
    deadline = time.monotonic() + 10
    while db.zscore("board", "bob") is not None:
        assert time.monotonic() < deadline
    expect((db.zrange("board", 0, -1), db.smembers("present")), (["ann"], {"ann"}))
    db.delete("from", "to", "first", "second", "ranked", "ann", "log", "present", "board")


def wanted(db, member, score):
    """A member with its score, as the library shows it in either protocol."""
    pair = (member, float(score))
    return list(pair) if db.connection_pool.connection_kwargs.get("protocol") == 3 else pair


def newer_streams(db):
    """What Redis 8.4 to 8.10 have added to streams."""
    first = db.xadd("s", {"f": "v"}, idmp=("producer", b"1"))
    expect((db.xadd("s", {"f": "v"}, idmp=("producer", b"1")), db.xlen("s")), (first, 1))
    db.xcfgset("s", idmp_duration=5, idmp_maxsize=50)
    expect(db.xinfo_stream("s")["idmp-maxsize"], 50)
    db.xadd("s", {"f": "w"})
    db.xgroup_create("s", "g", "0")
    expect(len(entries(db.xreadgroup("g", "one", {"s": ">"}, max_count=1))), 1)
    expect(db.xnack("s", "g", "FAIL", first), 1)
    claimed = entries(db.xreadgroup("g", "two", {"s": ">"}, claim_min_idle_time=60_000))
    expect([entry[0] for entry in claimed][0], first)
    expect(len(claimed), 2)
    db.delete("s")


def entries(found):
    """The entries of one stream, as the library shows them in either protocol."""
    streams = found.values() if isinstance(found, dict) else [pair[1] for pair in found]
    (of_stream,) = streams
    return of_stream[0] if len(of_stream) == 1 and of_stream and isinstance(of_stream[0], list) else of_stream


def administration(db):
    assert db.ping()
    expect(db.echo("a b"), "a b")
    expect(db.client_setname("tester"), True)
    expect(db.client_getname(), "tester")
    assert any(client["name"] == "tester" for client in db.client_list())
    expect(db.config_get("maxclients"), {"maxclients": "10000"})
    expect(db.config_set("timeout", 0), True)
    info = db.info()
    assert info["redis_version"] and info["connected_clients"] >= 1, info
    assert abs(db.time()[0] - time.time()) < 60
    assert db.command_count() > 20


def users(db, port, protocol):
    rules = {"enabled": True, "passwords": ["+secret"], "categories": ["+@read", "+@connection"], "keys": ["cache:*"]}
    expect(db.acl_setuser("alice", **rules, commands=["+acl|whoami", "-mget"], channels=["news:*"]), True)
    expect(db.acl_users(), ["alice", "default"])
    alice = db.acl_getuser("alice")
    expect((alice["keys"], alice["channels"], alice["enabled"]), (["~cache:*"], ["&news:*"], True))
    expect(sorted(alice["categories"]), ["+@connection", "+@read", "-@all"])
    expect(sorted(alice["commands"]), ["+acl|whoami", "-mget"])
    db.set("cache:1", "x")
    options = {"port": port, "protocol": protocol, "decode_responses": True, "username": "alice"}
    with redis.Redis(**options, password="wrong") as other:
        expect_error(redis.AuthenticationError, "invalid username-password pair", lambda: other.get("cache:1"))
    with redis.Redis(**options, password="secret") as other:
        expect(other.acl_whoami(), "alice")
        expect(other.get("cache:1"), "x")
        no_permission = redis.exceptions.NoPermissionError
        expect_error(no_permission, "No permissions to access a key", lambda: other.get("other"))
        expect_error(no_permission, "no permissions to run the 'mget' command", lambda: other.mget("cache:1"))
        expect_error(no_permission, "no permissions to run the 'set' command", lambda: other.set("cache:1", "y"))
    refused = [(entry["reason"], entry["object"], entry["username"]) for entry in db.acl_log()]
    login = "AUTH" if protocol == 2 else "HELLO"
    wanted = [("command", "set"), ("command", "mget"), ("key", "other"), ("auth", login)]
    expect(refused, [(*what, "alice") for what in wanted])
    expect(db.acl_log_reset(), True)
    expect("get" in db.acl_cat("read"), True)
    expect(db.acl_dryrun("alice", "get", "cache:2"), "OK")
    expect(len(db.acl_genpass(128)), 32)
    expect(db.acl_deluser("alice"), 1)
    db.delete("cache:1")


def client_side_caching(port):
    from redis.cache import CacheConfig

    with redis.Redis(port=port, protocol=3, decode_responses=True, cache_config=CacheConfig()) as db, \
            redis.Redis(port=port, decode_responses=True) as other:
        other.set("cached", "1")
        expect((db.get("cached"), db.get("cached")), ("1", "1"))
        expect(db.get_cache().size, 1)
        for change, value in (
            (lambda: other.set("cached", "2"), "2"),
            (lambda: other.set("cached", "3", px=30), None),
            (lambda: other.set("cached", "4"), "4"),
            (lambda: other.flushall(), None),
        ):
            change()
            deadline = time.monotonic() + 10
            while db.get("cached") != value:
                assert time.monotonic() < deadline, value
        expect(other.info("stats")["tracking_total_keys"], 1)
        other.delete("cached")


def main():
    port = int(sys.argv[1])
    for protocol in (2, 3):
        with redis.Redis(port=port, protocol=protocol, decode_responses=True, single_connection_client=True) as db:
            db.flushall()
            strings(db)
            db.flushall()
            bytes_survive(port, protocol)
            expiry(db)
            pipelines(db)
            iteration(db)
            subscriptions(db, port, protocol)
            queues(db, port, protocol)
            transactions(db, port, protocol)
            hashes(db)
            streams(db, port, protocol)
            leaderboard(db)
            lists(db)
            sets(db)
            bitmaps(db)
            hyperloglogs(db)
            geo(db)
            newer_strings(db)
            newer_collections(db)
            newer_streams(db)
            administration(db)
            users(db, port, protocol)
        pool(port, protocol)
    client_side_caching(port)
    for protocol in (2, 3):
        with redis.Redis(port=port, db=5, protocol=protocol) as other:
            expect(other.dbsize(), 0)
    print("redis-py: ok")


if __name__ == "__main__":
    main()

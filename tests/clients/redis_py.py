"""redis-py against a server on 127.0.0.1: `redis_py.py PORT`. Prints `redis-py: ok` at the end, or fails.

Covers what applications do through the library: strings, expiry, pipelines, both protocols, iteration, pools, errors.
"""

import sys
import threading
import time

import redis


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
            administration(db)
        pool(port, protocol)
        with redis.Redis(port=port, db=5, protocol=protocol) as other:
            expect(other.dbsize(), 0)
    print("redis-py: ok")


if __name__ == "__main__":
    main()

// ioredis against a server on 127.0.0.1: `ioredis.js PORT`, with NODE_PATH naming the directory that holds the packages
// `ioredis` (version 6) and `ioredis-5`. Prints `ioredis: ok` at the end, or fails.
//
// Covers what applications do through the library, once in each protocol it speaks: every data type, fields and keys that
// expire, pipelines, transactions, consumers that wait, iteration by streams, subscriptions, errors, administration.
"use strict";

const { deepStrictEqual: expect, ok, rejects } = require("node:assert");
const { once } = require("node:events");
const { until, blocked } = require("./waiting.js");

const [port] = process.argv.slice(2);

/** Runs `action` with another connection like `db`'s. */
async function beside(db, action) {
  const other = db.duplicate();
  try {
    return await action(other);
  } finally {
    other.disconnect();
  }
}

/** Every element that an object stream delivers. */
async function collect(stream) {
  const found = [];
  for await (const elements of stream) found.push(...elements);
  return found;
}

async function strings(db) {
  expect(await db.set("name", "value"), "OK");
  expect(await db.get("name"), "value");
  expect(await db.get("missing"), null);
  expect(await db.set("name", "other", "NX"), null);
  expect(await db.set("name", "last", "GET"), "value");
  expect(await db.append("name", "ing"), 7);
  expect(await db.getrange("name", 1, 3), "ast");
  expect(await db.setrange("name", 0, "f"), 7);
  expect(await db.getdel("name"), "fasting");
  expect(await db.mset({ a: 1, b: 2 }), "OK");
  expect(await db.mget("a", "missing", "b"), ["1", null, "2"]);
  expect(await db.incrby("a", 41), 42);
  expect(await db.incrbyfloat("a", 0.5), "42.5");
  expect(await db.del("a", "b", "missing"), 2);
  const bytes = Buffer.from([...Array(256).keys()]);
  await db.set(bytes, bytes);
  expect(await db.getBuffer(bytes), bytes);
  await db.set("word", "x");
  await rejects(db.incr("word"), /^ReplyError: ERR value is not an integer or out of range$/);
  await rejects(db.lpush("word", "x"), /WRONGTYPE/);
  await rejects(db.call("NONSENSE"), /ERR unknown command 'NONSENSE'/);
}

async function expiry(db) {
  expect(await db.setex("brief", 100, "x"), "OK");
  ok([99, 100].includes(await db.ttl("brief")));
  expect(await db.persist("brief"), 1);
  expect([await db.ttl("brief"), await db.ttl("missing")], [-1, -2]);
  expect(await db.expire("brief", 50, "XX"), 0);
  expect(await db.getex("brief", "PX", 40_000), "x");
  ok((await db.pttl("brief")) > 39_000);
  expect(await db.expireat("brief", 1), 1);
  await db.set("due", "x", "PX", 20);
  await until(async () => (await db.dbsize()) === 0);
}

async function bitmaps(db) {
  expect(await db.setbit("bits", 7, 1), 0);
  expect(await db.setbit("bits", 8, 1), 0);
  expect(await db.getBuffer("bits"), Buffer.from([0x01, 0x80]));
  expect([await db.bitcount("bits"), await db.bitcount("bits", 0, 0)], [2, 1]);
  expect([await db.bitpos("bits", 1), await db.getbit("bits", 9)], [7, 0]);
  expect(await db.bitop("NOT", "inverse", "bits"), 2);
  expect(await db.getBuffer("inverse"), Buffer.from([0xfe, 0x7f]));
  expect(await db.bitfield("bits", "SET", "u8", 0, 255, "OVERFLOW", "SAT", "INCRBY", "u8", "#1", 200), [1, 255]);
}

async function hyperloglogs(db) {
  expect(await db.pfadd("monday", "ann", "bob"), 1);
  expect(await db.pfadd("monday", "ann"), 0);
  await db.pfadd("tuesday", "bob", "eve");
  expect([await db.pfcount("monday"), await db.pfcount("monday", "tuesday")], [2, 3]);
  expect(await db.pfmerge("both", "monday", "tuesday"), "OK");
  expect(await db.pfcount("both"), 3);
}

async function lists(db) {
  expect(await db.rpush("list", "a", "b", "c", "b"), 4);
  expect(await db.lrange("list", 0, -1), ["a", "b", "c", "b"]);
  expect(await db.lpos("list", "b", "COUNT", 0), [1, 3]);
  expect(await db.linsert("list", "BEFORE", "c", "x"), 5);
  expect(await db.lrem("list", -1, "b"), 1);
  expect(await db.lset("list", 0, "A"), "OK");
  expect(await db.lmove("list", "other", "LEFT", "RIGHT"), "A");
  expect(await db.lpop("list", 2), ["b", "x"]);
  expect(await db.lmpop(2, "nothing", "list", "RIGHT"), ["list", ["c"]]);
  expect(await db.exists("list", "other"), 1);
}

/** Producers and consumers: the consumers wait, and each job reaches exactly one of them. */
async function queues(db) {
  const consumers = [1, 2, 3].map(() =>
    beside(db, async (other) => {
      const jobs = [];
      for (;;) {
        const [, job] = await other.blpop("urgent", "jobs", 20);
        if (job === "stop") return jobs;
        jobs.push(job);
      }
    }),
  );
  await blocked(db, 3);
  const jobs = Array.from({ length: 300 }, (_, number) => `job ${number}`);
  await Promise.all(jobs.map((job, number) => db.rpush(number % 10 === 0 ? "urgent" : "jobs", job)));
  await db.rpush("jobs", "stop", "stop", "stop");
  expect((await Promise.all(consumers)).flat().sort(), jobs.sort());
  expect(await db.blpop("jobs", 0.01), null);
  const moved = beside(db, (other) => other.blmove("jobs", "done", "LEFT", "RIGHT", 20));
  await blocked(db, 1);
  await db.rpush("jobs", "late");
  expect(await moved, "late");
  expect(await db.lrange("done", 0, -1), ["late"]);
  const popped = beside(db, (other) => other.bzpopmin("board", 20));
  await blocked(db, 1);
  await db.zadd("board", 2, "late", 1, "early");
  expect(await popped, ["board", "early", "1"]);
}

async function hashes(db) {
  expect(await db.hset("user", { name: "Ada", visits: 1, otp: "1234" }), 3);
  expect(await db.hincrby("user", "visits", 2), 3);
  expect(await db.hgetall("user"), { name: "Ada", visits: "3", otp: "1234" });
  expect(await db.hmget("user", "name", "missing"), ["Ada", null]);
  expect(await db.hexpire("user", 100, "FIELDS", 2, "name", "missing"), [1, -2]);
  ok([99, 100].includes((await db.httl("user", "FIELDS", 1, "name"))[0]));
  expect(await db.hpersist("user", "FIELDS", 1, "name"), [1]);
  expect(await db.call("HSETEX", "user", "PX", 20, "FIELDS", 1, "session", "s1"), 1);
  await until(async () => (await db.hlen("user")) === 3);
  expect(await db.call("HGETDEL", "user", "FIELDS", 1, "otp"), ["1234"]);
  expect((await db.hkeys("user")).sort(), ["name", "visits"]);
}

async function sets(db) {
  expect(await db.sadd("odd", 1, 3, 5), 3);
  expect(await db.sadd("prime", 2, 3, 5), 3);
  expect((await db.smembers("odd")).sort(), ["1", "3", "5"]);
  expect(await db.smismember("odd", 1, 2), [1, 0]);
  expect((await db.sinter("odd", "prime")).sort(), ["3", "5"]);
  expect((await db.sunion("odd", "prime")).sort(), ["1", "2", "3", "5"]);
  expect(await db.sdiff("odd", "prime"), ["1"]);
  expect(await db.sintercard(2, "odd", "prime", "LIMIT", 1), 1);
  expect(await db.smove("odd", "prime", 1), 1);
  expect([await db.scard("odd"), await db.scard("prime"), await db.srem("odd", 3, 4)], [2, 4, 1]);
  expect(await db.spop("odd"), "5");
}

async function sortedSets(db) {
  expect(await db.zadd("board", 10, "ann", 30, "bob", 20.5, "eve"), 3);
  expect(await db.zadd("board", "GT", "CH", 5, "ann"), 0);
  expect(await db.zincrby("board", 1.25, "eve"), "21.75");
  expect(await db.zrange("board", 0, 1, "REV", "WITHSCORES"), ["bob", "30", "eve", "21.75"]);
  expect(await db.zrangebyscore("board", "(10", "+inf"), ["eve", "bob"]);
  expect([await db.zscore("board", "bob"), await db.zscore("board", "nobody")], ["30", null]);
  expect([await db.zrank("board", "eve"), await db.zrevrank("board", "eve")], [1, 1]);
  expect(await db.zunionstore("sum", 2, "board", "board", "WEIGHTS", 1, 2), 3);
  expect(await db.zmscore("sum", "ann", "bob"), ["30", "90"]);
  expect(await db.zpopmax("sum"), ["bob", "90"]);
  expect(await db.zrangestore("best", "board", 0, 0, "REV"), 1);
  await db.zadd("names", 0, "b", 0, "a", 0, "c");
  expect(await db.zrangebylex("names", "[a", "(c"), ["a", "b"]);
}

async function geo(db) {
  expect(await db.geoadd("sicily", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"), 2);
  expect(await db.geodist("sicily", "Palermo", "Catania", "km"), "166.2742");
  expect(await db.geohash("sicily", "Palermo", "missing"), ["sqc8b49rny0", null]);
  const [[longitude, latitude]] = await db.geopos("sicily", "Palermo");
  ok(Math.abs(longitude - 13.361389) < 1e-5 && Math.abs(latitude - 38.115556) < 1e-5, `${longitude} ${latitude}`);
  const near = await db.geosearch("sicily", "FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "ASC", "WITHDIST");
  expect(near, [["Catania", "56.4413"], ["Palermo", "190.4424"]]);
  expect(await db.geosearchstore("near", "sicily", "FROMMEMBER", "Catania", "BYBOX", 10, 10, "km"), 1);
}

async function streams(db) {
  expect(await db.xgroup("CREATE", "orders", "billing", "$", "MKSTREAM"), "OK");
  await rejects(db.xgroup("CREATE", "orders", "billing", "$"), /BUSYGROUP/);
  const read = (connection, name, ...block) =>
    connection.xreadgroup("GROUP", "billing", name, "COUNT", 2, ...block, "STREAMS", "orders", ">");
  const waiting = beside(db, (other) => read(other, "ann", "BLOCK", 20_000));
  await blocked(db, 1);
  const ids = [];
  for (let number = 0; number < 4; number += 1) ids.push(await db.xadd("orders", "*", "number", number));
  expect(await waiting, [["orders", [[ids[0], ["number", "0"]]]]]);
  expect(await read(db, "bob"), [["orders", [[ids[1], ["number", "1"]], [ids[2], ["number", "2"]]]]]);
  expect(await db.xack("orders", "billing", ids[0]), 1);
  expect(await db.xpending("orders", "billing"), [2, ids[1], ids[2], [["bob", "2"]]]);
  const claimed = await db.xautoclaim("orders", "billing", "ann", 0, ids[2]);
  expect(claimed, ["0-0", [[ids[2], ["number", "2"]]], []]);
  expect(await read(db, "ann"), [["orders", [[ids[3], ["number", "3"]]]]]);
  expect(await read(db, "ann"), null);
  const news = beside(db, (other) => other.xread("BLOCK", 20_000, "STREAMS", "orders", "$"));
  await blocked(db, 1);
  const last = await db.xadd("orders", "*", "number", 4);
  expect(await news, [["orders", [[last, ["number", "4"]]]]]);
  expect(await db.xrange("orders", ids[0], ids[1]), [[ids[0], ["number", "0"]], [ids[1], ["number", "1"]]]);
  expect(await db.xtrim("orders", "MAXLEN", 2), 3);
  expect([await db.xlen("orders"), await db.xdel("orders", last), await db.xlen("orders")], [2, 1, 1]);
}

/** What came with Redis 8.4 and later, and what is ours alone; versions that have no method for a command send it by name. */
async function newer(db) {
  const run = (line) => {
    const [name, ...args] = line.split(" ");
    const method = db[name.toLowerCase()];
    return method ? method.apply(db, args) : db.call(name, ...args);
  };
  expect(await db.set("k", "v"), "OK");
  expect([await db.set("k", "w", "IFEQ", "x"), await db.set("k", "Hello world", "IFEQ", "v", "GET")], [null, "v"]);
  expect(await run("DIGEST k"), "b6acb9d84a38ff74");
  expect([await run("DELEX k IFEQ x"), await run("DELEX k IFDEQ b6acb9d84a38ff74")], [0, 1]);
  expect([await run("MSETEX 2 a 1 b 2 NX EX 100"), await run("MSETEX 2 a 3 c 4 NX")], [1, 0]);
  expect(await run("INCREX a BYINT 5 UBOUND 4 SATURATE"), [4, 3]);
  expect((await run("INCREX a BYFLOAT 0.5")).map(Number), [4.5, 0.5]);
  expect([await run("BLESS SET a NO-EVICT"), await run("BLESS GET a")], [1, ["NO-EVICT"]]);
  await db.rpush("l", "a", "b", "c");
  expect([await run("LMOVEM l m LEFT RIGHT COUNT 2 BULK"), await run("LMOVEM l m LEFT RIGHT EXACTLY 2 OBO")], [["a", "b"], null]);
  expect(await db.sadd("s", "a", "b"), 2);
  expect([await run("SUNIONCARD 2 s s"), await run("SADDEX s PX 20 MEMBERS 1 brief"), await run("STTL s MEMBERS 1 a")], [2, 1, [-1]]);
  await db.zadd("z", 1, "a", 2, "b");
  expect(await run("ZPEXPIRE z 20 MEMBERS 2 b missing"), [1, -2]);
  await until(async () => (await db.scard("s")) === 2 && (await db.zcard("z")) === 1);
  expect(await db.zunion(2, "z", "z", "AGGREGATE", "COUNT", "WITHSCORES"), ["a", "2"]);
  expect([await run("ARSET ar 5 x y"), await run("ARGET ar 6"), await run("ARLEN ar")], [2, "y", 7]);
  expect([await run("HIMPORT PREPARE pair x y"), await run("HIMPORT SET h pair 1 2")], ["OK", "OK"]);
  expect(await db.hgetall("h"), { x: "1", y: "2" });
  const id = await run("XADD x IDMP producer 1 * f v");
  expect([await run("XADD x IDMP producer 1 * f v"), await db.xlen("x")], [id, 1]);
  await db.xgroup("CREATE", "x", "g", "0");
  expect((await run("XREADGROUP GROUP g c MAXCOUNT 5 STREAMS x >"))[0][1].length, 1);
  expect([await run(`XNACK x g FAIL IDS 1 ${id}`), (await run("XREADGROUP GROUP g c CLAIM 0 STREAMS x >"))[0][1][0][3]], [1, 1]);
}

async function transactions(db) {
  const results = await db.multi().set("stock", 10).decr("stock").lpush("stock", "x").get("stock").exec();
  expect(results.map(([error, result]) => [error?.message.slice(0, 9) ?? null, result ?? null]), [
    [null, "OK"],
    [null, 9],
    ["WRONGTYPE", null],
    [null, "9"],
  ]);
  await rejects(db.multi().set("stock").exec(), /EXECABORT/);
  // Optimistic locking: another client is quicker the first time.
  const sell = () =>
    beside(db, async (own) => {
      await own.watch("stock");
      const stock = Number(await own.get("stock"));
      if (stock === 9) await db.set("stock", 5);
      return own.multi().set("stock", stock - 1).get("stock").exec();
    });
  expect(await sell(), null);
  expect(await sell(), [[null, "OK"], [null, "4"]]);
  await db.multi({ pipeline: false });
  expect(await db.incr("stock"), "QUEUED");
  expect(await db.discard(), "OK");
  expect(await db.get("stock"), "4");
}

async function pipelines(db) {
  const pipeline = db.pipeline();
  for (let number = 0; number < 5000; number += 1) pipeline.set(`p:${number}`, number);
  pipeline.incr("p:0").lpush("p:0", "x").mget("p:0", "p:4999");
  const results = await pipeline.exec();
  expect(results.length, 5003);
  ok(results.slice(0, 5000).every(([error, result]) => error === null && result === "OK"));
  expect([results[5000], results[5002]], [[null, 1], [null, ["1", "4999"]]]);
  ok(results[5001][0].message.startsWith("WRONGTYPE"));
}

async function iteration(db) {
  const keys = await collect(db.scanStream({ match: "p:*", count: 100 }));
  expect(new Set(keys).size, 5000);
  expect(new Set(await collect(db.scanStream({ match: "p:12?" }))).size, 10);
  expect(await collect(db.scanStream({ type: "list" })), []);
  const numbers = Array.from({ length: 1000 }, (_, number) => String(number));
  await db.hset("hash", Object.fromEntries(numbers.map((number) => [number, `v${number}`])));
  await db.sadd("set", numbers);
  await db.zadd("zset", numbers.flatMap((number) => [number, number]));
  const pairs = await collect(db.hscanStream("hash", { match: "99?" }));
  const fields = new Map(pairs.flatMap((value, at) => (at % 2 === 0 ? [[value, pairs[at + 1]]] : [])));
  expect([fields.size, fields.get("995")], [10, "v995"]);
  expect(new Set(await collect(db.sscanStream("set"))), new Set(numbers));
  expect((await collect(db.zscanStream("zset"))).length, 2000);
}

async function subscriptions(db) {
  expect(await db.config("SET", "notify-keyspace-events", "KEA"), "OK");
  await beside(db, async (listener) => {
    expect(await listener.subscribe("news", "weather"), 2);
    expect(await listener.psubscribe("__keyspace@0__:*"), 3);
    expect(await listener.ssubscribe("shard"), 1);
    let heard = once(listener, "message");
    expect(await db.publish("news", "hello"), 1);
    expect(await heard, ["news", "hello"]);
    heard = once(listener, "pmessage");
    await db.hset("user", "name", "Ada");
    expect(await heard, ["__keyspace@0__:*", "__keyspace@0__:user", "hset"]);
    heard = once(listener, "pmessage");
    await db.pexpire("user", 20);
    expect((await heard)[2], "expire");
    expect((await once(listener, "pmessage")).slice(1), ["__keyspace@0__:user", "expired"]);
    heard = once(listener, "smessage");
    expect(await db.spublish("shard", "x"), 1);
    expect(await heard, ["shard", "x"]);
    expect(await db.pubsub("NUMSUB", "news", "missing"), ["news", 1, "missing", 0]);
    expect((await db.pubsub("CHANNELS")).sort(), ["news", "weather"]);
    expect(await db.pubsub("NUMPAT"), 1);
    expect(await listener.unsubscribe("weather"), 2);
    // ioredis gives the connection back to ordinary commands when nothing is listened to any more. Without names its
    // promise would wait for a count of zero, which the patterns keep from being reached.
    expect(await listener.unsubscribe("news"), 1);
    expect(await listener.punsubscribe("__keyspace@0__:*"), 0);
    expect(await listener.sunsubscribe("shard"), 0);
    expect(await listener.echo("free again"), "free again");
  });
  expect(await db.config("SET", "notify-keyspace-events", ""), "OK");
}

async function administration(db, protocol) {
  expect(await db.ping(), "PONG");
  expect(await db.client("SETNAME", "tester"), "OK");
  const info = await db.client("INFO");
  ok(info.includes(" name=tester ") && info.includes(` resp=${protocol} `) && info.includes(" db=0 "), info);
  ok((await db.client("LIST")).split("\n").some((line) => line.includes(" name=tester ")));
  expect(await db.config("GET", "maxclients"), ["maxclients", "10000"]);
  const [seconds] = await db.time();
  ok(Math.abs(seconds - Date.now() / 1000) < 60);
  ok((await db.info()).includes("\r\nredis_version:"));
  ok((await db.command("COUNT")) > 200);
  // A connection that is lost is made again, in the same database and under the same name.
  await beside(db, async (other) => {
    await other.select(3);
    await other.set("place", "three");
    const again = once(other, "ready");
    expect(await db.client("KILL", "ID", await other.client("ID")), 1);
    await again;
    expect(await other.get("place"), "three");
  });
}

async function users(db, protocol) {
  expect(await db.acl("SETUSER", "alice", "on", ">secret", "~cache:*", "+@read", "+@connection", "+info", "+acl|whoami"), "OK");
  await db.set("cache:1", "x");
  const alice = db.duplicate({ username: "alice", password: "secret" });
  try {
    expect(await alice.acl("WHOAMI"), "alice");
    expect(await alice.get("cache:1"), "x");
    await rejects(alice.get("other"), /^ReplyError: NOPERM No permissions to access a key$/);
    await rejects(alice.set("cache:1", "y"), /^ReplyError: NOPERM User alice has no permissions to run the 'set' command$/);
    // Who is deleted is disconnected, and not let in again.
    const refused = once(alice, "error");
    expect(await db.acl("DELUSER", "alice"), 1);
    const [error] = await refused;
    ok(error.message.startsWith("WRONGPASS") || error.message.startsWith("NOAUTH"), error.message);
  } finally {
    alice.disconnect();
  }
  const reasons = (await db.acl("LOG")).map((entry) => (Array.isArray(entry) ? entry[3] : entry.reason));
  ok(["auth", "command", "key"].every((reason) => reasons.includes(reason)), reasons);
  expect(await db.acl("LOG", "RESET"), "OK");
  expect(await db.del("cache:1"), 1);
}

/** What was read is told of over a second connection, in the older protocol: of pushes ioredis hands on those of channels. */
async function clientSideCaching(db, protocol) {
  if (protocol === 3) return;
  await beside(db, (listener) => beside(db, async (reader) => {
    await listener.subscribe("__redis__:invalidate");
    const id = (await db.client("LIST")).split("\n").find((line) => line.includes(" sub=1 ")).match(/^id=(\d+)/)[1];
    expect(await reader.client("TRACKING", "ON", "REDIRECT", id), "OK");
    expect(String(await reader.client("GETREDIR")), id);
    expect(await reader.mget("a", "b"), [null, null]);
    const heard = once(listener, "message");
    await db.set("a", "1");
    expect((await heard).map(String), ["__redis__:invalidate", "a"]);
    expect(await reader.get("a"), "1");
  }));
}

async function all(Redis, protocol) {
  const db = new Redis({ port, protocol });
  try {
    for (const part of [strings, expiry, bitmaps, hyperloglogs, lists, queues, hashes, sets, sortedSets, geo, streams, newer,
      transactions, pipelines, subscriptions, clientSideCaching, administration, users]) {
      await db.flushall();
      await part(db, protocol);
      // What iterates does so over what the pipelines left.
      if (part === pipelines) await iteration(db);
    }
  } finally {
    db.disconnect();
  }
}

async function main() {
  // Version 5 knows one protocol and pays no heed to the option; most of the applications there are use it.
  await all(require("ioredis-5"), 2);
  await all(require("ioredis"), 2);
  await all(require("ioredis"), 3);
  console.log("ioredis: ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

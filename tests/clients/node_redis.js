// node-redis against a server on 127.0.0.1: `node_redis.js PORT`, with NODE_PATH naming the directory that holds the package
// `@redis/client` (version 6). Prints `node-redis: ok` at the end, or fails.
//
// Covers what the library does otherwise than ioredis, once in each protocol: replies it makes objects of, batches, transactions,
// iteration, subscriptions, its cache; and its calls for what came with Redis 8.4 and later, by name where it has one.
"use strict";

const { deepStrictEqual: expect, ok, rejects } = require("node:assert");
const { createClient } = require("@redis/client");
const { until, blocked } = require("./waiting.js");

const [port] = process.argv.slice(2);

/** Runs `action` with another connection like `db`'s. */
async function beside(db, action) {
  const other = await db.duplicate().connect();
  try {
    return await action(other);
  } finally {
    other.destroy();
  }
}

/** Objects without a prototype, and maps, as objects that can be compared. */
function plain(value) {
  if (value instanceof Map) return plain(Object.fromEntries(value));
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
}

async function basics(db) {
  expect(await db.set("name", "value", { expiration: { type: "EX", value: 100 } }), "OK");
  ok([99, 100].includes(await db.ttl("name")));
  expect([await db.get("name"), await db.get("missing")], ["value", null]);
  expect(await db.mGet(["name", "missing"]), ["value", null]);
  await rejects(db.incr("name"), /^SimpleError: ERR value is not an integer or out of range$|ERR value is not an integer/);
  expect(await db.hSet("user", { name: "Ada", visits: "1" }), 2);
  expect(plain(await db.hGetAll("user")), { name: "Ada", visits: "1" });
  expect(await db.hExpire("user", ["name", "missing"], 100), [1, -2]);
  expect(await db.zAdd("board", [{ score: 10, value: "ann" }, { score: 20.5, value: "bob" }]), 2);
  expect(plain(await db.zRangeWithScores("board", 0, -1)), [{ value: "ann", score: 10 }, { value: "bob", score: 20.5 }]);
  expect(await db.zScore("board", "bob"), 20.5);
  const job = beside(db, (other) => other.blPop("jobs", 20));
  await blocked(db, 1);
  await db.rPush("jobs", "first");
  expect(plain(await job), { key: "jobs", element: "first" });
  // Commands of one turn leave together.
  const numbers = Array.from({ length: 2000 }, (_, number) => number);
  await Promise.all(numbers.map((number) => db.set(`n:${number}`, String(number))));
  const found = new Set();
  for await (const keys of db.scanIterator({ MATCH: "n:*", COUNT: 200 })) keys.forEach((key) => found.add(key));
  expect(found.size, 2000);
}

async function transactions(db) {
  expect(await db.multi().set("stock", "9").decr("stock").get("stock").exec(), ["OK", 8, "8"]);
  const sell = () =>
    beside(db, async (own) => {
      await own.watch("stock");
      const stock = Number(await own.get("stock"));
      if (stock === 8) await db.set("stock", "5");
      return own.multi().set("stock", String(stock - 1)).get("stock").exec();
    });
  await rejects(sell(), { name: "Error", message: /watched/ });
  expect(await sell(), ["OK", "4"]);
}

async function subscriptions(db) {
  await beside(db, async (listener) => {
    const heard = [];
    await listener.subscribe("news", (message, channel) => heard.push([channel, message]));
    await listener.pSubscribe("__keyevent@0__:*", (message, channel) => heard.push([channel, message]));
    await db.configSet("notify-keyspace-events", "KEA");
    await db.set("due", "x", { expiration: { type: "PX", value: 20 } });
    await until(() => heard.some(([channel]) => channel === "__keyevent@0__:expired"));
    expect(heard.find(([channel]) => channel === "__keyevent@0__:expired")[1], "due");
    expect(await db.publish("news", "hello"), 1);
    await until(() => heard.some(([channel, message]) => channel === "news" && message === "hello"));
  });
  await db.configSet("notify-keyspace-events", "");
}

/** What the library answers from its own memory, until it is told that it has changed. */
async function cache(db, protocol) {
  if (protocol === 2) return;
  const { BasicClientSideCache } = require("@redis/client");
  const cached = new BasicClientSideCache({ ttl: 0, maxEntries: 100, evictPolicy: "LRU" });
  const reader = await createClient({ socket: { port }, RESP: 3, clientSideCache: cached }).connect();
  try {
    await db.set("cached", "old");
    expect([await reader.get("cached"), await reader.get("cached")], ["old", "old"]);
    const { hitCount, missCount } = cached.stats();
    expect([hitCount, missCount], [1, 1]);
    await db.set("cached", "new");
    await until(async () => (await reader.get("cached")) === "new");
  } finally {
    reader.destroy();
  }
}

async function newerStrings(db) {
  expect(await db.set("k", "v"), "OK");
  expect(await db.set("k", "w", { condition: "IFEQ", matchValue: "x" }), null);
  expect(await db.set("k", "Hello world", { condition: "IFEQ", matchValue: "v", GET: true }), "v");
  expect(await db.digest("k"), "b6acb9d84a38ff74");
  expect(await db.delEx("k", { condition: "IFDNE", matchValue: "b6acb9d84a38ff74" }), 0);
  expect(await db.delEx("k", { condition: "IFDEQ", matchValue: "b6acb9d84a38ff74" }), 1);
  expect(await db.mSetEx({ a: "1", b: "2" }, { mode: "NX", expiration: { type: "EX", value: 100 } }), 1);
  expect(await db.mSetEx(["a", "3", "c", "3"], { mode: "NX" }), 0);
  expect(await db.increx("a", { by: 5, upperBound: 4 }), [1, 0]);
  expect(await db.increx("a", { by: 5, upperBound: 4, saturate: true, expiration: { type: "EX", value: 9, ENX: true } }), [4, 3]);
  expect((await db.incrExByFloat("a", 0.5)).map(Number), [4.5, 0.5]);
  ok((await db.ttl("a")) > 9);
  expect(await db.sendCommand(["DELIFEQ", "b", "2"]), 1);
  expect([await db.blessSet("a", "NO-EVICT"), await db.blessGet("a"), await db.blessClear("a", "NO-EVICT")], [1, ["NO-EVICT"], 1]);
  expect(plain(await db.blessScan("0", "NO-EVICT", { COUNT: 10 })), { cursor: "0", keys: [] });
}

async function newerCollections(db) {
  expect(await db.hSetEx("h", { a: "1", b: "2" }, { expiration: { type: "EX", value: 100 }, mode: "FNX" }), 1);
  expect(await db.hGetEx("h", ["a", "missing"], { expiration: "PERSIST" }), ["1", null]);
  expect(await db.hTTL("h", ["a"]), [-1]);
  expect(await db.hGetDel("h", ["a"]), ["1"]);
  expect(await db.hImportPrepare("pair", ["x", "y"]), "OK");
  expect(await db.hImportSet("h2", "pair", ["1", "2"]), "OK");
  expect([plain(await db.hGetAll("h2")), await db.hImportDiscardAll()], [{ x: "1", y: "2" }, 1]);
  await db.rPush("l", ["a", "b", "c"]);
  expect(await db.lMoveM("l", "m", "LEFT", "RIGHT", { COUNT: 2, ORDER: "BULK" }), ["a", "b"]);
  expect(await db.lMoveM("l", "m", "LEFT", "RIGHT", { EXACTLY: 2, ORDER: "OBO" }), null);
  const moved = beside(db, (other) => other.blMoveM("l", "m", "LEFT", "LEFT", 20, { EXACTLY: 2, ORDER: "OBO" }));
  await blocked(db, 1);
  await db.rPush("l", "d");
  expect(await moved, ["d", "c"]);
  await db.sAdd("s", ["a", "b"]);
  await db.sAdd("t", ["b", "c"]);
  expect([await db.sUnionCard(["s", "t"]), await db.sUnionCard(["s", "t"], { LIMIT: 2 }), await db.sDiffCard(["s", "t"])], [3, 2, 1]);
  expect(await db.sendCommand(["SADDEX", "s", "PX", "60000", "MEMBERS", "1", "z"]), 1);
  const [left] = await db.sendCommand(["SPTTL", "s", "MEMBERS", "1", "z"]);
  ok(left > 30_000 && left <= 60_000, `${left}`);
  await db.zAdd("z", [{ score: 1, value: "a" }, { score: 5, value: "b" }]);
  const counted = await db.zUnionWithScores(["z", "z"], { AGGREGATE: "COUNT" });
  expect(plain(counted).map(({ value, score }) => [value, score]), [["a", 2], ["b", 2]]);
  expect(await db.sendCommand(["ZEXPIRE", "z", "100", "MEMBERS", "2", "a", "missing"]), [1, -2]);
}

async function arrays(db) {
  expect(await db.arSet("a", 5, ["x", "y"]), 2);
  expect([await db.arGet("a", 6), await db.arGet("a", 7), await db.arLen("a"), await db.arCount("a")], ["y", null, 7, 2]);
  expect(plain(await db.arScan("a", 0, 100)), [{ index: 5, value: "x" }, { index: 6, value: "y" }]);
  expect(plain(await db.arGrepWithValues("a", "-", "+", [["EXACT", "y"]])), [{ index: 6, value: "y" }]);
  expect([await db.arOp("a", 0, 10, "USED"), await db.arInsert("a", "first"), await db.arNext("a")], [2, 0, 1]);
  const { count, len } = plain(await db.arInfo("a"));
  expect([count, len], [3, 7]);
  expect(await db.arLastItems("a", 1), ["first"]);
  expect(await db.arDelRange("a", [[0, 100]]), 3);
}

async function newerStreams(db) {
  const add = () => db.xAdd("x", "*", { f: "v" }, { IDMP: { pid: "producer", iid: "1" } });
  const id = await add();
  expect([await add(), await db.xLen("x")], [id, 1]);
  expect(await db.xCfgSet("x", { IDMP_DURATION: 10 }), "OK");
  expect(plain(await db.xInfoStream("x"))["idmp-duration"], 10);
  await db.xGroupCreate("x", "g", "0");
  const read = (options) => db.xReadGroup("g", "c", [{ key: "x", id: ">" }], options);
  const [{ name, messages }] = plain(await read({ COUNT: 1, MAXCOUNT: 5, MAXSIZE: 1000 }));
  expect([name, messages.length, messages[0].message], ["x", 1, { f: "v" }]);
  expect(await db.xNack("x", "g", "FAIL", [id]), 1);
  const [claimed] = plain(await read({ CLAIM: 0 }))[0].messages;
  expect([claimed.id, claimed.deliveriesCounter], [id, 1]);
  expect([await db.xAckDel("x", "g", [id]), await db.xDelEx("x", [id], "ACKED")], [[1], [-1]]);
}

async function administration(db, protocol) {
  expect(await db.hotkeysStart({ METRICS: { count: 2, CPU: true, NET: true }, COUNT: 5 }), "OK");
  await db.set("hot", "x");
  expect(await db.hotkeysStop(), "OK");
  const report = plain(await db.hotkeysGet());
  expect([report.trackingActive, report.selectedSlots], [0, [{ start: 0, end: 16383 }]]);
  ok(JSON.stringify(report.byNetBytes).includes("hot"), JSON.stringify(report));
  expect(await db.hotkeysReset(), "OK");
  const info = await db.clientInfo();
  expect([info.resp, info.libName], [protocol, "node-redis"]);
  expect(plain(await db.configGet("maxclients")), { maxclients: "10000" });
  ok(plain(await db.commandInfo(["GET"]))[0].arity === 2);
  ok(plain(await db.memoryStats())["peak.allocated"] > 0);
}

async function all(protocol) {
  const db = await createClient({ socket: { port }, RESP: protocol }).connect();
  try {
    for (const part of [basics, transactions, subscriptions, cache, newerStrings, newerCollections, arrays, newerStreams,
      administration]) {
      await db.flushAll();
      await part(db, protocol);
    }
  } finally {
    db.destroy();
  }
}

async function main() {
  await all(2);
  await all(3);
  console.log("node-redis: ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

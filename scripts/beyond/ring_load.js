// Writes or looks for many keys by the ring of examples/ring.js: `ring_load.js fill|find PREFIX COUNT NAME=PLACE...`, with NODE_PATH naming
// the directory that holds ioredis. Key PREFIXn holds n. Prints a line: how many were right, wrong, and not to be had by server.
"use strict";

const path = require("node:path");
const Redis = require("ioredis");
const { Ring } = require(path.join(__dirname, "..", "examples", "ring.js"));

async function main() {
  const [action, prefix, count, ...places] = process.argv.slice(2);
  const ring = new Ring(Object.fromEntries(places.map((place) => place.split("="))));
  const connections = Object.fromEntries(Object.entries(ring.servers).map(([name, place]) => {
    const redis = new Redis(`redis://${place}`, { maxRetriesPerRequest: 1, retryStrategy: () => 10 });
    redis.on("error", () => {});
    return [name, redis];
  }));
  const found = { right: 0, wrong: 0, failed: {} };
  await Promise.all(Array.from({ length: Number(count) }, async (_, n) => {
    const [key, name] = [`${prefix}${n}`, ring.nameOf(`${prefix}${n}`)];
    try {
      if (action === "fill") await connections[name].set(key, n);
      const value = await connections[name].get(key);
      found[value === String(n) ? "right" : "wrong"] += 1;
    } catch {
      found.failed[name] = (found.failed[name] ?? 0) + 1;
    }
  }));
  console.log(JSON.stringify(found));
  for (const redis of Object.values(connections)) redis.disconnect();
}

main();

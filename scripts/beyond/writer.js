// A client that writes through ioredis and Sentinel until it is ended: `writer.js NAME GROUP WAIT_MS SENTINEL...`, with NODE_PATH naming
// the directory that holds ioredis. Does and prints what writer.py does; its header has the form.
"use strict";

const Redis = require("ioredis");

const SILENCE_MS_MAX = 300;
const PACE_MS = 5;
const [name, group, waitMs, ...places] = process.argv.slice(2);

function connect(role) {
  const redis = new Redis({
    sentinels: places.map((place) => ({ host: place.split(":")[0], port: Number(place.split(":")[1]) })),
    name: group,
    role,
    // A server that has stopped, or is cut off, says nothing. `failoverDetector` would have the sentinels tell, but when it
    // interrupts a connection that is being made, ioredis 6.0.0 never makes another.
    socketTimeout: Number(waitMs) + SILENCE_MS_MAX,
    connectTimeout: SILENCE_MS_MAX,
    sentinelCommandTimeout: SILENCE_MS_MAX,
    commandTimeout: Number(waitMs) + SILENCE_MS_MAX,
    maxRetriesPerRequest: null,
    // Sent again over a new connection, WAIT would tell of nobody's writes.
    autoResendUnfulfilledCommands: false,
    retryStrategy: () => 10,
    sentinelRetryStrategy: () => 10,
  });
  redis.on("error", () => {});
  return redis;
}

const pause = () => new Promise((resolve) => setTimeout(resolve, PACE_MS));
const now = () => Date.now() / 1000;
const failure = (error) => error.message.replace(/\s+/g, " ");

async function write(primary, number) {
  const results = await primary.pipeline().set(`${name}:${number}`, number).incr(`${name}:count`).wait(1, waitMs).exec();
  for (const [error] of results) if (error) throw error;
  return results.map(([, result]) => result);
}

/** What a replica shows of the counter, read by itself, as a replica may be missed for longer; -1 when there is none. */
let shown = -1;

async function watchReplica() {
  const replica = connect("slave");
  for (;;) {
    shown = await replica.get(`${name}:count`).then((value) => Number(value ?? 0), () => -1);
    await pause();
  }
}

async function main() {
  const primary = connect("master");
  watchReplica();
  for (let number = 1; ; number += 1) {
    const begin = now();
    try {
      const [, count, replicas] = await write(primary, number);
      console.log("ok", number, begin, now(), replicas, count, shown);
    } catch (error) {
      console.log("no", number, begin, now(), failure(error));
      // Perhaps another has taken over: the next connection asks the sentinels.
      if (error.message.includes("NOREPLICAS") && primary.status === "ready") primary.disconnect(true);
    }
    await pause();
  }
}

main();

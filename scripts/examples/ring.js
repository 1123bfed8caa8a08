#!/usr/bin/env node
// Keys spread over several servers by consistent hashing, with ioredis: each key has one server, found on a ring of points.
//
//     NODE_PATH=/tmp/clients/node_modules node scripts/examples/ring.js SET greeting hello -- \
//         one=127.0.0.1:7379 two=127.0.0.1:7380 three=127.0.0.1:7381
//
// sends one command to the server of its first argument, and prints that server's name and the reply. `ring.py` does the same with
// redis-py and agrees on where a key is; its header says how the ring works.
"use strict";

const { createHash } = require("node:crypto");
const Redis = require("ioredis");

const POINTS = 160;
const hashed = (text) => createHash("md5").update(text).digest().readBigUInt64BE();

class Ring {
  /** `servers` maps names to whatever stands for a server: ioredis's objects, say. */
  constructor(servers) {
    this.servers = servers;
    this.points = Object.keys(servers)
      .flatMap((name) => Array.from({ length: POINTS }, (_, point) => ({ at: hashed(`${name}-${point}`), name })))
      .sort((one, other) => (one.at < other.at ? -1 : 1));
  }

  /** The name at the first point at or behind the key's. */
  nameOf(key) {
    const tag = /^[^{]*\{([^}]+)\}/.exec(key)?.[1] ?? key;
    const at = hashed(tag);
    let [low, high] = [0, this.points.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.points[middle].at < at) low = middle + 1;
      else high = middle;
    }
    return this.points[low % this.points.length].name;
  }

  serverOf(key) {
    return this.servers[this.nameOf(key)];
  }
}

async function main() {
  const at = process.argv.indexOf("--");
  const [command, places] = [process.argv.slice(2, at), process.argv.slice(at + 1)];
  const connect = ([name, to]) => [name, new Redis(`redis://${to}`)];
  const ring = new Ring(Object.fromEntries(places.map((place) => connect(place.split("=")))));
  console.log(ring.nameOf(command[1]), await ring.serverOf(command[1]).call(...command));
  for (const server of Object.values(ring.servers)) server.disconnect();
}

module.exports = { Ring };
if (require.main === module) main();

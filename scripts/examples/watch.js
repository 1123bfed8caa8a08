#!/usr/bin/env node
// A live query with ioredis: prints what a query answers, and what it answers anew whenever a key that it names changes.
//
//     npm install --prefix /tmp/clients ioredis          # version 5 or 6
//     NODE_PATH=/tmp/clients/node_modules node scripts/examples/watch.js GET greeting
//     redis-cli -p 7379 SET greeting hello               # in another terminal
//
// prints the name, the fingerprint and the result of each frame:
//
//     GET 2846808687 null
//     GET 2846808687 "hello"
//
// ALEADB_URL names another server than redis://127.0.0.1:7379. It ends with Ctrl-C.
//
// How it works. ioredis has no event for frames: version 5 knows no pushes, version 6 drops those whose kind it does not
// know. With RESP2 they are plain arrays, and an array goes to the oldest request that has no reply. CLIENT REPLY OFF is
// never replied to, so as long as one is under way it is handed the next frame, and sends its successor before the next
// one is looked at: none is lost, however many come at once. What is sent over that connection stays without reply, so
// the watch has one of its own; other commands need another.
"use strict";

const Redis = require("ioredis");

/** Calls `onFrame([name, fingerprint, result])` with the first answer and every later one, until `disconnect()`. */
function watch(url, command, args, onFrame, onRefusal) {
  const redis = new Redis(url, { protocol: 2, autoResendUnfulfilledCommands: false });

  class NextFrame extends Redis.Command {
    constructor() {
      super("CLIENT", ["REPLY", "OFF"], { replyEncoding: "utf8" });
      // It is rejected when the connection is lost, and then there is another one.
      this.promise.then(onFrame, () => {});
    }

    transformReply(frame) {
      redis.sendCommand(new NextFrame());
      return super.transformReply(frame);
    }
  }

  // ioredis reconnects by itself. The watch has ended with the old connection; the first answer tells what was missed.
  redis.on("ready", () => {
    redis.call(`${command}.WATCH`, ...args).then(onFrame, (error) => error.name === "ReplyError" && onRefusal(error));
    redis.sendCommand(new NextFrame());
  });
  // Errors without a code are frames that were still read while their connection went away.
  redis.on("error", (error) => error.code && console.error(error.message));
  return redis;
}

const [command, ...args] = process.argv.slice(2);
if (command === undefined) {
  console.error("usage: watch.js COMMAND [ARGUMENT...]");
  process.exit(2);
}
const url = process.env.ALEADB_URL ?? "redis://127.0.0.1:7379";
const redis = watch(
  url,
  command,
  args,
  ([name, fingerprint, result]) => {
    // An error may stand in the result's place: the key may hold another type by now.
    console.log(name, fingerprint, result instanceof Error ? String(result) : JSON.stringify(result));
  },
  (error) => {
    console.error(error.message);
    process.exitCode = 1;
    redis.disconnect();
  },
);

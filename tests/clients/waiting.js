// What the scripts of JavaScript clients wait by: for conditions, with a deadline.
"use strict";

const { ok } = require("node:assert");

const DEADLINE_MS = 20_000;

/** Asks again and again until `condition` holds. */
async function until(condition) {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await condition())) {
    ok(Date.now() < deadline, `in time: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Waits until so many clients are blocked, by what `db` tells. */
async function blocked(db, clients) {
  await until(async () => (await db.info("clients")).includes(`\r\nblocked_clients:${clients}\r\n`));
}

module.exports = { until, blocked };

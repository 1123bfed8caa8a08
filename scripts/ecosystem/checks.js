// What the Node.js flows share: counted checks, waiting for a condition with a deadline, and how they end.
'use strict';
const assert = require('node:assert');

const WAIT_MS_MAX = 30000;
let count = 0;

exports.port = Number(process.env.ECOSYSTEM_PORT);
exports.connection = { host: '127.0.0.1', port: exports.port };

/** The two are deeply equal. */
exports.same = (found, expected, what) => {
    assert.deepStrictEqual(found, expected, what);
    count += 1;
};

exports.holds = (found, what) => {
    assert.ok(found, what);
    count += 1;
};

/** The promise is rejected with an error whose text matches. */
exports.fails = async (promise, pattern, what) => {
    await assert.rejects(promise, pattern, what);
    count += 1;
};

/** Asks again and again until `condition` gives something true, which is the result. */
exports.until = async (condition, what) => {
    const deadline = Date.now() + WAIT_MS_MAX;
    for (;;) {
        const found = await condition();
        if (found) {
            count += 1;
            return found;
        }
        if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
};

/** Runs the flow; says how many checks held, or what failed. Connections that are left open do not keep the program. */
exports.run = (flow) => {
    process.on('unhandledRejection', (error) => {
        console.error(error);
        process.exit(1);
    });
    flow().then(
        () => {
            console.log(`${count} checks`);
            process.exit(0);
        },
        (error) => {
            console.error(error);
            process.exit(1);
        },
    );
};

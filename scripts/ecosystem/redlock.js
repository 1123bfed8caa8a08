// redlock of npm over ioredis.
'use strict';
const { connection, same, holds, fails, until, run } = require('./checks.js');
const Redis = require('ioredis');
const { default: Redlock, ResourceLockedError, ExecutionError } = require('redlock');

run(async () => {
    const client = new Redis(connection);
    const redlock = new Redlock([client], { retryCount: 0 });
    const patient = new Redlock([client], { retryCount: 200, retryDelay: 10, retryJitter: 5 });
    let lock = await redlock.acquire(['a'], 5000);
    same(await client.get('a'), lock.value, 'held in the server');
    await fails(redlock.acquire(['a'], 5000), (error) => error instanceof ExecutionError, 'held by another');
    const attempt = await redlock.acquire(['a'], 5000).catch((error) => error.attempts[0]);
    const votes = (await attempt).votesAgainst;
    holds([...votes.values()][0] instanceof ResourceLockedError, 'and the reason');
    lock = await lock.extend(50000);
    holds((await client.pttl('a')) > 40000, 'extended');
    await lock.release();
    same(await client.exists('a'), 0, 'released');
    await fails(lock.release(), (error) => error instanceof ExecutionError, 'released twice');
    const both = await redlock.acquire(['a', 'b'], 5000);
    same(await client.mget('a', 'b'), [both.value, both.value], 'two resources');
    await fails(redlock.acquire(['b', 'c'], 5000), (error) => error instanceof ExecutionError, 'one of them is held');
    same(await client.exists('c'), 0, 'and the other is not taken');
    const waiting = patient.acquire(['b'], 5000);
    await both.release();
    await (await waiting).release();
    const short = await redlock.acquire(['d'], 30);
    await until(() => redlock.acquire(['d'], 5000).then(() => true, () => false), 'it runs out');
    await fails(short.extend(1000), (error) => error instanceof ExecutionError, 'and cannot be extended then');
    let running = 0;
    const order = [];
    await Promise.all(
        [1, 2, 3].map((n) =>
            patient.using(['section'], 2000, { automaticExtensionThreshold: 500 }, async (signal) => {
                running += 1;
                same([running, signal.aborted], [1, false], 'alone in the section');
                await new Promise((resolve) => setTimeout(resolve, 20));
                order.push(n);
                running -= 1;
            }),
        ),
    );
    same(order.sort(), [1, 2, 3], 'each had its turn');
});

// rate-limiter-flexible over ioredis.
'use strict';
const { connection, same, holds, until, run } = require('./checks.js');
const Redis = require('ioredis');
const {
    RateLimiterRedis,
    RLWrapperBlackAndWhite,
    BurstyRateLimiter,
    RateLimiterQueue,
    RateLimiterUnion,
} = require('rate-limiter-flexible');

const refused = (promise) => promise.then(() => null, (answer) => answer);

run(async () => {
    const storeClient = new Redis(connection);
    const limiter = new RateLimiterRedis({ storeClient, keyPrefix: 'plain', points: 3, duration: 5 });
    const first = await limiter.consume('ann');
    same([first.consumedPoints, first.remainingPoints, first.isFirstInDuration], [1, 2, true], 'the first');
    const second = await limiter.consume('ann', 2);
    same([second.consumedPoints, second.remainingPoints, second.isFirstInDuration], [3, 0, false], 'the second');
    const over = await refused(limiter.consume('ann'));
    same([over.consumedPoints, over.remainingPoints], [4, 0], 'over the limit');
    holds(over.msBeforeNext > 0 && over.msBeforeNext <= 5000, 'and when it ends');
    same((await limiter.consume('bob')).remainingPoints, 2, 'another key');
    same((await limiter.penalty('bob', 1)).consumedPoints, 2, 'a penalty');
    same((await limiter.reward('bob', 1)).consumedPoints, 1, 'a reward');
    same((await limiter.get('ann')).consumedPoints, 4, 'looked at');
    same(await limiter.get('nobody'), null, 'nobody');
    holds(await limiter.delete('ann'), 'deleted');
    same((await limiter.consume('ann')).consumedPoints, 1, 'begins again');
    await limiter.set('cid', 2, 60);
    same((await limiter.consume('cid')).remainingPoints, 0, 'set by hand');
    await limiter.block('dan', 60);
    holds((await refused(limiter.consume('dan'))).msBeforeNext > 50000, 'blocked by hand');

    const blocks = { keyPrefix: 'block', blockDuration: 60, inMemoryBlockOnConsumed: 5 };
    const blocking = new RateLimiterRedis({ storeClient, points: 1, duration: 1, ...blocks });
    await blocking.consume('ann');
    holds((await refused(blocking.consume('ann'))).msBeforeNext > 50000, 'blocked for longer than the window');
    same((await storeClient.pttl('block:ann')) > 50000, true, 'in the server too');

    const short = new RateLimiterRedis({ storeClient, keyPrefix: 'short', points: 1, duration: 1 });
    await short.consume('ann');
    await until(() => short.consume('ann').then(() => true, () => false), 'the window passes');

    const evenly = { keyPrefix: 'even', execEvenly: true, execEvenlyMinDelayMs: 20 };
    const even = new RateLimiterRedis({ storeClient, points: 2, duration: 1, ...evenly });
    same((await even.consume('ann')).consumedPoints, 1, 'evenly');

    const bursty = new BurstyRateLimiter(
        new RateLimiterRedis({ storeClient, keyPrefix: 'base', points: 1, duration: 5 }),
        new RateLimiterRedis({ storeClient, keyPrefix: 'burst', points: 2, duration: 60 }),
    );
    await bursty.consume('ann');
    await bursty.consume('ann');
    await bursty.consume('ann');
    holds(await refused(bursty.consume('ann')), 'base and burst are used up');
    const union = new RateLimiterUnion(
        new RateLimiterRedis({ storeClient, keyPrefix: 'u1', points: 5, duration: 5 }),
        new RateLimiterRedis({ storeClient, keyPrefix: 'u2', points: 1, duration: 5 }),
    );
    same(Object.keys(await union.consume('ann')).sort(), ['u1', 'u2'], 'a union');
    same(Object.keys(await refused(union.consume('ann'))), ['u2'], 'one of them refuses');
    const listed = new RLWrapperBlackAndWhite({ limiter, whiteList: ['vip'], blackList: ['bad'] });
    holds((await listed.consume('vip', 99)).remainingPoints > 99, 'a white list');
    holds(await refused(listed.consume('bad')), 'a black list');
    const queued = new RateLimiterRedis({ storeClient, keyPrefix: 'q', points: 2, duration: 1 });
    const queue = new RateLimiterQueue(queued, { maxQueueSize: 10 });
    const waited = await Promise.all([1, 2, 3, 4].map(() => queue.removeTokens(1, 'ann')));
    same(waited.length, 4, 'a queue lets all through in time');
});

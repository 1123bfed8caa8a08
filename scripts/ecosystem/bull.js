// The main flows of bull, BullMQ's predecessor.
'use strict';
const { connection, same, until, fails, run } = require('./checks.js');
const Queue = require('bull');

run(async () => {
    const queue = new Queue('mail', { redis: connection });
    await queue.isReady();
    const tries = {};
    queue.process('send', 2, async (job) => {
        await job.progress(10);
        return job.data.to.toUpperCase();
    });
    queue.process('flaky', async (job) => {
        tries[job.id] = (tries[job.id] ?? 0) + 1;
        if (tries[job.id] < job.data.works) throw new Error(`try ${tries[job.id]}`);
        return 'at last';
    });
    const job = await queue.add('send', { to: 'ann' });
    same(await job.finished(), 'ANN', 'a result');
    const flaky = await queue.add('flaky', { works: 3 }, { attempts: 3, backoff: 20 });
    same(await flaky.finished(), 'at last', 'the third attempt');
    const bad = await queue.add('flaky', { works: 9 }, { attempts: 2 });
    await fails(bad.finished(), /try 2/, 'attempts are used up');
    same(await (await queue.getJob(bad.id)).getState(), 'failed', 'state');
    const late = await queue.add('send', { to: 'bob' }, { delay: 60 });
    same(await late.getState(), 'delayed', 'delayed');
    same(await late.finished(), 'BOB', 'a delayed job');
    const many = await queue.addBulk(['x', 'y', 'z'].map((to) => ({ name: 'send', data: { to }, opts: { priority: 2 } })));
    same(await Promise.all(many.map((each) => each.finished())), ['X', 'Y', 'Z'], 'a batch with a priority');
    const counts = await queue.getJobCounts();
    same([counts.completed, counts.failed, counts.waiting], [6, 1, 0], 'counts');
    await queue.add('send', { to: 'tick' }, { repeat: { every: 40, limit: 2 } });
    await until(async () => (await queue.getCompletedCount()) >= 8, 'a job that repeats');
    await queue.pause();
    await queue.add('send', { to: 'held' });
    same(await queue.getWaitingCount(), 1, 'held while paused');
    await queue.resume();
    await until(async () => (await queue.getWaitingCount()) === 0, 'resumed');
    same((await queue.clean(0, 'failed')).length, 1, 'cleaned');
    await queue.close();
});

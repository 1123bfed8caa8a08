// bee-queue's main flows.
'use strict';
const { connection, same, holds, until, run } = require('./checks.js');
const Queue = require('bee-queue');

const finished = (job) =>
    new Promise((resolve, reject) => {
        job.on('succeeded', resolve);
        job.on('failed', reject);
    });

run(async () => {
    const settings = { redis: connection, activateDelayedJobs: true, stallInterval: 200, nearTermWindow: 1000 };
    const queue = new Queue('sums', settings);
    await queue.ready();
    const retried = [];
    queue.on('job retrying', (id) => retried.push(id));
    const tries = {};
    queue.process(4, async (job) => {
        job.reportProgress({ half: true });
        tries[job.id] = (tries[job.id] ?? 0) + 1;
        if (job.data.fail && tries[job.id] <= job.data.fail) throw new Error(`try ${tries[job.id]}`);
        return job.data.x + job.data.y;
    });
    const job = queue.createJob({ x: 2, y: 3 });
    const progress = [];
    job.on('progress', (value) => progress.push(value));
    const result = finished(job);
    await job.save();
    same(await result, 5, 'a result');
    same(progress, [{ half: true }], 'progress');

    const flaky = queue.createJob({ x: 1, y: 1, fail: 2 }).retries(3).backoff('fixed', 20);
    const later = finished(flaky);
    await flaky.save();
    same(await later, 2, 'the third attempt');
    same(retried.filter((id) => id === flaky.id).length, 2, 'two retries');

    const delayed = queue.createJob({ x: 5, y: 5 }).delayUntil(Date.now() + 80);
    const inTime = finished(delayed);
    await delayed.save();
    same(await inTime, 10, 'a delayed job');

    const many = [1, 2, 3, 4, 5, 6].map((x) => queue.createJob({ x, y: 0 }));
    const all = Promise.all(many.map(finished));
    same((await queue.saveAll(many)).size, 0, 'saved at once');
    same(await all, [1, 2, 3, 4, 5, 6], 'their results');

    const bad = queue.createJob({ x: 0, y: 0, fail: 9 });
    const failure = finished(bad).then(() => null, (error) => error.message);
    await bad.save();
    same(await failure, 'try 1', 'a failure');
    const health = await until(async () => {
        const found = await queue.checkHealth();
        return found.active === 0 && found.failed === 1 && found;
    }, 'counts settle');
    same([health.waiting, health.delayed, health.succeeded], [0, 0, 9], 'counts');
    same((await queue.getJobs('failed', { size: 10 })).map((each) => each.id), [bad.id], 'a page of jobs');
    await queue.removeJob(bad.id);
    same(await queue.getJob(bad.id), null, 'a removed job');

    // A worker that dies: its job is found stalled, and another takes it.
    const dying = new Queue('stalls', { ...settings, stallInterval: 100 });
    await dying.ready();
    dying.process(() => new Promise(() => {}));
    const lost = dying.createJob({ x: 1, y: 1 });
    lost.on('succeeded', () => {});
    await lost.save();
    await until(async () => (await dying.checkHealth()).active === 1, 'taken');
    await dying.close(1).catch(() => {});
    const heir = new Queue('stalls', { ...settings, stallInterval: 100 });
    await heir.ready();
    const done = [];
    heir.process(async (each) => done.push(each.id));
    heir.checkStalledJobs(100);
    await until(() => done.length > 0, 'a stalled job is taken by another');
    same(done[0], lost.id, 'the same job');
    holds((await heir.checkHealth()).failed === 0, 'without a failure');
});

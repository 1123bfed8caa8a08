// BullMQ's main flows. ECOSYSTEM_PACKAGE names the package, of which there are two generations.
'use strict';
const { connection, same, holds, fails, until, run } = require('./checks.js');
const { Queue, Worker, QueueEvents, FlowProducer, UnrecoverableError } = require(process.env.ECOSYSTEM_PACKAGE);

const PRIORITIES = [7, 1, 5, 1, 2097152, 3];

async function addAndWork() {
    const queue = new Queue('work', { connection });
    const events = new QueueEvents('work', { connection });
    await events.waitUntilReady();
    const heard = [];
    for (const name of ['waiting', 'active', 'completed', 'failed', 'progress']) {
        events.on(name, ({ jobId }) => heard.push(`${name} ${jobId}`));
    }
    const worker = new Worker(
        'work',
        async (job) => {
            await job.updateProgress(50);
            await job.log(`working on ${job.name}`);
            if (job.data.fail) throw new Error('as asked');
            return { doubled: job.data.n * 2 };
        },
        { connection, concurrency: 3 },
    );
    const job = await queue.add('one', { n: 21 });
    same(await job.waitUntilFinished(events), { doubled: 42 }, 'the result comes back');
    const stored = await queue.getJob(job.id);
    same(stored.returnvalue, { doubled: 42 }, 'and is kept');
    same(stored.progress, 50, 'with the progress');
    same((await queue.getJobLogs(job.id)).logs, ['working on one'], 'and the log');
    same(await stored.getState(), 'completed', 'state');
    await until(() => heard.includes(`completed ${job.id}`), 'the event of completion');
    holds(heard.includes(`progress ${job.id}`), 'the event of progress');

    const bad = await queue.add('bad', { n: 1, fail: true });
    await fails(bad.waitUntilFinished(events), /as asked/, 'a failure comes back');
    same(await (await queue.getJob(bad.id)).getState(), 'failed', 'state of the failed');
    same((await queue.getJob(bad.id)).failedReason, 'as asked', 'reason');
    const bulk = await queue.addBulk([1, 2, 3, 4, 5].map((n) => ({ name: 'many', data: { n } })));
    const results = await Promise.all(bulk.map((each) => each.waitUntilFinished(events)));
    same(results.map((r) => r.doubled), [2, 4, 6, 8, 10], 'a batch');
    const counts = await queue.getJobCounts('completed', 'failed', 'waiting', 'active');
    same([counts.completed, counts.failed, counts.waiting, counts.active], [6, 1, 0, 0], 'counts');
    same((await queue.getCompleted(0, 1)).length, 2, 'a page of jobs');
    await queue.add('own id', { n: 3 }, { jobId: 'mine' });
    await until(async () => (await queue.getJob('mine')).finishedOn, 'a job with an id of its own');
    const twice = await queue.add('own id', { n: 4 }, { jobId: 'mine' });
    same((await queue.getJob(twice.id)).data, { n: 3 }, 'the same id adds nothing');
    await (await queue.getJob('mine')).remove();
    same(await queue.getJob('mine'), undefined, 'a removed job');
    same((await queue.clean(0, 100, 'failed')).length, 1, 'cleaned');
    await worker.close();
    await events.close();
    await queue.obliterate({ force: true });
    await queue.close();
}

async function retries() {
    const queue = new Queue('retry', { connection });
    const events = new QueueEvents('retry', { connection });
    await events.waitUntilReady();
    const tries = {};
    const worker = new Worker(
        'retry',
        async (job) => {
            tries[job.name] = (tries[job.name] ?? 0) + 1;
            if (job.name === 'never') throw new UnrecoverableError('no use');
            if (tries[job.name] < 3) throw new Error(`try ${tries[job.name]}`);
            return tries[job.name];
        },
        { connection },
    );
    const job = await queue.add('third', {}, { attempts: 3, backoff: { type: 'fixed', delay: 20 } });
    same(await job.waitUntilFinished(events), 3, 'the third attempt works');
    same((await queue.getJob(job.id)).attemptsMade, 3, 'attempts');
    const never = await queue.add('never', {}, { attempts: 5 });
    await fails(never.waitUntilFinished(events), /no use/, 'unrecoverable');
    same(tries.never, 1, 'is not tried again');
    const spent = await queue.add('second', {}, { attempts: 2, backoff: { type: 'exponential', delay: 5 } });
    await fails(spent.waitUntilFinished(events), /try 2/, 'attempts are used up');
    const failed = await queue.getJob(spent.id);
    await failed.retry('failed');
    same(await failed.waitUntilFinished(events), 3, 'retried by hand');
    await worker.close();
    await events.close();
    await queue.close();
}

async function order() {
    const queue = new Queue('order', { connection });
    await queue.pause();
    same(await queue.isPaused(), true, 'paused');
    for (const priority of PRIORITIES.slice(0, 4)) await queue.add('prioritized', { n: priority }, { priority });
    await queue.add('prioritized', { n: PRIORITIES[4] }, { priority: PRIORITIES[4] - 1 });
    await queue.add('plain', { n: 0 });
    await queue.add('plain', { n: -1 }, { lifo: true });
    await queue.add('prioritized', { n: PRIORITIES[5] }, { priority: PRIORITIES[5] });
    await queue.add('later', { n: 99 }, { delay: 50 });
    same(await queue.getDelayedCount(), 1, 'delayed');
    const seen = [];
    const worker = new Worker('order', async (job) => seen.push(job.data.n), { connection, concurrency: 1, autorun: false });
    await queue.resume();
    worker.run();
    await until(() => seen.length === 9, 'all jobs of the queue');
    const sooner = seen.filter((n) => n !== 99);
    same(sooner, [-1, 0, 1, 1, 3, 5, 7, 2097152], 'by priority, then by age');
    holds(seen.includes(99), 'the delayed one');
    const late = await queue.add('later', { n: 5 }, { delay: 3600000 });
    same(await late.getState(), 'delayed', 'state');
    await late.promote();
    await until(() => seen.includes(5), 'promoted');
    await worker.close();
    await queue.close();
}

async function flows() {
    const producer = new FlowProducer({ connection });
    const child = new Worker('children', async (job) => job.data.n, { connection });
    const parent = new Worker(
        'parents',
        async (job) => Object.values(await job.getChildrenValues()).reduce((sum, n) => sum + n, 0),
        { connection },
    );
    const events = new QueueEvents('parents', { connection });
    await events.waitUntilReady();
    const tree = await producer.add({
        name: 'sum',
        queueName: 'parents',
        data: {},
        children: [1, 2, 3].map((n) => ({ name: 'part', queueName: 'children', data: { n } })),
    });
    same(await tree.job.waitUntilFinished(events), 6, 'the parent waits for its children');
    same((await tree.job.getDependencies()).unprocessed ?? [], [], 'none is left');
    await Promise.all([child.close(), parent.close(), events.close()]);
    await producer.close();
}

async function schedulersAndLimits() {
    const queue = new Queue('repeat', { connection });
    const seen = [];
    const worker = new Worker('repeat', async (job) => seen.push(job.name), { connection, limiter: { max: 2, duration: 100 } });
    await queue.upsertJobScheduler('every', { every: 50, limit: 3 }, { name: 'tick', data: {} });
    await until(() => seen.filter((name) => name === 'tick').length >= 2, 'a job that repeats');
    same((await queue.getJobSchedulers()).length, 1, 'listed');
    await queue.removeJobScheduler('every');
    same((await queue.getJobSchedulers()).length, 0, 'removed');
    const begin = Date.now();
    await queue.addBulk([1, 2, 3, 4, 5].map((n) => ({ name: `limited ${n}`, data: {} })));
    await until(() => seen.filter((name) => name.startsWith('limited')).length === 5, 'jobs under a limit');
    holds(Date.now() - begin >= 100, 'the limit is held');
    const first = await queue.add('once', {}, { deduplication: { id: 'd', ttl: 60000 } });
    const second = await queue.add('once', {}, { deduplication: { id: 'd', ttl: 60000 } });
    same(second.id, first.id, 'a duplicate is the first job');
    await worker.close();
    await queue.drain();
    same(await queue.count(), 0, 'drained');
    await queue.close();
}

async function stalled() {
    const queue = new Queue('stall', { connection });
    await queue.add('lost', {});
    // A worker that takes a job and never says anything again.
    const silent = new Worker('stall', null, { connection, lockDuration: 100 });
    const taken = await silent.getNextJob('token');
    same(taken.name, 'lost', 'taken by hand');
    const seen = [];
    const worker = new Worker('stall', async (job) => seen.push(job.id), { connection, stalledInterval: 100, lockDuration: 1000 });
    await until(() => seen.length === 1, 'a stalled job is taken by another');
    same(seen[0], taken.id, 'the same job');
    await worker.close();
    await silent.close(true);
    await queue.close();
}

run(async () => {
    for (const flow of [addAndWork, retries, order, flows, schedulersAndLimits, stalled]) await flow();
});

"""arq: jobs, deferred ones, retries, failures, aborting, uniqueness."""

import asyncio
from datetime import timedelta

from arq import Retry, create_pool
from arq.connections import RedisSettings
from arq.jobs import Job, JobStatus
from arq.worker import Worker, func

from checks import PORT, done, holds, same

settings = RedisSettings(host="127.0.0.1", port=PORT)


async def add(ctx, x, y):
    return x + y


async def broken(ctx):
    raise ValueError("as asked")


async def flaky(ctx):
    if ctx["job_try"] < 3:
        raise Retry(defer=0.05)
    return ctx["job_try"]


async def endless(ctx):
    await asyncio.Event().wait()


async def outcome(job):
    try:
        return await job.result(timeout=20, poll_delay=0.02)
    except Exception as error:
        return repr(error)


async def flow():
    pool = await create_pool(settings)
    worker = Worker([add, broken, func(flaky, max_tries=5), endless], redis_settings=settings, burst=False, poll_delay=0.02,
                    allow_abort_jobs=True, handle_signals=False, keep_result=1000)
    running = asyncio.create_task(worker.async_run())
    same(await outcome(await pool.enqueue_job("add", 2, 3)), 5, "a job")
    same(await outcome(await pool.enqueue_job("broken")), "ValueError('as asked')", "a failure")
    same(await outcome(await pool.enqueue_job("flaky")), 3, "tried again")
    same(await outcome(await pool.enqueue_job("add", 1, 1, _defer_by=timedelta(milliseconds=100))), 2, "deferred")
    far = await pool.enqueue_job("add", 1, 1, _job_id="far", _defer_by=3600)
    same(await far.status(), JobStatus.deferred, "for much later")
    same(await pool.enqueue_job("add", 5, 5, _job_id="far"), None, "an id is taken once")
    batch = [await pool.enqueue_job("add", n, n) for n in range(10)]
    same([await outcome(job) for job in batch], [2 * n for n in range(10)], "a batch")
    same(await Job("nosuch", pool).status(), JobStatus.not_found, "no such job")
    stuck = await pool.enqueue_job("endless")
    holds(await stuck.abort(timeout=20, poll_delay=0.02), "aborted")
    info = await far.info()
    same((info.function, info.args), ("add", (1, 1)), "looked at")
    same(len(await pool.queued_jobs()), 1, "what is queued")
    holds(len(await pool.all_job_results()) >= 14, "results are kept")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


asyncio.run(flow())
done()

"""rq: jobs, dependencies, failures, retries, schedules, cancelling, registries."""

from datetime import timedelta

from redis import Redis
from rq import Queue, Retry, SimpleWorker
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry

from checks import PORT, done, fails, holds, same, until

import jobs

connection = Redis(host="127.0.0.1", port=PORT)
queue, low = Queue("default", connection=connection), Queue("low", connection=connection)


def work(*queues, with_scheduler=False):
    SimpleWorker(queues, connection=connection).work(
        burst=True, with_scheduler=with_scheduler, logging_level="CRITICAL"
    )


first = queue.enqueue(jobs.add, 2, 3)
second = queue.enqueue(jobs.add, 1, 1, depends_on=first)
urgent = queue.enqueue(jobs.add, 0, 1, at_front=True)
bad = queue.enqueue(jobs.fail)
retried = queue.enqueue(jobs.work_at_last, "r", retry=Retry(max=3))
slow = low.enqueue(jobs.add, 9, 9)
same(queue.job_ids[0], urgent.id, "in front")
same(len(queue), 4, "what depends waits apart")
work(queue, low)
same([job.return_value() for job in (first, second, urgent, slow)], [5, 2, 1, 18], "results")
same(bad.get_status(), "failed", "a failure")
holds("as asked" in (bad.latest_result().exc_string or ""), "with its text")
same(bad.id in FailedJobRegistry(queue=queue), True, "registered")
same(first.id in FinishedJobRegistry(queue=queue), True, "finished ones too")
same(retried.return_value(), 3, "tried again")
bad.requeue()
same(len(queue), 1, "queued again")
Job.fetch(bad.id, connection=connection).delete()
same(len(queue), 0, "deleted")
many = queue.enqueue_many([Queue.prepare_data(jobs.add, (n, n)) for n in range(5)])
work(queue)
same([job.return_value() for job in many], [0, 2, 4, 6, 8], "a batch")
later = queue.enqueue_in(timedelta(seconds=3600), jobs.add, 1, 1)
same(later.id in ScheduledJobRegistry(queue=queue), True, "scheduled")
later.cancel()
same(later.get_status(refresh=True), "canceled", "cancelled")
parent = queue.enqueue(jobs.fail)
held = queue.enqueue(jobs.add, 1, 1, depends_on=parent)
work(queue)
same(held.get_status(), "deferred", "held by a failure")
same(queue.enqueue(jobs.add, 1, 1, job_id="mine").id, "mine", "an id of its own")
fails(Exception, "no such job", Job.fetch, "nosuch", connection=connection)
until(lambda: queue.empty() is not None, "emptied")
same(len(queue), 0, "empty")
done()

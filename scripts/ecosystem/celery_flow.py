"""Celery with Redis as broker and as backend: tasks, groups, chains, chords, retries, errors, revoking."""

import threading

import celery
from celery import Celery, chain, chord, group
from celery.contrib.testing.worker import start_worker

from checks import URL, done, fails, holds, same, until

app = Celery("flow", broker=URL, backend=URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 60},
    result_expires=1000,
    task_track_started=True,
    worker_hijack_root_logger=False,
)
tries = {}
gate = threading.Event()


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def broken():
    raise ValueError("as asked")


@app.task(bind=True, max_retries=3)
def flaky(self, name):
    tries[name] = tries.get(name, 0) + 1
    if tries[name] < 3:
        raise self.retry(countdown=0.05, exc=RuntimeError(f"try {tries[name]}"))
    return tries[name]


@app.task(bind=True)
def reporting(self):
    self.update_state(state="HALF", meta={"done": 50})
    gate.wait(20)
    return "reported"


def flow():
    same(add.delay(2, 3).get(timeout=20), 5, "a task")
    error = fails(ValueError, "a failure comes back", broken.delay().get, timeout=20)
    same(str(error), "as asked", "with its text")
    same(group(add.s(n, n) for n in range(10))().get(timeout=20), [2 * n for n in range(10)], "a group")
    same(chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=20), 10, "a chain")
    same(chord((add.s(n, 1) for n in range(10)), total.s())().get(timeout=20), 55, "a chord")
    same(chord([chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(3, 3)], total.s())().get(timeout=20), 12, "a chord in a chord")
    same((group(add.s(1, 1), add.s(2, 2)) | total.s() | add.s(10)).delay().get(timeout=20), 16, "a group in a chain")
    same(group(chain(add.s(n, 1), add.s(1)) for n in range(3))().get(timeout=20), [2, 3, 4], "chains in a group")
    fails(Exception, "a chord whose part fails", chord([add.s(1, 1), broken.s()], total.s())().get, timeout=20)
    same(flaky.delay("a").get(timeout=20), 3, "a task that is tried again")
    same(add.apply_async((1, 1), countdown=0.2).get(timeout=20), 2, "a task for later")
    same(add.apply_async((1, 1), priority=9).get(timeout=20), 2, "a task with a priority")
    result = reporting.delay()
    until(lambda: result.state == "HALF", "its progress")
    same(result.info, {"done": 50}, "with its figures")
    gate.set()
    same(result.get(timeout=20), "reported", "and its result")
    stored = celery.result.AsyncResult(result.id, app=app)
    same((stored.state, stored.result), ("SUCCESS", "reported"), "looked up by its id")
    stored.forget()
    same(celery.result.AsyncResult(result.id, app=app).state, "PENDING", "forgotten")
    late = add.apply_async((1, 1), countdown=3600)
    late.revoke()
    inspect = app.control.inspect(timeout=2)
    holds(inspect.ping(), "workers answer")
    until(lambda: any(late.id in ids for ids in (inspect.revoked() or {}).values()), "revoked")


with start_worker(app, perform_ping_check=False, pool="threads", concurrency=4, loglevel="ERROR"):
    flow()
    done()

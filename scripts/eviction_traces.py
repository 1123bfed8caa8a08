"""The traces of eviction-bench.py: who asks for which key in which order, made from a seed.

A trace is an array of key numbers. What a workload of its kind does to a cache:

zipf-0.8, zipf-1.0, zipf-1.2   Popularity that falls with the rank to that power and never changes: counting wins.
scan                           zipf-1.0, into which sequential passes over keys of their own are mixed, every second request while
                               one lasts: whoever keeps what was asked for last loses the popular keys to the pass.
shift                          Nine requests of ten go to a hot set half as large as the cache, which is another one after every
                               tenth of the trace: whoever counts and does not forget keeps the dead.

Python's standard library only.
"""
import random
from array import array
from itertools import accumulate

# What fraction of the keys a cache of the usual size holds.
HELD_SHARE = 0.1
SCAN_SHARE, HOT_SHARE, SHIFTS = 0.3, 0.9, 10


def zipf(dice, keys, requests, exponent):
    weights = list(accumulate(1 / rank ** exponent for rank in range(1, keys + 1)))
    # Key numbers say nothing about the rank.
    names = list(range(keys))
    dice.shuffle(names)
    return array("I", dice.choices(names, cum_weights=weights, k=requests))


def scan(dice, keys, requests):
    """Passes as long as the cache is large, over as many keys again as there are, in order."""
    length = int(keys * HELD_SHARE)
    passes = max(1, int(requests * SCAN_SHARE / length))
    quiet = requests // passes - 2 * length
    popular = iter(zipf(dice, keys, requests - passes * length, 1.0))
    trace, at = array("I"), 0
    for _ in range(passes):
        trace.extend(next(popular) for _ in range(quiet))
        for _ in range(length):
            trace.append(next(popular))
            trace.append(keys + at % keys)
            at += 1
    trace.extend(popular)
    return trace


def shift(dice, keys, requests):
    size, trace = int(keys * HELD_SHARE / 2), array("I")
    for _ in range(SHIFTS):
        hot = dice.sample(range(keys), size)
        for _ in range(requests // SHIFTS):
            trace.append(dice.choice(hot) if dice.random() < HOT_SHARE else dice.randrange(keys))
    return trace


TRACES = {
    "zipf-0.8": lambda *about: zipf(*about, 0.8),
    "zipf-1.0": lambda *about: zipf(*about, 1.0),
    "zipf-1.2": lambda *about: zipf(*about, 1.2),
    "scan": scan,
    "shift": shift,
}


def make(name, keys, requests, seed):
    """The trace of that name: `requests` numbers of keys, of which the cache is meant to hold `HELD_SHARE` of `keys`."""
    return TRACES[name](random.Random(f"{name} {seed}"), keys, requests)

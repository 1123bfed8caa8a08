"""The scripts whose cost bench.py measures: what applications run, and what shows a single part of the cost.

Each has the command that runs it, and how many times fewer requests a run makes than a plain command's does. EVALSHA's scripts are
loaded before the first run, which `prepare` says.
"""
import hashlib

UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"

# A limiter with a sliding window: five events in 100 units of time.
WINDOW = """local now, window = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - window)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], now, now)
redis.call('PEXPIRE', KEYS[1], window)
return 1"""

JSON = '{"a":1,"b":[1,2,3],"c":"hello","d":{"e":true}}'

# name: the script, its number of keys, keys and arguments, and by how much the number of requests is divided.
_LOADED = {
    "script-nothing": ("return 1", ["0"], 1),
    "script-get": ("return redis.call('get', KEYS[1])", ["1", "script:key"], 1),
    "script-100-gets": ("for i = 1, 100 do redis.call('get', KEYS[1]) end", ["1", "script:key"], 25),
    "script-unlock": (UNLOCK, ["1", "script:key", "not the owner"], 1),
    "script-window": (WINDOW, ["1", "script:window", "1000", "100", "5"], 2),
    "script-hgetall": ("return redis.call('hgetall', KEYS[1])", ["1", "script:hash"], 4),
    "script-cjson": ("return cjson.encode(cjson.decode(ARGV[1]))", ["0", JSON], 4),
    "script-loop": ("for i = 1, 1e5 do end", ["0"], 500),
}

TESTS = {name: (["EVALSHA", hashlib.sha1(script.encode()).hexdigest(), *rest], fewer)
         for name, (script, rest, fewer) in _LOADED.items()}
# A body that is sent with every request.
TESTS["script-eval"] = (["EVAL", "-- " + "x" * 2790 + "\nreturn 1", "0"], 2)


def prepare():
    """What a server is told before the first run."""
    fields = [word for number in range(20) for word in (f"field{number}", f"value{number}")]
    return [["SET", "script:key", "hello"], ["HSET", "script:hash", *fields],
            *(["SCRIPT", "LOAD", script] for script, _, _ in _LOADED.values())]

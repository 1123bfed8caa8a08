"""What Sentinel needs of a server, looked at one by one before sentinel-test.py breaks anything. `run` is its Run: three servers, the first
of them the primary."""
import time

import redis

from waiting import until

# What a sentinel sends to a server that it reconfigures, in one transaction; before them SLAVEOF with what it is to be.
RECONFIGURE = (("CONFIG", "REWRITE"), ("CLIENT", "KILL", "TYPE", "normal"), ("CLIENT", "KILL", "TYPE", "pubsub"))
# A loop without end, which SCRIPT KILL ends as it writes nothing.
LOOP = "while true do end"


def pairs(words):
    """What a sentinel says of an instance, as a dictionary."""
    return dict(zip(words[::2], words[1::2]))


def servers(run):
    """The primary, and the replicas when they have caught up."""
    primary, *replicas = (process for name, process in run.processes.items() if name.startswith("server"))
    for replica in replicas:
        until(lambda r=replica: r.replication()["master_link_status"] == "up", f"{replica.name}'s link is up")
    until(lambda: [slave(primary, n)["state"] for n in (0, 1)] == ["online", "online"], "the primary has two replicas")
    return primary, replicas


def slave(primary, number):
    """A line `slaveN` of the primary's INFO."""
    return primary.replication()[f"slave{number}"]


def of_servers(run):
    """What can be seen without sentinels."""
    primary, replicas = servers(run)
    with primary.client() as client:
        client.set("key", "value")
        run.hold(client.wait(2, 5000) == 2, "WAIT 2 does not see both replicas")
    info(run, primary, replicas)
    link_down(run, primary, replicas[0])
    rewrite(run, primary, replicas[0])
    reconfigure(run, primary)
    servers(run)


def info(run, primary, replicas):
    """The fields that a sentinel parses."""
    run.hold(len(primary.ask("INFO", "server")["run_id"]) == 40, "INFO has no run_id of 40 characters")
    run.hold({(slave(primary, n)["ip"], slave(primary, n)["port"]) for n in (0, 1)} == {(r.address, r.port) for r in replicas},
             f"INFO of the primary names {slave(primary, 0)} and {slave(primary, 1)}")
    for replica in replicas:
        seen = replica.replication()
        wanted = {"role": "slave", "master_host": primary.address, "master_port": primary.port, "master_link_status": "up",
                  "slave_priority": 100, "replica_announced": 1}
        found = {field: seen.get(field) for field in wanted}
        run.hold(found == wanted, f"INFO of {replica.name} says {found}")
        run.hold("slave_repl_offset" in seen, f"INFO of {replica.name} has no slave_repl_offset")
        run.hold("master_link_down_since_seconds" not in seen, f"INFO of {replica.name} says that its link is down")
        run.hold(replica.ask("ROLE")[:4] == ["slave", primary.address, primary.port, "connected"], f"ROLE says {replica.ask('ROLE')}")
    run.hold(primary.ask("ROLE")[0] == "master" and len(primary.ask("ROLE")[2]) == 2, f"ROLE says {primary.ask('ROLE')}")
    replicas[0].ask("CONFIG", "SET", "replica-priority", "7")
    run.hold(replicas[0].replication()["slave_priority"] == 7, "INFO does not show a new replica-priority")
    replicas[0].ask("CONFIG", "SET", "replica-priority", "100")


def link_down(run, primary, replica):
    """A replica whose primary is not there says so, and since when; and comes back."""
    replica.ask("REPLICAOF", primary.address, "1")
    down = until(lambda: (seen := replica.replication())["master_link_status"] == "down" and seen, "the link is down")
    run.hold("master_link_down_since_seconds" in down, "INFO has no master_link_down_since_seconds")
    with replica.client() as client:
        run.hold(client.get("key") == "value", "a replica whose link is down does not serve its data")
        try:
            client.set("key", "other")
            run.hold(False, "a replica accepts a write")
        except redis.exceptions.ReadOnlyError:
            pass
    replica.ask("REPLICAOF", primary.address, primary.port)
    servers(run)


def rewrite(run, primary, replica):
    """CONFIG REWRITE keeps `replicaof`, and takes it away from who is no replica any more."""
    line = ["replicaof", primary.address, str(primary.port)]
    replica.ask("CONFIG", "REWRITE")
    run.hold(line in replica.configured(), f"CONFIG REWRITE leaves {replica.conf} without {' '.join(line)}")
    replica.ask("REPLICAOF", "NO", "ONE")
    replica.ask("CONFIG", "REWRITE")
    run.hold(not [words for words in replica.configured() if words[:1] == ["replicaof"]], f"{replica.conf} keeps replicaof after NO ONE")
    run.hold(replica.replication()["role"] == "master", "REPLICAOF NO ONE makes no primary")
    replica.ask("SLAVEOF", primary.address, primary.port)
    replica.ask("CONFIG", "REWRITE")
    run.hold(line in replica.configured(), f"CONFIG REWRITE leaves {replica.conf} without {' '.join(line)} after SLAVEOF")
    servers(run)


def reconfigure(run, primary):
    """The transaction with which a sentinel makes a primary: ordinary clients and subscribers are disconnected, replicas and itself not."""
    normal, subscriber = primary.client(), primary.client()
    normal.ping()
    channel = subscriber.pubsub()
    channel.subscribe("channel")
    channel.get_message(timeout=2)
    with primary.client() as sentinel:
        for words in (("MULTI",), ("SLAVEOF", "NO", "ONE"), *RECONFIGURE):
            sentinel.execute_command(*words)
        replies = sentinel.execute_command("EXEC")
        right = replies[:2] == ["OK", "OK"] and replies[2] >= 1 and replies[3] == 1
        run.hold(right, f"the transaction of a sentinel is answered {replies}")
        run.hold(sentinel.ping(), "who sends CLIENT KILL is disconnected itself")
    for name, action in (("an ordinary client", normal.ping), ("a subscriber", lambda: channel.get_message(timeout=2))):
        try:
            action()
            run.hold(False, f"{name} survives CLIENT KILL TYPE")
        except redis.ConnectionError:
            pass
    run.hold([slave(primary, n)["state"] for n in (0, 1)] == ["online", "online"], "CLIENT KILL TYPE normal disconnects replicas")


def of_sentinels(run):
    """What shows only with sentinels around."""
    primary = until(run.whole, "all servers and sentinels agree")
    sentinels = [process for name, process in run.processes.items() if name.startswith("sentinel")]
    for server in (process for name, process in run.processes.items() if name.startswith("server")):
        hello(server, primary, sentinels)
    for sentinel in sentinels:
        run.hold(sentinel.ask("SENTINEL", "CKQUORUM", run.group).startswith("OK 3 "), f"{sentinel.name} sees no quorum")
    script_kill(run, next(iter(run.others(primary))), sentinels)
    until(run.whole, "all servers and sentinels agree")


def hello(server, primary, sentinels):
    """Each sentinel announces itself on every server: its address, and what it takes for the primary."""
    heard = set()
    with server.client() as client:
        channel = client.pubsub(ignore_subscribe_messages=True)
        channel.subscribe("__sentinel__:hello")
        wanted = {(sentinel.address, primary.address) for sentinel in sentinels}

        def listen():
            if message := channel.get_message(timeout=1):
                words = message["data"].split(",")
                heard.add((words[0], words[5]))
            return heard >= wanted

        until(listen, f"all sentinels announce themselves on {server.name}; heard {heard}", 15)


def script_kill(run, replica, sentinels):
    """A replica that a script holds is taken for dead, its script is ended, and it is back."""
    since = time.time()
    with replica.client(socket_timeout=30) as client:
        try:
            client.execute_command("EVAL", LOOP, 0)
            run.hold(False, "a script without end ends by itself")
        except redis.ResponseError as error:
            run.hold("killed" in str(error), f"a script that a sentinel ends is answered {error}")
    down = [sentinel for sentinel in sentinels if sentinel.events("+sdown", since, f"slave {replica.address}")]
    run.hold(down, f"{replica.name} was held by a script, and no sentinel noticed")

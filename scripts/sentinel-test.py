#!/usr/bin/env python3
"""Has three sentinels watch a primary and two replicas, each on a machine of its own, and does these to them in rounds, while clients
write through redis-py and ioredis (beyond/writer.py, writer.js) on two further machines; called by sentinel-test.sh.

switch   SENTINEL FAILOVER while the primary refuses writes, so that the replicas have everything: nothing is broken.
kill     The primary is killed with SIGKILL, and started again on its directory when another has taken over.
stop     The primary is stopped with SIGSTOP, and goes on when another has taken over.
cut      The primary, one sentinel and half of the clients are cut off from the rest, until another has taken over and the cut side
         must have stopped accepting writes.
replica  A replica is killed with SIGKILL, and started again after a while. Nobody takes over.

Of each round it prints when the sentinels took the primary for dead (+sdown, +switch-master, from their logs) and when each client's first
write succeeded, in seconds since the fault, and how many writes were acknowledged and lost. Servers have
`min-replicas-to-write 1`. Then these must hold:

- What WAIT 1 acknowledged is there, after every fault; and a counter that WAIT 1 acknowledged is never seen lower.
- On the cut side nothing is acknowledged later than `min-replicas-max-lag` and --lag-slack after the cut, WAIT or not.
- Clients write again, and read from replicas. The first does no later than SLACK_S after the first sentinel has switched over, plus what
  a silent connection takes to time out where nothing is refused, and in `switch` a tick of the sentinels' timer and a WAIT that runs out;
  every one no later than CLIENT_S after the last sentinel, which is for libraries that ask a sentinel that does not know yet, and for
  their own pauses.
- Primary and replicas hold the same in the end.

First it looks at what Sentinel asks of a server (beyond/sentinel_checks.py), and at the end at what is in the configuration files. Exit
status 1 means that something did not hold; the directory with logs is kept then, and named.
"""
import argparse
import calendar
import collections
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "beyond"))
import sentinel_checks as checks  # noqa: E402
from machines import Loopback, Namespaces  # noqa: E402
from process import Process  # noqa: E402
from waiting import Fault, NotYet, until  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
GROUP = "mymaster"
SERVERS, SENTINELS = ("server1", "server2", "server3"), ("sentinel1", "sentinel2", "sentinel3")
FAULTS = ("switch", "kill", "stop", "cut", "replica")
SERVER_PORT, SENTINEL_PORT = 21379, 21380
DOWN_AFTER_MS, MAX_LAG_S, WAIT_MS = 2000, 2, 300
# What clients may take beyond the sentinels' own time; and how long their connections wait for an answer.
SLACK_S, CLIENT_S, SILENCE_S = 0.1, 1.5, 0.6
# A sentinel does what is to be done ten times a second: so much later than another's +switch-master it may tell the other replica whom
# to follow, which a primary that lives does not let go of before.
TIMER_S = 0.1
SERVER_CONF = f"""save ""
min-replicas-to-write 1
min-replicas-max-lag {MAX_LAG_S}
repl-diskless-sync-delay 0
busy-reply-threshold 200
"""
SENTINEL_CONF = f"""sentinel monitor {GROUP} {{primary}} {SERVER_PORT} 2
sentinel down-after-milliseconds {GROUP} {DOWN_AFTER_MS}
sentinel failover-timeout {GROUP} 10000
sentinel parallel-syncs {GROUP} 2
"""
# On loopback addresses, where connections do not tell who they are of.
ANNOUNCE = {"server": "replica-announce-ip {address}\n", "sentinel": "sentinel announce-ip {address}\n"}
LOG_LINE = re.compile(r"\d+:X (\d+ \w+ \d+ [\d:]+)\.(\d+) . (\S+) (.*)")


class Member(Process):
    """A server or a sentinel, on a machine of its own."""

    def __init__(self, run, name, program, conf):
        if not run.network.can_cut:
            conf += ANNOUNCE[name.rstrip("123")].format(address=run.network.addresses[name])
        place = run.network.addresses[name], SERVER_PORT if name in SERVERS else SENTINEL_PORT
        super().__init__(run.dir, name, program, place, conf, run.network.command(name, []))

    def replication(self):
        with self.client() as client:
            return client.info("replication")

    def configured(self):
        """The lines of the configuration file as it is now."""
        with open(self.conf, encoding="utf-8") as file:
            return [line.split() for line in file.read().splitlines()]

    def events(self, kind, since, about=f"master {GROUP} "):
        """The moments, from one on, at which a sentinel's log tells of an event."""
        found = []
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as log:
            for when, ms, event, rest in (match.groups() for match in map(LOG_LINE.match, log) if match):
                moment = calendar.timegm(time.strptime(when, "%d %b %Y %H:%M:%S")) + int(ms) / 1000
                if event == kind and rest.startswith(about) and moment >= since:
                    found.append(moment)
        return found


class Writer:
    """One client's process, and what it says."""

    def __init__(self, run, machine, name, words):
        self.name, self.machine = name, machine
        # Per step: number, begin, end, replicas that WAIT told of; or the error instead of the latter. The first of
        # these that nobody has looked for yet.
        self.steps, self.refused, self.unchecked = [], [], 0
        # The counter when WAIT last acknowledged it, and what a replica showed of it last.
        self.count, self.shown = 0, (0, 0)
        self.faults = []
        places = [f"{run.network.addresses[sentinel]}:{SENTINEL_PORT}" for sentinel in SENTINELS]
        with open(os.path.join(run.dir, f"{name}.out"), "ab") as out:
            self.process = subprocess.Popen(run.network.command(machine, [*words, name, GROUP, str(WAIT_MS), *places]),
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            kind, number, begin, end, *rest = line.split(maxsplit=4)
            if kind == "no":
                self.refused.append((int(number), float(begin), float(end), rest[0].strip() if rest else ""))
                continue
            replicas, count, shown = map(int, rest[0].split())
            if count <= self.count:
                self.faults.append(f"{self.name}: WAIT 1 acknowledged the counter at {self.count}, and then it went to {count}")
            if replicas >= 1:
                self.count = count
            if shown >= 0:
                self.shown = (float(end), shown)
            self.steps.append((int(number), float(begin), float(end), replicas))

    def first_after(self, moment):
        """When the first write that began after a moment succeeded."""
        return next((end for _, begin, end, _ in self.steps[:] if begin > moment), None)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()


class Run:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.dir = tempfile.mkdtemp(prefix="aleadb-sentinel-")
        self.network = Loopback() if options.loopback else Namespaces()
        for machine in (*SERVERS, *SENTINELS, "here", "there"):
            self.network.add(machine)
        self.group, self.processes, self.writers = GROUP, {}, []
        self.faults = []
        self.acknowledged, self.waited, self.lost = 0, 0, 0

    def start(self):
        first = self.network.addresses[SERVERS[0]]
        programs = self.options.server.split(";")
        for at, name in enumerate(SERVERS):
            conf = SERVER_CONF if name == SERVERS[0] else SERVER_CONF + f"replicaof {first} {SERVER_PORT}\n"
            self.processes[name] = Member(self, name, programs[at % len(programs)].strip(), conf)
        checks.of_servers(self)
        for name in SENTINELS:
            self.processes[name] = Member(self, name, self.options.sentinel, SENTINEL_CONF.format(primary=first))
        checks.of_sentinels(self)

    def write(self):
        """Starts the clients."""
        kinds = {"redis-py": [sys.executable, os.path.join(HERE, "beyond", "writer.py")]}
        if self.options.node:
            kinds["ioredis"] = [self.options.node, os.path.join(HERE, "beyond", "writer.js")]
        for machine in ("here", "there"):
            for kind, words in kinds.items():
                self.writers.append(Writer(self, machine, f"{kind}-{machine}", words))

    def end_writers(self):
        for writer in self.writers:
            writer.end()

    def end(self):
        self.end_writers()
        for process in self.processes.values():
            process.signal(signal.SIGKILL)

    def of(self, names):
        return [self.processes[name] for name in names]

    def others(self, primary):
        return [process for process in self.of(SERVERS) if process is not primary]

    def whole(self):
        """The primary, when everything is as it should be."""
        named = {sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP)[0] for sentinel in self.of(SENTINELS)}
        if len(named) != 1:
            raise NotYet(f"sentinels name {named}")
        primary = next(process for process in self.of(SERVERS) if process.address in named)
        seen = primary.replication()
        if seen["role"] != "master" or [seen.get(f"slave{n}", {}).get("state") for n in (0, 1)] != ["online", "online"]:
            raise NotYet(f"{primary.name} says {seen}")
        for replica in self.others(primary):
            seen = replica.replication()
            if seen["role"] != "slave" or seen["master_host"] != primary.address or seen["master_link_status"] != "up":
                raise NotYet(f"{replica.name} says {seen}")
        for sentinel in self.of(SENTINELS):
            for what in ("REPLICAS", "SENTINELS"):
                known = [checks.pairs(entry) for entry in sentinel.ask("SENTINEL", what, GROUP)]
                if len(known) != 2 or any(word in entry["flags"] for entry in known for word in ("s_down", "o_down", "disconnected")):
                    raise NotYet(f"{sentinel.name} knows as {what.lower()} {[(entry['ip'], entry['flags']) for entry in known]}")
                # One that still takes a replica for a primary would undo its promotion.
                if any(entry.get("role-reported", "slave") != "slave" for entry in known):
                    raise NotYet(f"{sentinel.name} has not heard yet that {[entry['ip'] for entry in known]} are replicas")
            if "failover_in_progress" in (flags := checks.pairs(sentinel.ask("SENTINEL", "MASTER", GROUP))["flags"]):
                raise NotYet(f"{sentinel.name} says of the primary {flags}")
        return primary

    def await_whole(self):
        """Waits until everything is as it should be, and every client writes and reads from a replica."""
        primary = until(self.whole, "all servers and sentinels agree")
        began = time.time()
        for writer in self.writers:
            until(lambda w=writer: any(step[3] for step in w.steps[-20:] if step[1] > began), f"{writer.name} writes again")
            until(lambda w=writer: w.shown[0] > began, f"{writer.name} reads from a replica again")
        return primary

    def round(self, number, fault):
        """One fault, from a whole group to a whole group."""
        primary = self.await_whole()
        aside = {primary.name, SENTINELS[2], "there"} if fault == "cut" else set()
        sentinels = [sentinel for sentinel in self.of(SENTINELS) if sentinel.name not in aside]
        able = [writer for writer in self.writers if writer.machine not in aside]
        refused = {writer: len(writer.refused) for writer in self.writers}
        began = time.time()
        heal = getattr(self, fault)(primary)
        acted = time.time()
        if fault != "replica":
            until(lambda: all(self.switches(sentinel, began) for sentinel in sentinels), "the sentinels switch over")
        for writer in able:
            until(lambda w=writer: w.first_after(acted), f"{writer.name} writes after the fault")
        if fault == "cut":
            # The cut side must have been silent for a while before its silence proves anything.
            until(lambda: time.time() > acted + MAX_LAG_S + 3, "the cut side had its time", MAX_LAG_S + 5)
        healed = time.time()
        heal()
        now = self.await_whole()
        self.hold((now is not primary) == (fault != "replica"), f"{now.name} is the primary, after {primary.name}")
        sdown = min((moment for sentinel in sentinels for moment in sentinel.events("+sdown", began)), default=None)
        switched = sorted(moment for sentinel in sentinels for moment in self.switches(sentinel, began))
        print(f"{number:2} {fault:8} {primary.name} -> {now.name}, whole again after {time.time() - acted:.1f} s")
        if switched:
            seen = f"+sdown {sdown - acted:.2f} s, " if sdown else ""
            took = f" ({switched[0] - sdown:.2f} s later)" if sdown else ""
            print(f"   sentinels: {seen}+switch-master {switched[0] - acted:.2f} s{took}, the last of them {switched[-1] - acted:.2f} s")
        self.report_writers(fault, acted, switched, able, refused)
        if fault == "cut":
            self.report_cut_side(acted, healed, [writer for writer in self.writers if writer.machine in aside])
        self.report_losses(now, acted)
        sys.stdout.flush()

    @staticmethod
    def switches(sentinel, since):
        return sentinel.events("+switch-master", since, f"{GROUP} ")

    # The faults: each returns what ends it.

    def switch(self, primary):
        # Sentinel makes the new primary first and tells the old one later. What the old one accepts in between is lost, WAIT 1 or not,
        # as the other replica still acknowledges it. So it accepts nothing: CLIENT PAUSE would hold the sentinels' own PUBLISH back.
        def accept(replicas):
            primary.ask("CONFIG", "SET", "min-replicas-to-write", str(replicas))

        accept(len(SERVERS))
        offset = primary.replication()["master_repl_offset"]
        until(lambda: all(r.replication()["slave_repl_offset"] >= offset for r in self.others(primary)), "the replicas have everything")
        self.processes[SENTINELS[0]].ask("SENTINEL", "FAILOVER", GROUP)
        return lambda: accept(1)

    def kill(self, primary):
        primary.signal(signal.SIGKILL)
        return primary.start

    def stop(self, primary):
        primary.signal(signal.SIGSTOP)
        return lambda: primary.signal(signal.SIGCONT)

    def cut(self, primary):
        self.network.cut([primary.name, SENTINELS[2], "there"])
        return self.network.heal

    def replica(self, primary):
        replica, since = self.random.choice(self.others(primary)), time.time()
        replica.signal(signal.SIGKILL)
        until(lambda: all(s.events("+sdown", since, f"slave {replica.address}") for s in self.of(SENTINELS)), "the sentinels miss it")

        def heal():
            replica.start()
            self.hold(replica.replication()["role"] == "slave", f"{replica.name} is no replica when it comes back")

        return heal

    # What came of it.

    def hold(self, condition, what):
        if not condition:
            self.faults.append(what)
            print(f"   FAULT: {what}")

    def report_writers(self, fault, acted, switched, able, refused):
        times = {writer: writer.first_after(acted) for writer in able}
        text = ", ".join(f"{writer.name} {moment - acted:.2f} s" for writer, moment in times.items())
        errors = collections.Counter(words[3][:60] for writer, count in refused.items() for words in writer.refused[count:])
        print(f"   first writes: {text}; refused or unanswered {sum(errors.values())}: "
              + "; ".join(f"{count} {error}" for error, count in errors.most_common(3)))
        if not switched:
            return
        slack = SLACK_S + {"stop": SILENCE_S, "cut": SILENCE_S, "switch": TIMER_S + WAIT_MS / 1000}.get(fault, 0)
        late = min(times.values()) - switched[0]
        print(f"   the first client after the first +switch-master: {late * 1000:.0f} ms")
        self.hold(late <= slack, f"{fault}: the first client wrote {late:.3f} s after the first +switch-master, {slack} s were allowed")
        for writer, moment in times.items():
            late = moment - switched[-1]
            self.hold(late <= CLIENT_S + slack, f"{fault}: {writer.name} wrote {late:.3f} s after the last +switch-master")

    def report_cut_side(self, acted, healed, writers):
        for writer in writers:
            last = max((end for _, _, end, _ in writer.steps if acted < end < healed), default=acted) - acted
            waited = max((end for _, _, end, replicas in writer.steps if acted < end < healed and replicas), default=acted) - acted
            print(f"   cut side: {writer.name}'s last write was accepted {last:.2f} s after the cut, the last that WAIT saw {waited:.2f} s")
            self.hold(last <= MAX_LAG_S + self.options.lag_slack, f"{writer.name}'s write was accepted {last:.2f} s after the cut")

    def report_losses(self, primary, acted):
        """Looks for what was acknowledged since it last did."""
        acknowledged = waited = 0
        lost, lost_waited = [], []
        for writer in self.writers:
            steps = writer.steps[writer.unchecked:]
            writer.unchecked += len(steps)
            for step, value in zip(steps, self.values(primary, writer, steps)):
                acknowledged, waited = acknowledged + 1, waited + (step[3] >= 1)
                if value != str(step[0]):
                    (lost_waited if step[3] >= 1 else lost).append((writer, step))
            self.faults += writer.faults
            writer.faults.clear()
        self.acknowledged, self.waited, self.lost = self.acknowledged + acknowledged, self.waited + waited, self.lost + len(lost)
        window = ""
        if lost:
            ends = [step[2] - acted for _, step in lost]
            window = f", accepted {min(ends):.2f} to {max(ends):.2f} s after the fault"
        print(f"   {acknowledged} writes accepted, {waited} of them with WAIT 1; lost without WAIT {len(lost)}{window}; "
              f"lost with WAIT {len(lost_waited)}")
        for writer, step in lost_waited[:5]:
            where = f"{writer.name}:{step[0]}, {step[2] - acted:.3f} s after the fault"
            self.hold(False, f"lost though WAIT saw it on {step[3]} replicas: {where}")

    @staticmethod
    def values(server, writer, steps, chunk=1000):
        found = []
        with server.client() as client:
            for first in range(0, len(steps), chunk):
                found += client.mget([f"{writer.name}:{number}" for number, *_ in steps[first:first + chunk]])
        return found

    def compare(self):
        """The clients have ended: primary and replicas hold the same, in memory and in their configuration."""
        primary = until(self.whole, "all servers and sentinels agree")
        offset = primary.replication()["master_repl_offset"]
        until(lambda: all(r.replication()["slave_repl_offset"] >= offset for r in self.others(primary)), "the replicas have everything")
        for replica in self.others(primary):
            self.hold(replica.ask("DBSIZE") == primary.ask("DBSIZE"), f"{replica.name} has {replica.ask('DBSIZE')} keys")
            for writer in self.writers:
                same = self.values(replica, writer, writer.steps) == self.values(primary, writer, writer.steps)
                self.hold(same, f"{replica.name} differs from {primary.name} in the keys of {writer.name}")
            self.hold(["replicaof", primary.address, str(SERVER_PORT)] in replica.configured(), f"{replica.conf} lacks its replicaof")
        self.hold("replicaof" not in [line[0] for line in primary.configured() if line], f"{primary.conf} has a replicaof")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="the command line of the servers, without configuration; or several, between "
                                                        "semicolons")
    parser.add_argument("--sentinel", required=True, help="that of the sentinels")
    parser.add_argument("--node", default="", help="the Node.js that runs ioredis; without, only redis-py writes")
    parser.add_argument("--loopback", action="store_true", help="no network namespaces, and no partitions")
    parser.add_argument("--rounds", type=int, default=2, help="how often each fault comes (2)")
    parser.add_argument("--faults", default=",".join(FAULTS), help="which come, of " + ", ".join(FAULTS))
    parser.add_argument("--lag-slack", type=float, default=1,
                        help="seconds beyond min-replicas-max-lag in which the cut side may accept writes (1); Redis, which counts the lag "
                             "in whole seconds and looks once a second, needs 2")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    faults = [fault for fault in options.faults.split(",") if fault != "cut" or not options.loopback]
    run, schedule = Run(options), []
    try:
        run.start()
        run.write()
        schedule = [fault for _ in range(options.rounds) for fault in run.random.sample(faults, len(faults))]
        for number, fault in enumerate(schedule, 1):
            run.round(number, fault)
        run.end_writers()
        run.compare()
    except Fault as fault:
        run.hold(False, str(fault))
    finally:
        run.end()
    print(f"{len(schedule)} faults, {run.acknowledged} writes accepted, {run.waited} of them with WAIT 1; "
          f"{run.lost} without WAIT were lost, as may be")
    if options.loopback:
        print("NOT TESTED: partitions, as there are no network namespaces here")
    if run.faults:
        sys.exit(f"sentinel-test: {len(run.faults)} faults; the directory is {run.dir}:\n  " + "\n  ".join(run.faults))
    shutil.rmtree(run.dir)


if __name__ == "__main__":
    main()

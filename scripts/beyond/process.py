"""A server that a test starts, breaks and starts again on its directory."""
import os
import shlex
import signal
import subprocess

import redis
from waiting import until


class Process:
    """`program` is a command line that takes a configuration file and options behind it; `conf` is what the file begins with, and
    `prefix` what the command is run by."""

    def __init__(self, directory, name, program, place, conf, prefix=()):
        self.name, self.prefix, (self.address, self.port) = name, list(prefix), place
        self.dir = os.path.join(directory, name)
        os.mkdir(self.dir)
        self.conf = os.path.join(self.dir, "conf")
        with open(self.conf, "w", encoding="ascii") as file:
            file.write(f"port {self.port}\nbind {self.address}\ndir {self.dir}\nlogfile {self.dir}/log\nprotected-mode no\n{conf}")
        words = shlex.split(program)
        at = next((at for at, word in enumerate(words) if word.startswith("--")), len(words))
        self.command = [*self.prefix, *words[:at], self.conf, *words[at:]]
        self.start()

    def start(self):
        with open(os.path.join(self.dir, "out"), "ab") as out:
            # Logs tell the time that `time.gmtime` does.
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, "TZ": "UTC"})
        try:
            until(lambda: self.ask("PING") in ("PONG", True), f"{self.name} answers")
        except BaseException:
            self.signal(signal.SIGKILL)
            raise

    def client(self, **options):
        """A connection that does not wait for long, and does not try again."""
        options = {"socket_timeout": 2, "decode_responses": True, "retry": None, **options}
        return redis.Redis(self.address, self.port, single_connection_client=True, **options)

    def ask(self, *words):
        with self.client() as client:
            return client.execute_command(*words)

    def signal(self, number):
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

"""Where the processes of sentinel-test.py run: machines with an address each, on a network that can be cut in two.

`Namespaces` makes a network namespace for each machine, with a cable to one of two bridges: those on different bridges do not hear of each
other, and no connection is told. It needs a network and a /run of its own, which sentinel-test.sh provides. `Loopback` makes
do with addresses of this machine, and cannot be cut.
"""
import subprocess


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Namespaces:
    can_cut = True

    def __init__(self):
        self.addresses = {}
        for bridge in ("whole", "apart"):
            ip("link", "add", bridge, "type", "bridge")
            ip("link", "set", bridge, "up")
        # The script's own place, from where it sees the greater part.
        ip("address", "add", "10.77.0.1/24", "dev", "whole")

    def add(self, name):
        """A new machine; its address."""
        address = f"10.77.0.{len(self.addresses) + 11}"
        self.addresses[name] = address
        ip("netns", "add", name)
        ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", name, "link", "set", device, "up")
        ip("link", "set", f"to-{name}", "master", "whole", "up")
        return address

    def command(self, name, words):
        """What runs a command on a machine."""
        return ["ip", "netns", "exec", name, *words]

    def cut(self, names):
        """These machines, and no others, hear each other from now on."""
        for name in names:
            ip("link", "set", f"to-{name}", "master", "apart")

    def heal(self):
        for name in self.addresses:
            ip("link", "set", f"to-{name}", "master", "whole")


class Loopback:
    can_cut = False

    def __init__(self):
        self.addresses = {}

    def add(self, name):
        self.addresses[name] = f"127.0.0.{len(self.addresses) + 11}"
        return self.addresses[name]

    def command(self, _name, words):
        return words

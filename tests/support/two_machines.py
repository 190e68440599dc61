"""Two machines on one: network namespaces with a cable, as root may lay one."""

import ctypes
import os
import shutil
import subprocess

_CLONE_NEWNET = 0x40000000


def why_not() -> str:
    """Say why there can be no two machines here; empty if there can."""
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    probe = f"mutualformer-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode:
        return "network namespaces may not be made here"
    _ip("netns", "del", probe)
    return ""


class TwoMachines:
    """Two namespaces, 0 and 1, each with one end of a cable."""

    def __init__(self) -> None:
        self._names = [f"mf-{os.getpid()}-{rank}" for rank in (0, 1)]
        self.interfaces = [f"mf{os.getpid()}-{rank}" for rank in (0, 1)]
        for name in self._names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        pairs = zip(self.interfaces, self._names, strict=True)
        ends = [("name", end, "netns", name) for end, name in pairs]
        _ip("link", "add", *ends[0], "type", "veth", "peer", *ends[1])
        for rank, (name, end) in enumerate(zip(self._names, self.interfaces, strict=True)):
            _ip("-n", name, "address", "add", f"10.77.0.{rank + 1}/24", "dev", end)
        self.plug_in()

    def plug_in(self) -> None:
        """Connect both ends."""
        for name, end in zip(self._names, self.interfaces, strict=True):
            _ip("-n", name, "link", "set", end, "up")

    def plug_out(self, rank: int) -> None:
        """Disconnect the end of one."""
        _ip("-n", self._names[rank], "link", "set", self.interfaces[rank], "down")

    def enter(self, rank: int) -> None:
        """Make this process one of that machine; its children will be, too."""
        with open(f"/run/netns/{self._names[rank]}") as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def place(self, rank: int) -> dict[str, str]:
        """Return the variables by which two processes meet at machine 0, as Lightning asks."""
        return {
            **{"MASTER_ADDR": "10.77.0.1", "MASTER_PORT": "29500", "NODE_RANK": f"{rank}"},
            # Both have the name of this one, by which they would look for each other.
            "GLOO_SOCKET_IFNAME": self.interfaces[rank],
        }

    def remove(self) -> None:
        """Remove them, and the cable with them."""
        for name in self._names:
            _ip("netns", "del", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)

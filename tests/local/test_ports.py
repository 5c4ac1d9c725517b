"""Claims on ports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fedstate.local import ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
TAKE = "import sys; from fedstate.local import ports; print(*ports.free_ports(1, first=int(sys.argv[1])))"
KEEP = """
import subprocess
from fedstate.local import ports
taken = ports.free_ports(1)
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, pass_fds=ports.claims())
child.returncode = 0
print(child.pid, *taken)
"""


def test_who_inherits_the_claims_keeps_ports_on_which_nobody_listens_at_the_moment() -> None:
    answer = subprocess.run([sys.executable, "-c", KEEP], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True)
    pid, port = map(int, answer.stdout.split())
    try:
        assert ports.can_listen("127.0.0.1", port)
        other = subprocess.run([sys.executable, "-c", TAKE, str(port)], capture_output=True, check=True)
        assert int(other.stdout) > port
    finally:
        subprocess.run(["kill", str(pid)], check=True)

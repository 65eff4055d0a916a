"""Two processes joined by jax.distributed, each with two of four devices, against one that has all four."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from on_four_devices import parts

HELPER = Path(__file__).parents[1] / "on_two_hosts.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return where all have written their draws."""
    folder = tmp_path_factory.mktemp("hosts")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for hosts in (1, 2):
        environment = os.environ | parts(4 // hosts) | {"BAYESDYN_CACHE": str(folder / "cache")}
        with ExitStack() as stack:
            said = [stack.enter_context((folder / f"said {host}").open("w+")) for host in range(hosts)]
            running = [
                subprocess.Popen(
                    [sys.executable, HELPER, folder, str(hosts), str(host), port], stderr=log, env=environment
                )
                for host, log in enumerate(said)
            ]
            # Where one stops the other would wait for it.
            stack.callback(lambda running=running: [one.kill() for one in running])
            codes = [one.wait(timeout=600) for one in running]
            texts = [log.seek(0) or log.read() for log in said]
            assert codes == [0] * hosts, "\n".join(texts)
    return folder


@pytest.mark.parametrize("measurement", ["known", "none"])
def test_two_hosts_draw_what_one_does(folder, measurement):
    """To rounding: sums over devices are of another order. The two have the same draws, to the last digit."""
    alone, first, second = (
        np.load(folder / f"{measurement} {host} of {hosts}.npz") for host, hosts in ((0, 1), (0, 2), (1, 2))
    )
    assert alone["path"].std() > 0
    for name, values in alone.items():
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
        np.testing.assert_allclose(first[name], values, rtol=1e-5, atol=1e-7, err_msg=name)

"""A fit on four devices of one or two processes, each of which runs this script as a host does.

Run as ``python on_two_hosts.py FOLDER HOSTS HOST PORT`` with ``BAYESDYN_CACHE`` and the variables of a host's
share (:func:`on_four_devices.parts`).
"""

import sys
import warnings
from pathlib import Path

import jax
import numpy as np

import bayesdyn as bd
from on_four_devices import study


def main(folder: Path, hosts: int, host: int, port: str) -> None:
    """Fit twice with errors, the second time going on from the first, and once without; write the draws."""
    if hosts > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=hosts, process_id=host)
    measures, spec = study()
    asked = {"engine": "jax", "tune": 4, "chains": 2, "random_seed": 3, "device": "cpu", "devices": 4}
    own = folder / f"checkpoints {host} of {hosts}"
    for draws in (4, 8):
        known = bd.fit(measures, spec, measurement="known", draws=draws, resume=own, **asked)
    none = bd.fit(measures, spec, measurement="none", draws=8, **asked)
    for name, fit in (("known", known), ("none", none)):
        draws = {name: values.values for name, values in fit["posterior"].data_vars.items()}
        np.savez(folder / f"{name} {host} of {hosts}.npz", **draws)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

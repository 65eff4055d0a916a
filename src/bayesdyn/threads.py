"""How JAX shares the cores with the chains of a sampler."""

import os


def give_cores_to_chains() -> None:
    """Keep XLA's CPU pool to one thread, unless the user has set ``PJRT_NPROC``.

    The states of one study are small arrays: splitting each operation over threads costs more than it
    saves, and with chains in parallel the pools wait for each other (docs/measured.md, one run each).
    JAX reads the variable once, when it is first used in a process; after that this does nothing.
    """
    os.environ.setdefault("PJRT_NPROC", "1")

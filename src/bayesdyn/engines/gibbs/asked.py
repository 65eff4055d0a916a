"""What a run of sweeps is asked for."""

from dataclasses import dataclass

from bayesdyn.engines.gibbs.checkpoint import Checkpoint
from bayesdyn.engines.gibbs.convergence import Until

BLOCK = 50
"""Sweeps between two looks at the chains."""


@dataclass(frozen=True)
class Asked:
    """What a run is asked for.

    Attributes
    ----------
    draws, tune, chains, random_seed
        Kept draws and warm-up of each chain; both end with a block of :data:`BLOCK` sweeps.
        With ``until`` they are the most.
    dtype
        Of the states; everything else is float64.
    device
        ``cpu``, ``gpu``, or ``auto``: what JAX takes.
    devices
        How many of them the sessions are dealt to.
    latent_draws
        How many draws of the states to keep, from the ends of blocks.
    until
        Stop before ``draws`` when this is reached, and warming up before ``tune`` when the chains have met.
    checkpoint
        Where to keep checkpoints, and to go on from.
    progress
        Tell on stderr how far the chains have come.
    """

    draws: int
    tune: int
    chains: int
    random_seed: int
    dtype: str = "float64"
    device: str = "auto"
    devices: int = 1
    latent_draws: int = 0
    until: Until | None = None
    checkpoint: Checkpoint | None = None
    progress: bool = False

    @property
    def block(self) -> int:
        """Return the sweeps of a block."""
        most = self.draws * self.chains // self.latent_draws if self.latent_draws else BLOCK
        return max(1, min(BLOCK, self.draws, self.tune, most))

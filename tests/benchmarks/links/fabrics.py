"""Which transfers does the links benchmark ask for? All-to-allv over rails and planes that are shared."""

from dataclasses import dataclass

import numpy as np

from data.schemas.transfers import Transfer


@dataclass(frozen=True, slots=True)
class Railed:
    """Hosts of eight GPUs, each NIC shared by two, behind leaves with a few planes to the spines.

    Args:
        hosts: two to a leaf.
        transfers: messages between GPUs of different hosts.
        planes: uplinks and downlinks of each leaf; a message's plane is hashed, as by ECMP.
        sigma: spread of the logarithm of sizes.
        slack: rounds beyond what a clique needs; None does not limit them.
    """

    hosts: int
    transfers: int
    planes: int
    sigma: float
    slack: int | None

    @property
    def name(self) -> str:
        """How the table calls it."""
        limit = "rounds free" if self.slack is None else f"rounds clique+{self.slack}"
        return f"{self.hosts} hosts, {self.transfers} transfers, {self.planes} planes, sigma {self.sigma:g}, {limit}"

    def __call__(self, rng: np.random.Generator) -> list[Transfer]:
        """Return the transfers of one instance."""
        made = []
        for _ in range(self.transfers):
            a, b = rng.choice(self.hosts, 2, replace=False).tolist()
            g, h = rng.integers(8, size=2).tolist()
            plane = int(rng.integers(self.planes))
            uses = [f"h{a}nic{g // 2}out", f"h{b}nic{h // 2}in"]
            if a // 2 != b // 2:
                uses += [f"leaf{a // 2}plane{plane}up", f"leaf{b // 2}plane{plane}down"]
            size = round(float(rng.lognormal(0.0, self.sigma)), 3) + 0.01
            made.append(Transfer(f"h{a}g{g}", f"h{b}g{h}", size, 50.0, tuple(uses)))
        return made


FAMILIES = (
    Railed(hosts=6, transfers=80, planes=4, sigma=0.8, slack=None),
    Railed(hosts=8, transfers=200, planes=8, sigma=0.8, slack=None),
    Railed(hosts=8, transfers=200, planes=8, sigma=0.8, slack=0),
    Railed(hosts=16, transfers=600, planes=8, sigma=0.8, slack=None),
)

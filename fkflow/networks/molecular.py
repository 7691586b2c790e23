"""log ψ of one or two electrons about clamped nuclei, with exact Coulomb cusps."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from fkflow.networks.layers import mlp
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.molecular_features import MolecularFeatures, labellings, nuclear_symmetries
from fkflow.networks.molecular_parts import (
    CuspFactor,
    ElectronDistance,
    LabelledLinear,
    LabellingMean,
    NucleusDistances,
    Orbitals,
    Scaled,
    lengths,
)


class MolecularNet(LogPsi):
    """One or two electrons in the field of clamped nuclei, with exact electron–nucleus and electron–electron cusps.

    ψ = Σ_ab c_ab χ_a(1) χ_b(2) · Π_iA exp(−Z p(r_iA)) · exp(½ p(r_12)) · exp(net), the sum of Heitler–London type over two
    smooth exponentials χ = exp(−ζ r²/(1 + r)) per nucleus (covalent, ionic and split-shell terms: right when stretched), and
    p(r) = r/(1 + βr), whose slope 1 at r = 0 is Kato's cusp (Kato 1957). The perceptron sees the distances only through
    functions without a linear term in any of them (`MolecularFeatures`). It is averaged over the exchange of electrons and
    over the exchanges of equal nuclei that leave the molecule unchanged.
    """

    knows_tails: ClassVar[bool] = True
    walkerwise: ClassVar[bool] = True
    exact: ClassVar[tuple[str, ...]] = ("sites",)
    renamed = dict.fromkeys(("bonds", "images", "owner", "turns", "shared", "unequal", "orders"))

    nuclei: Tensor
    charges: Tensor
    sites: Tensor
    pulls: Tensor

    def __init__(self, nuclei_positions: Tensor, charges: Tensor, electrons: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.electrons = electrons
        m = len(charges)
        self.register_buffer("nuclei", nuclei_positions)
        self.register_buffer("charges", charges)
        # the same once more, in the shapes that they are needed in
        self.register_buffer("sites", nuclei_positions.mT[:, None, :, None].clone(), persistent=False)
        self.register_buffer("pulls", charges[:, None].clone(), persistent=False)
        bonds = lengths(nuclei_positions.mT[:, :, None] - nuclei_positions.mT[:, None])
        images = torch.tensor(nuclear_symmetries(bonds, charges))
        # Shells: one exponent at the bare charge, one softer for a screened or loosely bound electron.
        self.log_exponents = nn.Parameter(torch.tensor([1.0, 0.6]).repeat(m).log() + charges.log().repeat_interleave(2))
        self.log_weights = nn.Parameter(torch.zeros((2 * m,) * electrons))
        self.log_beta = nn.Parameter(torch.zeros(2))
        self.near, self.apart, self.scaled = NucleusDistances(), ElectronDistance(), Scaled()
        self.nuclear_cusp, self.electron_cusp = CuspFactor(-1.0), CuspFactor(0.5)
        self.orbitals = Orbitals(charges, images)
        self.features = MolecularFeatures(bonds, charges, electrons)
        self.net = mlp([self.features.count] + [hidden] * layers + [1], final_scale=0.0, first=LabelledLinear)
        first = self.net[0]
        assert isinstance(first, LabelledLinear)
        first.label(labellings(images, electrons))
        self.labellings, self.mean = first.labellings, LabellingMean()

    @property
    def width(self) -> int:
        return self.labellings * max(self.net.sizes[:2])

    def compose(self, y: Tensor) -> Tensor:
        precision, beta = self.log_beta.dtype, self.log_beta.exp()
        near = self.near(y, self.sites, precision)
        charged = self.scaled(near, self.pulls)
        value = self.nuclear_cusp(charged, beta[..., 0]) + self.orbitals(charged, self.log_exponents, self.log_weights)
        apart = None
        if self.electrons == 2:
            apart = self.apart(y, precision)
            value = value + self.electron_cusp(apart, beta[..., 1])
        return value + self.mean(self.net(self.features(near, charged, apart)))

"""The exchanges of electrons and of equal nuclei under which `MolecularNet` is symmetric."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def labellings(images: Tensor, electrons: int) -> Tensor:
    """Which functions (labellings, F) of `MolecularNet.features` an exchange of nuclei and electrons puts in each place."""
    m = images.shape[1]

    def names(electron: list[int], nucleus: list[int]) -> list[tuple[int, ...]]:
        """What each feature is about when particles and nuclei are taken in this order: the order of `features`."""
        near = [(i, a) for i in electron for a in nucleus]
        out: list[tuple[int, ...]] = [(kind, *pair) for kind in range(2) for pair in near]
        out += [(2, a, b, i) for a in nucleus for b in nucleus if a != b for i in electron]
        return out + ([(3,), (4,)] + [(5, *pair) for pair in near] if electrons == 2 else [])

    first = list(range(electrons))
    plain = names(first, list(range(m)))
    turned = [names(electron, image) for image in images.tolist() for electron in (first, first[::-1])[:electrons]]
    return torch.tensor([[plain.index(name) for name in order] for order in turned])


def nuclear_symmetries(bonds: Tensor, charges: Tensor) -> list[list[int]]:
    """Permutations of the nuclei that keep charges and all distances: [[0, 1], [1, 0]] for H2.

    Beyond four nuclei only the identity is used: the search grows as M!, and the symmetry is a convenience.
    """
    if len(charges) > 4:
        return [list(range(len(charges)))]
    found = []
    for image in itertools.permutations(range(len(charges))):
        index = torch.tensor(image)
        if torch.equal(charges[index], charges) and torch.allclose(bonds[index][:, index], bonds, rtol=1e-9):
            found.append(list(image))
    return found

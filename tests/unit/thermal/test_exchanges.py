"""Permutations drawn by their probability, of which the norm is a permanent."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from fkflow.thermal.exchanges import Exchanges
from fkflow.thermal.reference import Reference, permuted


def exchanges_of(bodies: int) -> tuple[Exchanges, torch.Tensor, torch.Tensor]:
    """Exchanges with a c that is not 0, their parameters, and places in the plane."""
    generator = torch.Generator().manual_seed(4)
    exchanges = Exchanges(Reference(torch.tensor([0.7, 1.9], dtype=torch.float64), bodies, True))
    theta = 0.3 * torch.randn(exchanges.size, generator=generator, dtype=torch.float64)
    return exchanges, theta, torch.randn(6, bodies, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("bodies", [2, 4])
def test_probabilities_are_those_of_all_permutations(bodies: int) -> None:
    exchanges, theta, y = exchanges_of(bodies)
    every = torch.tensor(list(itertools.permutations(range(bodies))))
    logs = torch.stack([exchanges.log_probability(theta, y, order.expand(6, -1), 0.8) for order in every])
    torch.testing.assert_close(logs.exp().sum(0), torch.ones(6, dtype=torch.float64))
    # without c they are the kernels of the reference
    kernels = torch.stack([exchanges.reference.log_kernel(y, y[:, order], 0.8) for order in every]).softmax(0)
    bare = torch.zeros_like(theta)
    plain = torch.stack([exchanges.log_probability(bare, y, order.expand(6, -1), 0.8) for order in every])
    torch.testing.assert_close(plain.exp(), kernels)
    assert not torch.allclose(logs, plain, atol=0.01)


def test_permutations_are_drawn_by_their_probability() -> None:
    exchanges, theta, y = exchanges_of(3)
    many = y[:1].expand(4000, -1, -1)
    drawn = exchanges.draw(theta, many, 2.0, torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn.log_probability, exchanges.log_probability(theta, many, drawn.sent, 2.0))
    shares = []
    for order in itertools.permutations(range(3)):
        share = float(exchanges.log_probability(theta, y[:1], torch.tensor([order]), 2.0).exp())
        found = float((drawn.sent == torch.tensor(order)).all(1).double().mean())
        assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / 4000)
        shares.append(share)
    # more than one of them counts
    assert sorted(shares)[-2] > 0.05


def test_the_jacobian_of_the_log_probability() -> None:
    exchanges, theta, y = exchanges_of(3)
    drawn = exchanges.draw(theta, y, 0.8, torch.Generator().manual_seed(1), jacobian=True)
    along = torch.randn(exchanges.size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    step = 1e-5
    ahead, behind = (exchanges.log_probability(theta + side * step * along, y, drawn.sent, 0.8) for side in (1, -1))
    assert drawn.jacobian is not None
    torch.testing.assert_close(drawn.jacobian @ along, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-8)


def test_a_permuted_path_ends_where_it_is_sent() -> None:
    y = torch.arange(6, dtype=torch.float64).view(1, 3, 2)
    assert permuted(y, torch.tensor([[2, 0, 1]]))[0, :, 0].tolist() == [4, 0, 2]

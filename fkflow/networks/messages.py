"""Messages between pairs and particles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import add_to_pairs, add_to_particles, pairs, sum_at_ends
from fkflow.networks.layers import Linear, affine
from fkflow.networks.pair_sum_tangents import PairSumTangent
from fkflow.networks.pair_tangents import CoordinateTangent, MessageTangent, PairTangent, ParticleTangent
from fkflow.networks.parts import Node, Part


class Receive(Part):
    """What particles (C, N, B) receive: the sum over their pairs of what these send (C, pairs, B), divided by √N.

    The second input are the places (D, N, B) of the particles.
    """

    def value(self, *inputs: Tensor) -> Tensor:
        sent, places = inputs
        n = places.shape[1]
        return sum_at_ends(sent, n, pairs(n, sent.device)) * n**-0.5

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Any]:
        sent, places = inputs
        received = sent.new_empty(len(sent), *places.shape[1:])
        return add_to_particles(received, sent, int(places.shape[1]) ** -0.5, keep=False), None

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        sent = node.inputs[0]
        add_to_pairs(sent.own_gradient(), gradient, int(gradient.shape[1]) ** -0.5)

    def tangent(self, node: Node) -> ParticleTangent:
        sent, places = (one.tangent for one in node.inputs)
        assert isinstance(sent, PairTangent) and isinstance(places, CoordinateTangent)
        return ParticleTangent(places, sent=sent, weight=int(node.value.shape[1]) ** -0.5)


class PairLinear(Linear):
    """A linear layer of [sent, particle_i + particle_j, features] for all pairs (out, pairs, B).

    Its inputs are what pairs send (C, pairs, B), values of particles (C, N, B) and features of pairs (F, pairs, B). What acts
    on particles is applied to N of them, not to N(N − 1)/2 pairs.
    """

    def value(self, *inputs: Tensor) -> Tensor:
        sent, particle, features = inputs
        of_sent, of_particle, of_features = self.pieces(inputs)
        ends = affine(particle, of_particle)
        first, second = pairs(particle.shape[1], particle.device)
        total = affine(sent, of_sent, self.bias) + affine(features, of_features)
        return total + ends.index_select(1, first) + ends.index_select(1, second)

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Any]:
        sent, particle, features = inputs
        of_sent, of_particle, of_features = self.pieces(inputs)
        out = torch.addmm(self.bias.unsqueeze(1), of_sent, sent.flatten(1)).addmm_(of_features, features.flatten(1))
        ends = (of_particle @ particle.flatten(1)).view(len(self.weight), *particle.shape[1:])
        return add_to_pairs(out.view(len(self.weight), *sent.shape[1:]), ends), None

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        sent, particle, features = node.inputs
        of_sent, of_particle, of_features = self.pieces([one.value for one in node.inputs])
        to_ends = gradient.new_empty(len(gradient), *particle.value.shape[1:])
        particle.add_product(of_particle.mT, add_to_particles(to_ends, gradient, keep=False))
        sent.add_product(of_sent.mT, gradient)
        features.add_product(of_features.mT, gradient)

    def tangent(self, node: Node) -> PairSumTangent:
        sent, particle, features = (one.tangent for one in node.inputs)
        of_sent, of_particle, of_features = self.pieces([one.value for one in node.inputs])
        ends = particle.linear(of_particle)
        assert isinstance(ends, MessageTangent) and isinstance(sent, PairTangent) and isinstance(features, PairTangent)
        return PairSumTangent(ends, sent.linear(of_sent).add_linear(of_features, features))

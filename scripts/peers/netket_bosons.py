"""Bosons in a 2D trap with netket: prints one JSON line {"iteration", "energy", "error"} per step, until it is stopped.

    python netket_bosons.py SEED PARTICLES [KEY=NUMBER...]

Run by scripts/compare_peers.py in an environment with netket; further arguments override SETTINGS.
"""

from __future__ import annotations

import json
import sys

import flax.linen as nn
import jax.numpy as jnp
import netket as nk
import optax
from jax import nn as jnn
from netket.experimental.geometry import FreeSpace
from netket.experimental.hilbert import Particle

#: strength and range of the repulsion g/(π s²) exp(−r²/s²)
G, S = 15.0, 0.5
#: what was found best for netket; scripts/compare_peers.py says how
SETTINGS = {
    "chains": 1024,
    "hidden": 16,
    "sweep": 30,
    "sigma": 0.25,
    "rate": 0.05,
    "decay": 200,
    "shift": 1e-3,
    "shift_start": 0.1,
    "shift_decay": 40,
    "warm_up": 20,
    "momentum": 0.8,
}


class Ansatz(nn.Module):
    """log ψ of identical particles: Gaussian, plus perceptrons of the pairs' and particles' distances (one message pass)."""

    particles: int
    hidden: int

    @nn.compact
    def __call__(self, x):
        x = x.reshape(*x.shape[:-1], self.particles, 2)
        relative = x - x.mean(-2, keepdims=True)  # the trap moves the centre of mass as a free Gaussian
        own = self.features(jnp.square(relative).sum(-1, keepdims=True), (0.7, 1.5))
        to, come = jnp.nonzero(~jnp.eye(self.particles, dtype=bool), size=self.particles * (self.particles - 1))
        apart2 = jnp.square(x[..., to, :] - x[..., come, :]).sum(-1, keepdims=True)
        pair = self.features(apart2, (0.35, 0.7, 1.4, 2.8))

        def last():  # zero at the start: ψ begins as the Gaussian of the trap
            return nn.Dense(1, use_bias=False, param_dtype=float, kernel_init=nn.initializers.zeros)

        hidden = self.layer(jnp.concatenate([pair, own[..., to, :], own[..., come, :]], -1))
        message = self.layer(hidden)
        jastrow = last()(message).sum((-1, -2))

        belongs = jnn.one_hot(to, self.particles, dtype=float)
        received = jnp.einsum("pi,...pf->...if", belongs, message)
        node = self.layer(jnp.concatenate([own, received], -1))
        node = self.layer(node)
        deep = last()(node).sum((-1, -2))

        return -0.5 * jnp.square(x).sum((-1, -2)) + jastrow + deep

    def layer(self, features):
        """One layer of a perceptron."""
        return jnn.silu(nn.Dense(self.hidden, param_dtype=float)(features))

    @staticmethod
    def features(square, widths):
        """Smooth functions of a distance's square: bounded ones, and one that grows linearly."""
        bumps = [jnp.exp(-0.5 * square / width**2) for width in widths]
        return jnp.concatenate([*bumps, jnp.sqrt(1 + square)], -1)


def potential(x):
    """Trap and repulsion at one configuration (2N,)."""
    places = x.reshape(-1, 2)
    first, second = jnp.triu_indices(len(places), 1)
    apart2 = jnp.square(places[first] - places[second]).sum(-1)
    return 0.5 * jnp.square(x).sum() + (G / (jnp.pi * S**2) * jnp.exp(-apart2 / S**2)).sum()


def main() -> None:
    """Optimise until killed."""
    seed, particles = int(sys.argv[1]), int(sys.argv[2])
    wanted = SETTINGS | {key: float(value) for key, value in (text.split("=") for text in sys.argv[3:])}
    space = Particle(particles, geometry=FreeSpace(d=2))
    energy = nk.operator.KineticEnergy(space, mass=1.0) + nk.operator.PotentialEnergy(space, potential)
    chains = int(wanted["chains"])
    sampler = nk.sampler.MetropolisGaussian(
        space, sigma=wanted["sigma"], n_chains=chains, sweep_size=int(wanted["sweep"])
    )
    state = nk.vqs.MCState(
        sampler,
        Ansatz(particles, int(wanted["hidden"])),
        n_samples=chains,
        n_discard_per_chain=0,
        seed=seed,
        sampler_seed=seed,
    )

    def rate(step):
        return wanted["rate"] * jnp.minimum(1.0, (step + 1) / wanted["warm_up"]) / (1 + step / wanted["decay"])

    driver = nk.driver.VMC_SR(
        energy,
        optax.sgd(rate),
        diag_shift=lambda step: wanted["shift"] + wanted["shift_start"] * jnp.exp(-step / wanted["shift_decay"]),
        momentum=wanted["momentum"] or None,
        variational_state=state,
        use_ntk=False,
    )

    def report(step, log_data, driver):
        stats = log_data["Energy"]
        line = {
            "iteration": step + 1,
            "energy": float(jnp.real(stats.mean)),
            "error": float(stats.error_of_mean),
            "spread": float(stats.variance) ** 0.5,
        }
        print(json.dumps(line), flush=True)
        return True

    driver.run(10**6, out=(), show_progress=False, callback=report)


if __name__ == "__main__":
    main()

"""log ψ networks: permutation-symmetric for identical particles, plain for distinguishable ones, exact cusps for Coulomb.

Every network maps configurations x (B, N, D) to log ψ(x) (B,), in the length unit of the system. Internally lengths are
divided by the natural length of the potential (`landscape.Landscape`), so that no tuning depends on the user's units.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from fkflow.landscape import Landscape
from fkflow.system import System


class LogPsi(nn.Module):
    """A real function U(x) = log ψ(x) whose gradient is the drift of the diffusion."""

    def forward(self, x: Tensor) -> Tensor:
        """log ψ, x (B, N, D) → (B,)."""
        raise NotImplementedError

    def drift(self, x: Tensor) -> Tensor:
        """Drift v = ∇ log ψ (B, N, D), detached from the parameters."""
        return self.value_and_drift(x)[1]

    def value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D), both detached."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = self(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient


def mlp(sizes: Sequence[int], final_scale: float = 1.0) -> nn.Sequential:
    """Linear layers with SiLU between them; the last layer's weights are multiplied by `final_scale`.

    SiLU is smooth, does not saturate (log ψ grows far out) and is the cheapest smooth function on CPUs.
    """
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        linear = nn.Linear(a, b)
        nn.init.normal_(linear.weight, std=1.0 / math.sqrt(a))
        nn.init.normal_(linear.bias, std=0.5)
        layers += [linear, nn.SiLU()]
        if i == len(sizes) - 2:
            layers.pop()
            with torch.no_grad():
                linear.weight.mul_(final_scale)
                linear.bias.zero_()
    return nn.Sequential(*layers)


def tails(square: Tensor, weights: Tensor) -> Tensor:
    """Confining part −Σ [w_0 (√(1+z²) − 1) + w_1 ((1+z²)^{3/2} − 1)] for z² (B, n): exponential and steeper tails."""
    root = (1 + square).sqrt() - 1
    return -(weights[0] * root + weights[1] * ((1 + square) * (1 + root) - 1)).sum(-1)


#: share of the start's curvature that sits in a Gaussian where tails may be softer; the rest is √(1 + z²). A start that
#: is too broad is seen by its walkers and corrected; the tail of one that is too narrow is never visited.
GAUSSIAN_SHARE = 0.25
#: weight of the steeper tail at the start: hardly there, yet within reach of a gradient
FAINT = 0.02


class GenericNet(LogPsi):
    """Distinguishable particles (or one): −½|Lz|² with a full learnable L, tails, and a perceptron of z.

    z are the whitened coordinates and L starts so that ψ is the harmonic approximation, which solves any set of coupled
    oscillators exactly. LᵀL cannot become negative: ψ stays normalisable whatever the optimiser does.
    """

    def __init__(self, landscape: Landscape, hidden: int, layers: int) -> None:
        super().__init__()
        d = landscape.centre.numel()
        self.register_buffer("centre", landscape.centre.reshape(-1).clone())
        # Whitening z = W (x − c): unit variance of ψ² in the Gaussian approximation.
        self.register_buffer("whiten", landscape.whitening())
        # ψ² of unit variance in z: log ψ = −z²/4, with tails d²/dz² = w_0 at the centre
        soft = d <= 3
        self.root = nn.Parameter(torch.eye(d) * math.sqrt(0.5 * (GAUSSIAN_SHARE if soft else 1.0)))
        self.log_tails = nn.Parameter(torch.tensor([0.5 * (1 - GAUSSIAN_SHARE), FAINT]).log()) if soft else None
        self.net = mlp([d] + [hidden] * layers + [1], final_scale=0.0)

    def forward(self, x: Tensor) -> Tensor:
        z = (x.flatten(1) - self.centre) @ self.whiten
        value = -0.5 * (z @ self.root).square().sum(-1) + self.net(z).squeeze(-1)
        return value if self.log_tails is None else value + tails(z.square(), self.log_tails.exp())


class SymmetricNet(LogPsi):
    """Identical particles: Gaussian part, pair functions of several widths and one round of pair–particle messages.

    Pairs see Gaussians exp(−(r/w)²) of widths ⅛…4 ℓ and √(1 + (r/ℓ)²); particles see their place relative to the centre of
    mass (`separable` systems, whose centre of mass then stays an exact Gaussian) or to the trap. Isotropic systems enter
    through squared distances only, so ψ is rotation invariant. Summing over pairs and particles makes it symmetric.
    """

    WIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
    OWN_WIDTHS = (0.5, 1.0, 2.0, 4.0)

    def __init__(self, landscape: Landscape, hidden: int, layers: int, *, isotropic: bool, separable: bool) -> None:
        super().__init__()
        n, dim = landscape.centre.shape
        self.particles, self.dimensions = n, dim
        self.isotropic, self.separable = isotropic, separable and n > 1
        self.length = landscape.length
        first, second = torch.triu_indices(n, n, 1)
        self.register_buffer("first", first)
        self.register_buffer("second", second)
        self.register_buffer("centre", landscape.centre[0].clone())
        widths = torch.tensor(self.WIDTHS)
        self.register_buffer("exponents", -1.0 / widths**2)
        self.register_buffer("own_exponents", -1.0 / torch.tensor(self.OWN_WIDTHS) ** 2)
        # Bounded second derivatives: a narrow Gaussian must be learned, it is not there by chance at the start.
        self.register_buffer("heights", widths.clamp(max=1.0) ** 2)
        scale = landscape.length**2
        # ψ² has the one-body covariance C: log ψ = −¼ yᵀ C⁻¹ y = −½ |y L|².
        covariance = landscape.relative_covariance() * n / (n - 1) if self.separable else landscape.one_body_covariance()
        own, com = 0.5 * torch.linalg.inv(covariance / scale), landscape.centre_of_mass * scale
        self.own_root = nn.Parameter(self._root(own if separable else own * GAUSSIAN_SHARE))
        self.com_root = nn.Parameter(self._root(com)) if self.separable else None
        weights = [(1 - GAUSSIAN_SHARE) * float(own.diagonal().mean()), FAINT]
        self.log_tails = None if separable else nn.Parameter(torch.tensor(weights).log())

        features = 1 + len(self.OWN_WIDTHS) + (0 if isotropic else dim)
        pair_features = len(self.WIDTHS) + 1
        self.pair_in = mlp([pair_features, hidden]) if n > 1 else None
        self.message = mlp([features + (hidden if n > 1 else 0), hidden])
        self.readout = mlp([hidden] + [hidden] * (layers - 1) + [1], final_scale=0.0)
        if n > 1:
            self.pair_out = mlp([2 * hidden + pair_features, hidden])
            self.pair_readout = mlp([hidden] + [1], final_scale=0.0)
            self.jastrow = nn.Parameter(torch.zeros(pair_features))

    def _root(self, stiffness: Tensor) -> Tensor:
        """Symmetric √S (D, D), or its one number for isotropic systems."""
        values, vectors = torch.linalg.eigh(stiffness)
        return values.mean().sqrt() if self.isotropic else (vectors * values.sqrt()) @ vectors.T

    def gaussian(self, y: Tensor, root: Tensor) -> Tensor:
        """−½ Σ_i |y_i L|² for y (B, n, D); L a number or (D, D)."""
        return -0.5 * (y * root if self.isotropic else y @ root).square().sum((1, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.centre) / self.length
        if self.separable:
            mean = x.mean(1, keepdim=True)
            y = x - mean
            value = self.particles * self.gaussian(mean, self.com_root) + self.gaussian(y, self.own_root)
        else:
            y = x
            value = self.gaussian(y, self.own_root)
        square = y.square().sum(-1, keepdim=True)
        if self.log_tails is not None:
            value = value + tails(square.squeeze(-1), self.log_tails.exp())
        single = [(1 + square).sqrt(), (square * self.own_exponents).exp()]
        if not self.isotropic:
            single.append(y)
        features = torch.cat(single, -1)
        if self.particles == 1:
            return value + self.readout(silu(self.message(features))).sum((1, 2))
        r2 = (x[:, self.first] - x[:, self.second]).square().sum(-1, keepdim=True)
        pair = torch.cat([self.heights * (r2 * self.exponents).exp(), (1 + r2).sqrt()], -1)
        hidden = silu(self.pair_in(pair))
        received = torch.zeros(*x.shape[:2], hidden.shape[-1], dtype=x.dtype, device=x.device)
        received = received.index_add(1, self.first, hidden).index_add(1, self.second, hidden)
        particle = silu(self.message(torch.cat([features, received / math.sqrt(self.particles)], -1)))
        ends = particle[:, self.first] + particle[:, self.second]
        second = silu(self.pair_out(torch.cat([hidden, ends, pair], -1)))
        return (value + self.readout(particle).sum((1, 2)) + self.pair_readout(second).sum((1, 2))
                + (pair @ self.jastrow).sum(1))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """|a − b| over the last axis; the floor far below any physical length keeps the gradient finite at coincidence."""
    return ((a - b).square().sum(-1) + 1e-24).sqrt()


def logarithm(r: Tensor) -> Tensor:
    """½ log(1 + r²): no linear term at 0, so it leaves cusps alone; far out the growth ψ ~ r^p e^(−ζr) asks for."""
    return 0.5 * torch.log1p(r.square())


def saturating(r: Tensor) -> Tensor:
    """(r/(1 + r))²: no linear term at 0, but a cubic one; 1 far out."""
    return (r / (1 + r)).square()


class MolecularNet(LogPsi):
    """One or two electrons in the field of clamped nuclei, with exact electron–nucleus and electron–electron cusps.

    ψ = Σ_ab c_ab χ_a(1) χ_b(2) · Π_iA exp(−Z p(r_iA)) · exp(½ p(r_12)) · exp(net), the sum of Heitler–London type over two
    smooth exponentials χ = exp(−ζ r²/(1+r)) per nucleus (covalent, ionic and split-shell terms: right when stretched), and
    p(r) = r/(1 + βr), whose slope 1 at r = 0 is Kato's cusp (Kato 1957). The perceptron sees the distances only through
    functions without a linear term in any of them, among them r_iA·(s(r_iB) − s(R_AB)) and r_iA·(s(r_12) − s(r_jA)): the
    angular terms r (g·r) that follow the cusp, without which the local energy jumps at the nuclei. It is summed over the
    exchange of electrons and over the exchanges of equal nuclei that leave the molecule unchanged.
    """

    def __init__(self, nuclei_positions: Tensor, charges: Tensor, electrons: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.electrons = electrons
        self.register_buffer("nuclei", nuclei_positions)
        self.register_buffer("charges", charges)
        self.register_buffer("bonds", distances(nuclei_positions[:, None], nuclei_positions[None]))
        m = len(charges)
        self.register_buffer("images", torch.tensor(nuclear_symmetries(self.bonds, charges)))
        self.register_buffer("owner", torch.arange(m).repeat_interleave(2))
        # Shells: one exponent at the bare charge, one softer for a screened or loosely bound electron.
        self.log_exponents = nn.Parameter(torch.tensor([1.0, 0.6]).repeat(m).log() + charges.log().repeat_interleave(2))
        self.log_weights = nn.Parameter(torch.zeros((2 * m,) * electrons))
        self.log_beta = nn.Parameter(torch.zeros(2))
        features = electrons * m * (2 + (m - 1)) + (2 + 2 * m if electrons == 2 else 0)
        self.net = mlp([features] + [hidden] * layers + [1], final_scale=0.0)

    def features(self, near: Tensor, apart: Tensor | None) -> Tensor:
        """Cusp-free functions (B, F) of the distances near (B, n, M) and apart (B,), for one labelling of the particles."""
        m = len(self.charges)
        scaled = near * self.charges
        out = [logarithm(scaled).flatten(1), saturating(scaled).flatten(1)]
        ratio = near / (1 + near)
        for a in range(m):
            for b in range(m):
                if a != b:
                    out.append(ratio[..., a] * (logarithm(near[..., b]) - logarithm(self.bonds[a, b])))
        if apart is not None:
            far = logarithm(apart)
            out += [far[:, None], saturating(apart)[:, None]]
            out.append((ratio * (far[:, None, None] - logarithm(near.flip(1)))).flatten(1))
        return torch.cat(out, -1)

    def forward(self, x: Tensor) -> Tensor:
        near = distances(x[:, :, None], self.nuclei)
        beta = self.log_beta.exp()
        value = -(self.charges * near / (1 + beta[0] * self.charges * near)).sum((1, 2))
        exponents = self.log_exponents.exp()
        charges = self.charges[self.owner]
        scaled = charges * near[..., self.owner]
        orbitals = -exponents / charges * scaled.square() / (1 + scaled)
        apart = None
        if self.electrons == 1:
            value = value + torch.logsumexp(self.log_weights + orbitals[:, 0], -1)
        else:
            apart = distances(x[:, 0], x[:, 1])
            value = value + 0.5 * apart / (1 + beta[1] * apart)
            weights = 0.5 * (self.log_weights + self.log_weights.T)
            terms = weights + orbitals[:, 0, :, None] + orbitals[:, 1, None, :]
            value = value + torch.logsumexp(terms.flatten(1), -1)
        inputs = []
        for image in self.images:
            turned = near[..., image]
            inputs.append(self.features(turned, apart))
            if apart is not None:
                inputs.append(self.features(turned.flip(1), apart))
        stacked = self.net(torch.cat(inputs)).view(len(inputs), -1)
        return value + stacked.mean(0)


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


class PairDrift(nn.Module):
    """The free vector drift of Barr, Gispen, Lamacraft (2020): v need not be a gradient, its curl is measured.

    v_i = −κ(x_i − c) + Σ_j f(r_ij, x_i, x_j) (x_i − x_j) + g(x_i, m_i), with m_i = Σ_j of messages, plus unit vectors with the
    Coulomb cusps where there are nuclei; f, g are perceptrons of bounded features, so that free-running paths cannot
    explode. Equivariant under permutations; rotations are learned. κ starts at the Gaussian approximation.
    """

    def __init__(self, length: float, centre: Tensor, stiffness: float, particles: int, hidden: int, layers: int,
                 nuclei_positions: Tensor | None = None, charges: Tensor | None = None) -> None:
        super().__init__()
        self.length, self.particles = length, particles
        self.stiffness = nn.Parameter(torch.tensor(stiffness))
        self.register_buffer("centre", centre)
        self.register_buffer("nuclei", nuclei_positions)
        self.register_buffer("charges", charges)
        first, second = torch.triu_indices(particles, particles, 1)
        self.register_buffer("first", torch.cat([first, second]))
        self.register_buffer("second", torch.cat([second, first]))
        own = 2 + centre.numel()
        self.pair = mlp([3 + 2 * own] + [hidden] * layers + [1 + hidden], final_scale=0.01) if particles > 1 else None
        self.single = mlp([own + (hidden if particles > 1 else 0)] + [hidden] * layers + [centre.numel()], final_scale=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Drift v (B, N, D) at x (B, N, D)."""
        y = (x - self.centre) / self.length
        square = y.square().sum(-1, keepdim=True)
        own = torch.cat([1 / (1 + square), (-0.5 * square).exp(), y / (1 + square).sqrt()], -1)
        v = -self.stiffness * y
        features = own
        if self.pair is not None:
            apart = y[:, self.first] - y[:, self.second]
            r2 = apart.square().sum(-1, keepdim=True)
            ends = torch.cat([own[:, self.first], own[:, self.second]], -1)
            out = self.pair(torch.cat([(-4 * r2).exp(), (-0.5 * r2).exp(), 1 / (1 + r2), ends], -1))
            v = v.index_add(1, self.first, out[..., :1] * apart / (1 + r2).sqrt())
            sums = torch.zeros(*x.shape[:2], out.shape[-1] - 1, dtype=x.dtype, device=x.device)
            features = torch.cat([own, sums.index_add(1, self.first, out[..., 1:])], -1)
        v = (v + self.single(features)) / self.length
        if self.nuclei is not None:
            offset = x[:, :, None] - self.nuclei
            r = (offset.square().sum(-1, keepdim=True) + 1e-24).sqrt()
            v = v - (self.charges[:, None] * offset / r).sum(2)
            if self.pair is not None:
                apart = x[:, self.first] - x[:, self.second]
                r = (apart.square().sum(-1, keepdim=True) + 1e-24).sqrt()
                v = v.index_add(1, self.first, 0.5 * apart / (r * (1 + r) ** 2))
        return v

    def drift(self, x: Tensor) -> Tensor:
        """The drift without graph."""
        with torch.no_grad():
            return self(x)


def build(system: System, landscape: Landscape, kind: str, hidden: int, layers: int, seed: int) -> LogPsi | PairDrift:
    """The network of a system, float64, initialised from `seed` alone.

    kind "auto" picks "molecular" for nuclei, "symmetric" for identical particles (or one in an isotropic potential), else
    "generic".
    """
    nuclei = system.nuclei()
    if kind == "auto":
        symmetric = system.identical and (system.particles > 1 or system.isotropic)
        kind = "molecular" if nuclei else "symmetric" if symmetric else "generic"
    positions = charges = None
    if nuclei is not None:
        positions = torch.tensor(nuclei.positions, dtype=torch.float64)
        charges = torch.tensor(nuclei.charges, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "molecular":
            assert positions is not None and charges is not None
            net: LogPsi | PairDrift = MolecularNet(positions, charges, system.particles, hidden, layers)
        elif kind == "symmetric":
            net = SymmetricNet(landscape, hidden, layers, isotropic=system.isotropic, separable=system.separable)
        elif kind == "generic":
            net = GenericNet(landscape, hidden, layers)
        else:
            # log ψ = −y²/(4 variance): its drift is −y/(2 variance)
            variance = float(landscape.one_body_covariance().diagonal().mean()) / landscape.length**2
            stiffness = 0.0 if nuclei else 0.5 / variance
            net = PairDrift(landscape.length, landscape.centre[0].clone(), stiffness, system.particles, hidden, layers,
                            positions, charges)
    return net.double()

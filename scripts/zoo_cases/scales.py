"""Potentials whose natural scale is hard to find, as users write them: flat, stepped, singular, weakly binding, odd units."""

import torch

import fkflow


class Power(fkflow.System):
    """x^power on a line."""

    particles = 1
    dimensions = 1
    power: int = 6

    def potential(self, x):
        return x[:, 0, 0] ** self.power


class Flat(fkflow.System):
    """A flat bottom in three dimensions: r^8."""

    particles = 1
    dimensions = 3

    def potential(self, x):
        return (x[:, 0].square().sum(1) / 4) ** 4


class Cusp(fkflow.System):
    """|x|^power, with an edge at the origin."""

    particles = 1
    dimensions = 1
    power: float = 1.0

    def potential(self, x):
        return x[:, 0, 0].abs() ** self.power


class Staircase(fkflow.System):
    """V rises in steps."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        return 0.8 * torch.floor(x[:, 0, 0].abs())


class FiniteWell(fkflow.System):
    """The square well of the textbooks, 0 outside."""

    particles = 1
    dimensions = 1
    depth: float = 4.0

    def potential(self, x):
        return torch.where(x[:, 0, 0].abs() < 1.5, -self.depth, 0.0)


class Ledges(fkflow.System):
    """Two square wells of different width between high walls."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0]
        inside = ((q > -3) & (q < -1)) | ((q > 0) & (q < 2.5))
        return torch.where(inside, 0.0, torch.where((q > -3) & (q < 2.5), 6.0, 40.0))


class Layers(fkflow.System):
    """A quantum dot of two materials: a disc of low V with a ring around it."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        r = x[:, 0].norm(dim=1)
        return torch.where(r < 1.0, 0.0, torch.where(r < 2.0, 1.5, 10.0))


class Log(fkflow.System):
    """log r in D dimensions."""

    particles = 1
    dimensions: int = 2
    strength: float = 1.0

    def potential(self, x):
        return 0.5 * self.strength * torch.log(x.square().sum((1, 2)))


class Coulomb(fkflow.System):
    """An electron and a fixed charge, in two or three dimensions."""

    particles = 1
    dimensions: int = 2
    charge: float = 1.0

    def potential(self, x):
        return -self.charge / x.square().sum((1, 2)).sqrt()


class Yukawa(fkflow.System):
    """A screened charge in three dimensions."""

    particles = 1
    dimensions = 3
    screening: float = 0.5

    def potential(self, x):
        r = x[:, 0].norm(dim=1)
        return -torch.exp(-self.screening * r) / r


class Cornell(fkflow.System):
    """A quark potential: −a/r + b r."""

    particles = 1
    dimensions = 3
    isotropic = True

    def potential(self, x):
        r = x[:, 0].norm(dim=1)
        return -0.5 / r + 0.3 * r


class Pit(fkflow.System):
    """A shallow Gaussian pit in D dimensions."""

    particles = 1
    dimensions: int = 1
    depth: float = 0.3

    def potential(self, x):
        return -self.depth * torch.exp(-x.square().sum((1, 2)))


class Sech(fkflow.System):
    """A weak Pöschl–Teller well."""

    particles = 1
    dimensions = 1
    strength: float = 0.4

    def potential(self, x):
        return -0.5 * self.strength * (self.strength + 1) / torch.cosh(x[:, 0, 0]) ** 2


class Bond(fkflow.System):
    """A Morse curve with its zero at infinity."""

    particles = 1
    dimensions = 1
    depth: float = 0.4

    def potential(self, x):
        e = torch.exp(-x[:, 0, 0])
        return self.depth * (e**2 - 2 * e)


class Sheet(fkflow.System):
    """A trap whose frequencies differ by a thousand."""

    particles = 1
    dimensions = 2
    stiff: float = 1000.0

    def potential(self, x):
        u, v = x[:, 0, 0], x[:, 0, 1]
        return 0.5 * u**2 + 0.1 * u**4 + 0.5 * self.stiff**2 * v**2


class Valley(fkflow.System):
    """A bent valley, much stiffer across than along."""

    particles = 1
    dimensions = 2
    stiff: float = 200.0

    def potential(self, x):
        u, v = x[:, 0, 0], x[:, 0, 1]
        return 0.5 * u**2 + 0.1 * u**4 + 0.5 * self.stiff**2 * (v - 0.1 * u**2) ** 2


class Waveguide(fkflow.System):
    """A narrow guide, 30 times as stiff across as along, in three dimensions."""

    particles = 1
    dimensions = 3

    def potential(self, x):
        u, v, w = x[:, 0].unbind(1)
        return 450.0 * (u**2 + v**2) + 0.5 * w**2 + 0.2 * w**4


class Proton(fkflow.System):
    """A proton between two oxygen atoms, in hartree and bohr."""

    particles = 1
    dimensions = 1
    mass = 1836.15
    energy_unit = "hartree"
    length_unit = "bohr"

    def potential(self, x):
        q = x[:, 0, 0]
        return 0.012 * ((q / 0.6) ** 2 - 1) ** 2 + 0.001 * q


class Nanometres(fkflow.System):
    """An electron in a parabolic dot with a ridge, in meV and nm: ħ²/m0 = 76.2 meV nm²."""

    particles = 1
    dimensions = 2
    mass = 0.067 / 76.2
    energy_unit = "meV"
    length_unit = "nm"

    def potential(self, x):
        u, v = x[:, 0, 0], x[:, 0, 1]
        return 0.004 * u**2 + 0.009 * v**2 + 5.0 * torch.exp(-((u / 15) ** 2))


class Offset(fkflow.System):
    """A quartic well far from the origin, on a large constant."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0] - 37.0
        return 512.0 + 0.5 * q**2 + 0.3 * q**3 + 0.2 * q**4


class WoodsSaxon(fkflow.System):
    """A neutron in the mean field of a nucleus, in MeV and fm: ħ²/m = 41.47 MeV fm²."""

    particles = 1
    dimensions = 3
    mass = 1 / 41.47
    energy_unit = "MeV"
    length_unit = "fm"

    def potential(self, x):
        return -50 / (1 + torch.exp((x[:, 0].norm(dim=1) - 4.6) / 0.65))

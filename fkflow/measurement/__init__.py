"""Measuring a frozen drift: variational energy, densities, pair distributions, drift fields."""

"""Feynman–Kac projection to the exact ground state: weights, populations, extrapolation in the time step."""

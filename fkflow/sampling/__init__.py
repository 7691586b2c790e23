"""Paths and their Girsanov action, Metropolis walkers, local energies, clipping."""

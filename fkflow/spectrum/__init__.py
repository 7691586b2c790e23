"""Excited states f ψ from the walkers of the ground state: bases of functions f by symmetry, eigenproblems, levels."""

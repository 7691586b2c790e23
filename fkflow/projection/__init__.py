"""Feynman–Kac projection of a measured drift to the exact ground state.

`project` runs it, `population` holds weighted walkers of one time step and `mover` their moves; `time_steps` chooses the steps,
`resolution` finds local energies that change within one, `extrapolation` takes the energies to dt = 0, `summary` makes the
record.
"""

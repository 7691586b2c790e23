"""Feynman–Kac projection of a measured drift to the exact ground state.

`plan` chooses walkers and time steps, `project` runs it, and `turns` says what advances next. `population` holds weighted
walkers of one time step, `mover` has their moves, `past` what windows of imaginary time begin with, `window_sums` the sums
over these and `resampling` how walkers that have lost their weight are replaced. `time_steps` finds the steps, `resolution`
finds local energies that change within one, `extrapolation` takes the energies to dt = 0, `energy` adds what rare and
unresolved ones leave, `stopping` when that is enough, `summary` makes the record.
"""

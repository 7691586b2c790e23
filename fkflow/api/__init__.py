"""fkflow from Python.

`functions` has `solve`, `train`, `load` and `make_system`; `solution` the `Solution` that they return, `computing` what that
computes anew, `saving` its file; `training_loop` the `Training` for your own loops; `arguments` the checks of what a caller
gives. `fkflow` itself re-exports these names and imports them when they are first used, so that ``import fkflow`` stays free
of PyTorch.
"""

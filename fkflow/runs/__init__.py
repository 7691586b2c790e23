"""Whole runs: from a recipe to a result, a finished run measured again, a scan of many runs, a film of one.

`context` holds what all stages of a run share. `run` trains, measures and projects, with `session` for the training and
`frozen` for the stages after it. `model` builds or restores system and network, `rerun` reads the recipe of a finished run.
`remeasure`, `warm_start`, `scan` (with `scan_grid` and `scan_plan`), `evaluation` and `animate` (with `trajectories`) stand on
these. Import the modules: `context`, `rerun` and `scan_grid` are free of PyTorch.
"""

"""Training a network.

`loop` is the story: `observation` moves walkers and finds their energies, `safeguards` judge them, `update` takes a step with
the `natural_gradient` or Adam from `gradients`, and `schedule` says how large the steps are and when it is enough. `freezing`
chooses the network that is left, `state` is what a checkpoint holds.
"""

from fkflow.training.loop import initial_state, train
from fkflow.training.schedule import extend_training
from fkflow.training.state import Record, TrainState

__all__ = ["Record", "TrainState", "extend_training", "initial_state", "train"]

"""A training loop of one's own: `fkflow.train` is an iterator, so you decide what happens between iterations.

Stop when you like, record what you like, measure in between: the loop may go on afterwards.
"""

# %% A training under way
import numpy as np

import fkflow

well = fkflow.make_system("double_well", height=2.0)
training = fkflow.train(
    well,
    train={"iterations": 200},
    target_error=5e-3,
    measure={"seconds": 5.0},
    project={"seconds": 0},
    seed=1,
    threads=1,
)

# %% Go on until the local energies of the walkers hardly differ any more: for an exact ψ they are all the same
spreads = []
for step in training:
    spreads.append(step.spread)
    if step.iteration % 5 == 0:
        print(f"iteration {step.iteration}: energy {step.energy:.4f} ± {step.error:.4f}, spread {step.spread:.3f}")
    if step.spread < 0.3:
        break

# %% The network as it is now: by symmetry the drift vanishes on top of the barrier
print("drift at 0:", training.drift(np.zeros((1, 1)))[0, 0])

# %% Measure it: a variational energy is an upper bound, but for its error
early = training.solution(progress=False)
print(f"after {training.iteration} iterations: {early.variational}, exact {early.reference.energy:.5f}")
assert early.variational.value > early.reference.energy - 4 * early.variational.error
assert spreads[-1] < 0.5 * spreads[0]

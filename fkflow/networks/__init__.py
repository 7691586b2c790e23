"""log ψ and vector drifts: one file a network, made of shared parts.

`choice.build` picks the network of a system: `symmetric`, `generic`, `molecular` or `vector_drift`. `parts` is what a part is
and the chain rule that composes them; `layers`, `functions`, `coordinates`, `messages`, `confinement`, `two_body_factor`,
`molecular_parts` and `molecular_features` are the parts; `tangents`, `pair_tangents` and `pair_sum_tangents` carry gradients
for Laplacians.
"""

from fkflow.networks.choice import build
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.vector_drift import PairDrift

__all__ = ["LogPsi", "PairDrift", "build"]

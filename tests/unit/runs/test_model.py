"""The model of a run of an earlier version."""

from __future__ import annotations

import torch

from fkflow.networks.liquid import LiquidNet
from fkflow.networks.periodic import PeriodicNet
from fkflow.recipe.config import load
from fkflow.runs.model import build_model, like_stored


def test_liquids_of_earlier_versions_keep_their_network() -> None:
    """Weights of the network that all boxes had load into that; the twin: those of a liquid are a liquid's."""
    given = ["system.particles=12", "network.hidden=4"]
    recipe = load("soft_disks", given).recipe
    former = build_model(load("soft_disks", [*given, "network.kind=periodic"]).recipe, 1)
    model = build_model(recipe, 0)
    assert isinstance(model.net, LiquidNet) and isinstance(former.net, PeriodicNet)
    state = former.net.state_dict()
    restored = like_stored(model, recipe, state).net
    assert isinstance(restored, PeriodicNet)
    restored.load_state_dict(state)
    x = model.landscape.start(3, torch.Generator().manual_seed(0))
    assert restored(x).equal(former.net(x))
    assert like_stored(model, recipe, model.net.state_dict()) is model

"""Training a drift: gradients, the natural gradient, its schedule and safeguards, the loop."""

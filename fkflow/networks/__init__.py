"""log ψ and vector drifts: one file a network, made of shared parts."""

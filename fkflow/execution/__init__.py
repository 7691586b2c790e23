"""Where and how a run executes; without PyTorch until something is computed.

`device` chooses devices and threads, `chunks` splits walkers to fit memory. `launch` and `processes` start ranks, which talk
through `ranks` (and `shared_memory`). `signals` handles Ctrl-C, `progress` (with `displays`) shows progress, `startup` speeds
up imports.
"""

"""Where and how fkflow runs: device, chunks of walkers on threads, processes and ranks, signals, progress."""

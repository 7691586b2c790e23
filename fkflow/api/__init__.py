"""fkflow from Python: solve, train, load, and the Solution they return."""

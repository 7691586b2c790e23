"""Potentials of scripts/zoo.py, their parameters and their references."""

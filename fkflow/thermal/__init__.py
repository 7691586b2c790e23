"""Finite temperature: learned bridges, closed paths with weights whose mean is the partition function."""

"""The physics: one short file per family of systems."""

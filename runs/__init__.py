"""Shipped recipes: `fkflow run NAME.toml` finds them from any directory."""

"""The recipe, a TOML file: its schema, reading and writing it, the template and the error messages."""

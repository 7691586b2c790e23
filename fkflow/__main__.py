"""The command ``fkflow``, which is also ``python -m fkflow``."""

import sys

from fkflow.cli.entry import main


def command() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(main())


if __name__ == "__main__":
    command()

"""The command ``fkflow``, which is also ``python -m fkflow``."""

import os
import platform
import sys

# Before NumPy is imported: its linear algebra is small here, and its threads wait in loops for processors that PyTorch or other
# programs use. On a busy machine that doubles the CPU time of a short run. Elsewhere PyTorch has the same library.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from fkflow.cli.entry import main


def command() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(main())


if __name__ == "__main__":
    command()

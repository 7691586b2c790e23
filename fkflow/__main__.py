"""``python -m fkflow`` is the command ``fkflow``."""

import sys

from fkflow.cli import main

sys.exit(main())

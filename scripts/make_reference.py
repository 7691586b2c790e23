"""Make the reference of the public Python interface, static HTML, from the docstrings; needs `pip install -e ".[docs]"`.

python scripts/make_reference.py [--out docs/api]
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import pdoc

import fkflow

#: the public names, the data they return, the pictures, and the method itself
MODULES = (
    "fkflow",
    "fkflow.units",
    "fkflow.results.result",
    "fkflow.results.records",
    "fkflow.plot.solution_plots",
    "fkflow.sampling.paths",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/api"), help="folder of the HTML files")
    arguments = parser.parse_args()
    pdoc.render.configure(docformat="google", footer_text=f"fkflow {fkflow.__version__}", search=False)
    with warnings.catch_warnings():
        # a docstring that cannot be rendered, a type that cannot be found
        warnings.simplefilter("error")
        # libraries that disagree about one another's names are not the reference's affair
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        # nor is what System inherits
        warnings.filterwarnings("ignore", r"Error parsing type annotation .* for pydantic\.")
        # declared inside an `if` of the class, where pdoc does not look
        warnings.filterwarnings(
            "ignore", r"Cannot determine where fkflow\.System\.(particles|dimensions) is taken from"
        )
        pdoc.pdoc(MODULES[0], rf"!{MODULES[0]}\..*", *MODULES[1:], output_directory=arguments.out)
    print(f"{arguments.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

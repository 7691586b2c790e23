"""Make every figure of docs/gallery.md from shipped recipes: about a quarter of an hour on two CPU cores.

    python scripts/make_gallery.py [--only h2 bosons ...] [--work runs/gallery] [--out docs/figures]

Runs that are finished in the working folder are drawn again, not computed again. `made.json` beside the figures says from
which recipe and with which version each was made; `--check` compares it with the recipes as they are now.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

import fkflow as package

#: no image may be larger, in bytes
MOST = 300_000
#: the shipped recipes, and the file beside the figures that says what they were made of
RECIPES = Path(__file__).resolve().parents[1] / "runs"
MADE = "made.json"


@dataclass(frozen=True)
class Source:
    """A run or scan: the command that makes it, without --out, and the pictures to take from it."""

    command: tuple[str, ...]
    pictures: tuple[str, ...]


SOURCES = {
    "h2": Source(
        ("run", "h2.toml", "--seed", "1"),
        ("convergence", "projection", "density_z", "density_zrho", "conditional_zx", "drift_zx", "trajectories"),
    ),
    "bosons": Source(
        ("run", "bosons.toml", "--seed", "1"),
        ("density_r", "density_xy", "pair_r", "conditional_xy", "drift_xy", "trajectories", "walkers"),
    ),
    "two_bosons": Source(
        ("run", "bosons.toml", "--seed", "1", "--set", "system.particles=2"),
        ("density_r", "pair_r"),
    ),
    "bosons3d": Source(("run", "bosons3d.toml", "--seed", "1"), ("conditional_xy", "drift_xy", "pair_r")),
    "moshinsky": Source(("run", "moshinsky.toml", "--seed", "1"), ("density_r",)),
    "double_well": Source(("run", "double_well.toml", "--seed", "1"), ("density_x", "drift_x", "trajectories")),
    "propagate": Source(
        (
            "propagate",
            "double_well.toml",
            "--psi",
            "exp(-4*(x-1.5)**2)",
            "--time",
            "0.2",
            "--time",
            "1",
            "--time",
            "5",
            "--survival",
            "--drift",
            "24",
            "--seed",
            "1",
        ),
        ("psi", "drift", "film"),
    ),
    "scan_h2": Source(("scan", "scan_h2.toml", "--seed", "1"), ("scan",)),
    "scan_bosons": Source(("scan", "scan_bosons.toml", "--seed", "1"), ("scan",)),
}
#: budgets that leave more time than the recipes do, for busy machines
PATIENT = ("--set", "measure.seconds=300.0", "--set", "project.seconds=300.0")
#: a short and small film: it must stay below MOST as well
FILM = ("--format", "gif", "--seconds", "4", "--fps", "10", "--size", "320")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SOURCES, default=list(SOURCES), help="these alone")
    parser.add_argument("--work", type=Path, default=Path("runs/gallery"), help="where the runs are kept")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"), help="where the images go")
    parser.add_argument(
        "--check", action="store_true", help="say which figures are older than what they show; make none"
    )
    arguments = parser.parse_args()
    if arguments.check:
        faults = stale(arguments.out)
        print("\n".join(faults) or "all figures are up to date")
        return 1 if faults else 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    too_large = []
    for name in arguments.only:
        source, folder = SOURCES[name], arguments.work / name
        kind, recipe, *options = source.command
        if not any((folder / done).exists() for done in ("result.h5", "scan.h5", "propagation.h5")):
            patient = () if kind == "propagate" else PATIENT
            fkflow(kind, recipe, *options, *patient, "--out", folder)
        targets = [draw(folder, picture, arguments.out / f"{name}_{picture}") for picture in source.pictures]
        for target in targets:
            if target.suffix == ".png" and target.stat().st_size > MOST:
                few_colours(target)
            size = target.stat().st_size
            print(f"{target}  {size / 1000:.0f} kB")
            if size > MOST:
                too_large.append(target)
        note(
            arguments.out,
            name,
            origin(source) | {"figures": {target.name: digest(target.read_bytes()) for target in targets}},
        )
    for target in too_large:
        print(f"{target} is larger than {MOST / 1000:.0f} kB", file=sys.stderr)
    return 1 if too_large else 0


def origin(source: Source, recipes: Path = RECIPES) -> dict[str, Any]:
    """What decides how figures look: the command, the version, and the keys of the recipe without its comments."""
    recipe = tomllib.loads((recipes / source.command[1]).read_text(encoding="utf-8"))
    keys = digest(json.dumps(recipe, sort_keys=True).encode())
    return {"command": " ".join(source.command), "recipe": keys, "version": package.__version__}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def note(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Say in the file beside the figures what those of a source were made of."""
    file = folder / MADE
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    text = json.dumps({**found, name: entry}, indent=1, sort_keys=True, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def stale(folder: Path, recipes: Path = RECIPES) -> list[str]:
    """A sentence for each source whose figures are not what its command gives now, as far as hashes tell."""
    file = folder / MADE
    made = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    faults = []
    for name, source in SOURCES.items():
        entry = made.get(name, {})
        changed = [key for key, value in origin(source, recipes).items() if entry.get(key) != value]
        figures = entry.get("figures", {})
        changed += [file for file, there in figures.items() if there != digest((folder / file).read_bytes())]
        if changed:
            faults.append(f"{name}: other {', '.join(changed)}; make it again: scripts/make_gallery.py --only {name}")
    return faults


def draw(folder: Path, picture: str, target: Path) -> Path:
    """One picture of a run as `target` with the right ending."""
    if picture in ("walkers", "film"):
        target = target.with_suffix(".gif")
        fkflow("animate", folder, "--out", target, *FILM)
        return target
    target = target.with_suffix(".png")
    if picture == "scan":
        fkflow("plot", folder)
        shutil.copy(folder / "scan.png", target)
    else:
        fkflow("plot", folder, picture, "--out", folder / "plots")
        shutil.copy(folder / "plots" / f"{picture}.png", target)
    return target


def few_colours(image: Path) -> None:
    """Write a picture again with a palette of 256 colours, which are enough for a map of one colour scale."""
    with Image.open(image) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    small.save(image, optimize=True)


def fkflow(*arguments: object) -> None:
    """Run a command of fkflow, its progress visible; ends the script if it fails."""
    subprocess.run([sys.executable, "-m", "fkflow", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())

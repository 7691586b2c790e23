"""The gallery shows what its script makes, in files small enough for a repository."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "figures"


def script():
    import sys

    spec = importlib.util.spec_from_file_location("make_gallery", ROOT / "scripts" / "make_gallery.py")
    assert spec is not None and spec.loader is not None
    sys.modules["make_gallery"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def images(page: Path) -> list[str]:
    found = re.findall(
        r"""!\[[^\]]+\]\((?:\.\./)?figures/([^)]+)\)|<img src="(?:[^"]*/)?figures/([^"]+)""",
        page.read_text(encoding="utf-8"),
    )
    return [markdown or html for markdown, html in found]


def test_the_gallery_shows_what_the_script_makes() -> None:
    sources = script().SOURCES
    names = {f"{name}_{picture}" for name, source in sources.items() for picture in source.pictures}
    shown = images(ROOT / "docs" / "gallery.md")
    assert len(shown) == len(set(shown)) and {Path(image).stem for image in shown} == names
    elsewhere = {image for page in (ROOT / "docs").rglob("*.md") for image in images(page)}
    assert {image.name for image in FIGURES.iterdir()} == {*elsewhere, script().MADE}


def test_images_are_small() -> None:
    most = script().MOST
    assert most <= 300_000
    assert all(0 < image.stat().st_size <= most for image in FIGURES.iterdir())


def test_no_figure_is_older_than_its_recipe(tmp_path: Path) -> None:
    """Nor than the version; other keys of a recipe and another picture are seen, another comment is not."""
    gallery = script()
    assert gallery.stale(FIGURES) == []
    for file in gallery.RECIPES.glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        (tmp_path / file.name).write_text(f"# other words\n{text}", encoding="utf-8")
    assert gallery.stale(FIGURES, tmp_path) == []
    text = (tmp_path / "bosons3d.toml").read_text(encoding="utf-8")
    (tmp_path / "bosons3d.toml").write_text(text + "\n[spectrum]\nstates = 7\n", encoding="utf-8")
    (fault,) = gallery.stale(FIGURES, tmp_path)
    assert fault.startswith("bosons3d: other recipe; make it again")
    figures = shutil.copytree(FIGURES, tmp_path / "figures")
    shutil.copy(figures / "h2_convergence.png", figures / "double_well_drift_x.png")
    (fault,) = gallery.stale(figures)
    assert fault.startswith("double_well: other double_well_drift_x.png")


def test_the_readme_shows_three_of_them() -> None:
    assert images(ROOT / "README.md") == [
        "h2_density_zrho.png", "bosons_drift_xy.png", "scan_bosons_scan.png",
    ]  # fmt: skip

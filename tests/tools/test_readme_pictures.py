"""The README's pictures: all there, light and dark, and they fetch nothing."""

from __future__ import annotations

import re
from pathlib import Path

from tools.pictures import COLUMNS, FOLDER, THEMES, plan_picture

PAGE = "\x1b[1mruns/x.yaml\x1b[0m · GRPO\n\n  phase   s/step\n  train      \x1b[34m102\x1b[0m\n  total   $13,860\n  unit cost  $16.92\n"


def test_the_readme_shows_each_picture_light_and_dark(repo: Path) -> None:
    named = set(re.findall(r"docs/pictures/[\w.-]+", (repo / "README.md").read_text(encoding="utf-8")))
    there = {f"docs/pictures/{path.name}" for path in FOLDER.iterdir()}
    assert named == there
    assert len(there) == 3 * len(THEMES)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 400_000


def test_a_plans_picture_is_its_page_up_to_the_total() -> None:
    for theme in THEMES.values():
        picture = plan_picture(PAGE, theme)
        text = re.sub(r"&#160;", " ", re.sub(r"<[^>]+>", "", picture))
        assert "GRPO" in text
        assert "$13,860" in text
        assert "$16.92" not in text
        assert not re.search(r"(url\(|href=|src=)['\"]?https?:", picture)
    assert COLUMNS >= 80

"""What may lie in the tree: vendored files as they came, and nothing that only the builder's machine knows."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "idp_bridge" / "web" / "static" / "vendor"

#: Written apart, so that this file does not find itself.
FORBIDDEN = (
    re.compile(r"(?<![\w./~])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me)/\w"),
    re.compile("arti" + "factory|nex" + "us\\.|files\\.python" + "hosted|pypi\\." + "org/simple", re.IGNORECASE),
)
TEXT = {
    "",
    ".cfg",
    ".css",
    ".html",
    ".j2",
    ".js",
    ".json",
    ".md",
    ".py",
    ".sh",
    ".svg",
    ".toml",
    ".txt",
    ".xml",
    ".yml",
}


def _rows() -> dict[str, str]:
    table = (VENDOR / "README.md").read_text()
    return dict(re.findall(r"^\| `([^`]+)`.*`([0-9a-f]{64})` \|$", table, flags=re.MULTILINE))


def _tracked() -> list[Path]:
    """The files that a commit would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


@pytest.mark.parametrize("name", sorted(_rows()))
def test_a_vendored_file_is_the_one_its_row_names(name: str) -> None:
    """Bit by bit; whoever changes one must change its row and say so."""
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == _rows()[name]


def test_every_vendored_script_and_style_has_a_row() -> None:
    """With package, version and licence."""
    assert {path.name for path in VENDOR.iterdir() if path.suffix in {".js", ".css"}} == set(_rows())


def test_no_file_names_a_place_of_the_builders_machine() -> None:
    """No absolute path of a home directory, no package registry: a checkout works anywhere."""
    found = []
    for path in _tracked():
        if VENDOR in path.parents or path.suffix not in TEXT or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for rule in FORBIDDEN for match in rule.finditer(text)]
    assert found == []

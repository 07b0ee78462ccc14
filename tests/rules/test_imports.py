"""The import rules of pyproject.toml, proven where the suite runs and not only in `make check`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_imports_go_downward_and_awkward_libraries_have_one_door() -> None:
    """Each contract of [tool.importlinter] is kept."""
    command = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([command, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert " 0 broken" in run.stdout

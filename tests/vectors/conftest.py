"""Where the published test vectors are. They stay where they were fetched to, with their licences: none is copied here.

``PANJI_SHARED`` names the shared folder; by default it is ``shared`` beside the repository.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of the vectors; tests are skipped where it is absent, and only there."""
    shared = Path(os.environ.get("PANJI_SHARED", REPOSITORY.parent / "shared"))
    folder = shared / "data" / "vectors"
    if not folder.is_dir():
        pytest.skip(f"no test vectors in {folder}; set PANJI_SHARED to the shared folder")
    return folder

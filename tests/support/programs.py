"""Our programs, as a person runs them: each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any


def panji(*arguments: Any) -> subprocess.CompletedProcess[str]:
    """The command line."""
    command = [sys.executable, "-m", "panji", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)

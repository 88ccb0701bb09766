"""Starts a driver of this folder, alone or as several ranks under torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]


def launch(
    driver: str, num_ranks: int, *arguments: Path | dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    """The finished process; dicts are handed over as JSON."""
    command = [sys.executable, "-W", "ignore"]
    if num_ranks > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_ranks}"]
    command.append(str(FOLDER / driver))
    command += [json.dumps(a) if isinstance(a, dict) else str(a) for a in arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)

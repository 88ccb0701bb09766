"""What every test shares: no network, few threads, no launcher's variables."""

import os

from hypothesis import HealthCheck, settings

os.environ.update(
    {
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "offline",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
    }
)
for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
    os.environ.pop(name, None)

from tests.engine_fixtures import lab_engine, lab_weights  # noqa: E402, F401
from tests.fault_table import add_fault  # noqa: E402, F401

# A loaded machine must not fail a property for being slow.
ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("any_machine", ANY_MACHINE)
# `make check`: a commit need not wait for every example, `make test` tries them all.
settings.register_profile("few_examples", ANY_MACHINE, max_examples=25)
settings.load_profile("any_machine")

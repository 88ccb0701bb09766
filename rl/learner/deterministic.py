"""What `deterministic=true` asks of torch: algorithms that give the same bits every time."""

import os

import torch


def use_deterministic_algorithms() -> None:
    """Chooses deterministic kernels where torch has them; torch warns by name where it has none.

    To be called before the first CUDA operation: cuBLAS reads its setting once.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory finds reads of uninitialised values, which is not what is asked for.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False

"""Changes to third-party libraries that the learner needs; each says why and what retires it."""


def skip_compiled_collectives() -> None:
    """Keeps DeepSpeed from compiling a C++ extension when it starts on a CPU.

    DeepSpeed 0.19.8 builds `deepspeed_shm_comm` with the system's compiler (45 s on two cores, and
    a machine without one fails) although only inference all-reduces use it. Retired when DeepSpeed
    has a setting for it.
    """
    import deepspeed

    deepspeed.ops.__dict__.setdefault("__compatible_ops__", {})["deepspeed_shm_comm"] = False

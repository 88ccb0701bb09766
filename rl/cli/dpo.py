"""`laconic dpo MODEL PAIRS --to FOLDER`: a model trained on the pairs of `laconic pairs`.

Flow: every problem at once -> TRL's `DPOTrainer` -> a Hugging Face folder that `laconic eval
--model` reads, with dpo.json beside the weights.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rl.cli.merge_methods import Problems, folder_of, target_problems
from rl.cli.model_folder import model_folder

if TYPE_CHECKING:
    import pyarrow as pa

    from rl.offline.dpo import DpoSettings

FORMAT = 1
HELP = {
    "beta": ("how far the policy may leave its start", float),
    "learning_rate": ("with linear decay", float),
    "epochs": ("over all pairs", float),
    "max_tokens": ("of prompt and completion; what is beyond is cut off", int),
    "batch_size": ("pairs per update", int),
    "micro_batch": ("pairs per forward pass", int),
    "lora_rank": ("0 trains all weights", int),
    "seed": ("of shuffling and adapters", int),
}
"""What the options say; their defaults are those of `rl.offline.dpo.DpoSettings`."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `dpo` to the `laconic` command."""
    parser = commands.add_parser(
        "dpo", help="train a model on preference pairs, by TRL", description=__doc__
    )
    parser.add_argument("model", metavar="MODEL", help="Hub name, folder, run's folder, lab:short")
    parser.add_argument("pairs", type=Path, metavar="PAIRS", help="a file of `laconic pairs`")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    for name, (meaning, kind) in HELP.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=argparse.SUPPRESS, help=meaning)
    parser.set_defaults(run=run, overrides=[])


def run(asked: argparse.Namespace) -> int:
    """Trains; 2 with one message when something is in the way."""
    from rl.cli.launch import log_to_stderr
    from rl.cli.machine import this_machine

    log_to_stderr(this_machine())
    try:
        if asked.overrides:
            raise ValueError(f"takes no overrides: {' '.join(asked.overrides)}")
        if find_spec("trl") is None:
            raise ValueError("TRL is not installed here; `pip install 'laconic[dpo]'`")
        note = train_folder(asked)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"laconic dpo: {error}\n")
        return 2
    sys.stdout.write(
        f"{asked.to}: {note['num_pairs']} pairs, {note['num_cut']} of them cut at "
        f"{note['settings']['max_tokens']} tokens, {note['wall_s']} s\n"
    )
    return 0


def train_folder(asked: argparse.Namespace) -> dict[str, Any]:
    """Trains as asked into the folder `--to`, which appears when it is whole; returns dpo.json.

    Raises `Problems` with all that is in the way before a model is loaded.
    """
    from transformers.utils.logging import disable_progress_bar

    from rl.offline.dpo import num_cut, train
    from rl.run.export import check_export
    from rl.run.folder import source_commit

    disable_progress_bar()
    start = perf_counter()
    settings, table, model = checked(asked)
    partial = asked.to.with_name(f"{asked.to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    logged = train(model, "main", table, settings, partial)
    check_export(partial)
    note = {
        "format": FORMAT,
        "model": asked.model,
        "pairs": str(asked.pairs),
        "num_pairs": table.num_rows,
        "num_cut": num_cut(table, settings.max_tokens),
        "settings": asdict(settings),
        "commit": source_commit(),
        "wall_s": round(perf_counter() - start, 1),
        "log": logged,
    }
    (partial / "dpo.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    if asked.to.is_dir():
        asked.to.rmdir()
    partial.rename(asked.to)
    return note


def checked(asked: argparse.Namespace) -> tuple["DpoSettings", "pa.Table", str]:
    """Settings, pairs and the model's folder or Hub name; raises `Problems`."""
    from rl.offline.dpo import DpoSettings, check_tokens
    from rl.offline.pair_files import read_pairs

    given = vars(asked)
    settings = DpoSettings(
        **{field.name: given[field.name] for field in fields(DpoSettings) if field.name in given}
    )
    problems = [*settings.problems(), *target_problems(asked.to)]
    known = model_folder(asked.model)
    model = str(folder_of(asked.model)) if known is not None else asked.model
    table = None
    try:
        table = read_pairs(asked.pairs)
        if known is not None and not Path(model, "config.json").is_file():
            problems.append(f"{asked.model}: {model} holds no model; give a Hugging Face folder")
        elif not problems:
            check_tokens(table, model)
    except (ValueError, OSError) as error:
        problems.append(str(error))
    if problems or table is None:
        raise Problems(problems)
    return settings, table, model

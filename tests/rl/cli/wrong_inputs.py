"""Wrong inputs of every kind, each with words of what must be said; as data, for test and table.

`refusal(case, folder)` prepares the input in an empty folder and returns the message that a user
reads. Anything but the documented errors passes through, and with it a traceback.
"""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.memory import PromptMemory
from rewards.config import CustomRewardConfig
from rewards.custom import build_reward
from rewards.gates.custom import CustomGateConfig
from rewards.protocols import RewardError
from rl.cli import judging
from rl.cli.compose import compose
from rl.cli.inputs import read_inputs
from rl.cli.machine import Machine
from rl.cli.recipe import RecipeError
from rl.config import RunConfig
from rollout.background import BackgroundLoop
from tests.rewards.groups import group, verdicts

ROOT = Path(__file__).resolve().parents[3]
LAB = ROOT / "data" / "lab" / "short"
QUESTION = "Start with 8 and work modulo 10: u-7. What is the result?"
GOOD = {"prompt": QUESTION, "answer": "1"}
RECIPE = """\
# Run: torchrun mine.yaml
defaults: [schema, model: lab_short, data: lab_short, reward: sigmoid, algorithm: grpo,
  limit: constant, rollout: vllm, learner: deepspeed, _self_]
limit: {max_response_tokens: 512}
rollout: {max_prompt_tokens: 256}
"""
MODULE = """\
def count(completions, **columns):
    return [1.0]

def nothing(completions, **columns):
    return [None] * len(completions)

def not_a_number(completions, **columns):
    return [float("nan")] * len(completions)

def text(completions, **columns):
    return [len(c.split()) for c in completions]

def needs(completions, solution):
    return [0.0] * len(completions)

def anything(*args):
    return []

def ours(groups, verdicts):
    return [[1.0 for c in g.completions] for g in groups]

def factory(scale):
    return None

NUMBER = 3
"""
GATES = """\
def one_too_few(groups, verdicts):
    return [True] * (len(groups) - 1)

def shares(groups, verdicts):
    return [sum(bool(v.correct) for v in judged) / len(judged) for judged in verdicts]

def nothing(groups, verdicts):
    return None
"""
ROWS = """\
def without_answers(split):
    return [{"prompt": "2 times 2?", "solved": True}]

def texts(split):
    return ["2 times 2?"]

def nothing(split):
    return None

def broken(split):
    return {}[split]
"""

Prepare = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """One wrong input: a recipe with overrides, and what lies beside it."""

    kind: str
    tried: str
    said: str
    overrides: tuple[str, ...] = ()
    recipe: str | bytes = RECIPE
    prepare: Prepare = field(default=lambda folder: None)


def refusal(case: Wrong, folder: Path) -> str:
    """What the user reads about `case`; run with `folder` as the current one."""
    recipe = folder / "mine.yaml"
    recipe.write_bytes(case.recipe if isinstance(case.recipe, bytes) else case.recipe.encode())
    case.prepare(folder)
    try:
        config = compose(Path("mine.yaml"), case.overrides, Machine(num_cores=2, num_gpus=0)).config
        if isinstance(config.reward, CustomRewardConfig):
            use_reward(config.reward, folder)
        elif isinstance(config.gate, CustomGateConfig):
            use_gate(config, folder)
        else:
            with importable(folder):
                read_inputs(config)
    except (RecipeError, RewardError) as error:
        return str(error)
    except ValueError as error:
        assert type(error) is ValueError, f"{type(error).__name__} reaches the user"
        return str(error)
    raise AssertionError("it was accepted")


def use_reward(config: CustomRewardConfig, folder: Path) -> None:
    """As a run does: imported from beside the recipe, then called on one update."""
    with importable(folder):
        build_reward(config)([group("7", [10, 20])], [verdicts([True, False])])


def use_gate(config: RunConfig, folder: Path) -> None:
    """As a run does: checked before anything starts, then called on one update, in a process."""
    with importable(folder), ExitStack() as parts:
        judging.check_user_code(config)
        loop = parts.enter_context(closing(BackgroundLoop()))
        reward = judging.build_reward(config, parts, loop, PromptMemory())
        reward([group("7", [10, 20])], [verdicts([True, False])])


@contextmanager
def importable(folder: Path) -> Any:
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in ("mine_reward", "broken_reward", "mine_rows"):
            sys.modules.pop(name, None)


def rows(*written: Any) -> Prepare:
    """Writes `rows.jsonl`: objects as JSON, text and bytes as they stand."""

    def prepare(folder: Path) -> None:
        lines = [row if isinstance(row, str | bytes) else json.dumps(row) for row in written]
        encoded = [line.encode() if isinstance(line, str) else line for line in lines]
        (folder / "rows.jsonl").write_bytes(b"\n".join(encoded))

    return prepare


def model(**changed: bytes | None) -> Prepare:
    """A copy of the lab's model with files replaced, or taken away by None."""

    def prepare(folder: Path) -> None:
        shutil.copytree(LAB, folder / "model")
        for name, content in changed.items():
            file = folder / "model" / name.replace("__", ".")
            file.unlink() if content is None else file.write_bytes(content)

    return prepare


def file(name: str, content: bytes) -> Prepare:
    def prepare(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return prepare


def config(tried: str, said: str, *overrides: str, **options: Any) -> Wrong:
    return Wrong(kind="config", tried=tried, said=said, overrides=overrides, **options)


def data(tried: str, said: str, prepare: Prepare, path: str = "rows.jsonl", *more: str) -> Wrong:
    overrides = (f"data.path={path}", "data.eval_path=''", *more)
    return Wrong(kind="data", tried=tried, said=said, overrides=overrides, prepare=prepare)


def models(tried: str, said: str, prepare: Prepare, path: str = "./model") -> Wrong:
    overrides = (f"model.path={path}", "data.path=rows.jsonl", "data.eval_path=''")

    def both(folder: Path) -> None:
        rows(GOOD)(folder)
        prepare(folder)

    return Wrong(kind="model", tried=tried, said=said, overrides=overrides, prepare=both)


def reward(tried: str, said: str, target: str, *more: str) -> Wrong:
    def prepare(folder: Path) -> None:
        (folder / "mine_reward.py").write_text(MODULE)
        (folder / "broken_reward.py").write_text("def f(:\n")

    overrides = ("reward=custom", f"reward.target={target}", *more)
    return Wrong(kind="reward", tried=tried, said=said, overrides=overrides, prepare=prepare)


def gate(tried: str, said: str, target: str, *more: str) -> Wrong:
    overrides = ("gate=custom", f"gate.target={target}", *more)
    mine = file("mine_gate.py", GATES.encode())
    return Wrong(kind="gate", tried=tried, said=said, overrides=overrides, prepare=mine)


def own_rows(tried: str, said: str, target: str, *more: str) -> Wrong:
    mine = file("mine_rows.py", ROWS.encode())
    return data(tried, said, mine, "custom", f"data.target={target}", *more)


CHILD = "defaults: [schema, mine, _self_]\n"
WEIGHTS = (LAB / "model.safetensors").read_bytes()[:-100]
ASSISTANT = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "1"}]

CASES = [
    config("a misspelt key", "did you mean learner.learning_rate?", "learner.learning_rat=1e-5"),
    config("a key without its section", "did you mean rollout.max_num_seqs?", "max_num_seqs=64"),
    config("text for a number", "num_steps=many (command line): must be an integer",
           "num_steps=many"),
    config("a misspelt option", "no such reward; did you mean sigmoid?", "reward=sigmod"),
    config("a section as a value", "a section, not a value", "limit=3"),
    config("a group of one completion", "set algorithm.group_size>=2", "algorithm.group_size=1"),
    config("a sweep", "can only set key=value", "seed=1,2"),
    config("an override without =", "write key=value", "a b"),
    config("an unknown interpolation", "seed", "seed=${nothing}"),
    config("a gate without a length term", "there is no length term to gate",
           "reward=correct", "gate=grpo_lambda"),
    config("more tokens than the model's context", "do not fit the model's context of 2304",
           "limit.max_response_tokens=4000"),
    config("a GPU placement without GPUs", "this machine has no GPU", "rollout.placement=shared"),
    config("a run folder in use", "a run never overwrites", "run.dir=."),
    config("a run folder that is no path", "is no path", "run.dir=" + "x" * 300),
    config("a YAML that is no recipe", "it has no `defaults: [schema, ...]`", recipe="a: 1\n"),
    config("a broken YAML", "is not valid YAML", recipe="defaults: [schema\n"),
    config("a file that is no text", "is not UTF-8 text", recipe=b"\xff\xfe\x00"),
    config("defaults that are no list", "it must be a list of names", recipe="defaults: 3\n"),
    config("a recipe that builds on itself", "mine builds on itself", recipe=CHILD),
    config("a parent that is not there", "parent.yaml is neither in",
           recipe="defaults: [schema, parent, _self_]\n"),
    data("a file that is not there", "no such file or folder", rows(), "other.jsonl"),
    data("an empty file", "there are no rows", rows()),
    data("a line that is no JSON", "line 2 is not JSON", rows(GOOD, "{")),
    data("a line that is no object", "line 2 is a JSON list", rows(GOOD, [1])),
    data("a line that is not UTF-8", "line 2 is not UTF-8", rows(GOOD, b"\xff")),
    data("no answers", "set data.answer_column=NAME", rows({"prompt": QUESTION})),
    data("no questions", "set data.prompt_column=NAME", rows({"text": "", "answer": "1"})),
    data("an empty answer", "row 2: answer is empty", rows(GOOD, {**GOOD, "answer": ""})),
    data("NaN as an answer", "row 1: answer is nan; it must be text or a finite number",
         rows({**GOOD, "answer": float("nan")})),
    data("half a surrogate pair", "it holds half of a surrogate pair",
         rows('{"prompt": "\\ud800", "answer": "1"}')),
    data("a prompt that is too long", "set rollout.max_prompt_tokens>=",
         rows({**GOOD, "prompt": " ".join([QUESTION] * 30)})),
    data("a prompt that the assistant ends", "ends with a message of 'assistant'",
         rows({**GOOD, "prompt": ASSISTANT})),
    data("a message without content", "each needs role and content as text",
         rows({**GOOD, "prompt": [{"role": "user"}]})),
    data("a parquet file that is cut short", "rows.parquet", file("rows.parquet", b"PAR1xx"),
         "rows.parquet"),
    data("a pickle", "cannot read .pkl", file("rows.pkl", b""), "rows.pkl"),
    data("a folder of something else", "no column prompt", file("folder/notes.txt", b"hello"),
         "./folder"),
    data("a lab that there is not", "the lab has lab:short and lab:long", rows(), "lab:medium"),
    data("a dataset that the Hub does not give", "Hub name that this machine can reach", rows(),
         "nobody/no-such-dataset"),
    own_rows("rows of one's own without a function", "set data.target=module.name", ""),
    own_rows("rows of one's own: no such module", "cannot be imported", "no_such_module.f"),
    own_rows("rows of one's own: no such name", "cannot be imported", "mine_rows.other"),
    own_rows("rows of one's own without answers", "set data.answer_column=NAME",
             "mine_rows.without_answers"),
    own_rows("rows of one's own that are texts", "row 1 is '2 times 2?'", "mine_rows.texts"),
    own_rows("no rows of one's own", "returned None; return rows", "mine_rows.nothing"),
    own_rows("a split that one's own function lacks", "raised KeyError: 'train'",
             "mine_rows.broken"),
    models("a folder that is not there", "there is no such folder", rows(GOOD), "./nowhere"),
    models("a lab model that there is not", "the lab has no such checkpoint", rows(GOOD),
           "lab:medium"),
    models("no config.json", "the folder has no config.json", model(config__json=None)),
    models("a broken config.json", "config.json cannot be read", model(config__json=b"{")),
    models("a config.json that is a list", "config.json cannot be read", model(config__json=b"[]")),
    models("no tokenizer", "there is no tokenizer",
           model(tokenizer__json=None, tokenizer_config__json=None)),
    models("a broken tokenizer", "its tokenizer cannot be read", model(tokenizer__json=b"{}")),
    models("no chat template", "has no chat template", model(chat_template__jinja=None)),
    models("a broken chat template", "the chat template refuses it",
           model(chat_template__jinja=b"{% for %}")),
    models("no weights", "there are no weights", model(model__safetensors=None)),
    models("weights that are cut short", "model.safetensors is damaged",
           model(model__safetensors=WEIGHTS)),
    reward("no dotted path", "set reward.target=module.name", "mine"),
    reward("a module that is not there", "cannot be imported", "no_such_module.f"),
    reward("a module that does not compile", "SyntaxError", "broken_reward.f"),
    reward("a name that is not there", "cannot be imported", "mine_reward.other"),
    reward("a number", "is a int", "mine_reward.NUMBER"),
    reward("arguments that it does not take", "refused them", "mine_reward.factory",
           "reward.args={scle: 2}"),
    reward("a factory of nothing", "returned NoneType", "mine_reward.factory",
           "reward.args={scale: 2}"),
    reward("a function of unknown shape", "set reward.shape=", "mine_reward.anything"),
    reward("a TRL function: wrong count", "returned 1 rewards for 2", "mine_reward.count"),
    reward("a TRL function: None", "returned None for completion", "mine_reward.nothing"),
    reward("a TRL function: NaN", "returned nan for completion", "mine_reward.not_a_number"),
    reward("a TRL function for text", "set reward.shape=trl_text for text", "mine_reward.text"),
    reward("a TRL function: no such column", "needs solution, which the data lack",
           "mine_reward.needs"),
    reward("numbers for scores", "return a data.types.Score", "mine_reward.ours"),
    gate("a gate without a dotted path", "set gate.target=module.name", "mine"),
    gate("a gate of a module that is not there", "cannot be imported", "no_such_module.f"),
    gate("a gate: too few values", "returned 0 values for 1 groups", "mine_gate.one_too_few"),
    gate("a gate: shares", "returned 0.5 for a group", "mine_gate.shares"),
    gate("a gate: None", "return a list with True or False", "mine_gate.nothing"),
]  # fmt: skip

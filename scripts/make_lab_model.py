"""Makes the lab in `data/lab/`: problems, tokenizer, tiny checkpoints, and their acceptance.

    python scripts/make_lab_model.py --problems                # the four JSONL files
    python scripts/make_lab_model.py --variant short [--tied]  # one checkpoint, minutes on a CPU
    python scripts/make_lab_model.py --variant long [--tied]   # starts from the short checkpoint
    python scripts/make_lab_model.py --check [--variant short] # measures, prints, writes lab.json

The base model overthinks on purpose (`data.arithmetic.verbose_trace`). A share of its prompts
carries budget and effort phrases with random numbers that say nothing, so that it knows their
words only.
"""

import argparse
import hashlib
import json
import random
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    GenerationConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
)
from trl import SFTConfig, SFTTrainer

from data.arithmetic import (
    LABELS,
    LONG_HABITS,
    LONG_LEVELS,
    OPERANDS,
    SHORT_HABITS,
    SHORT_LEVELS,
    Habits,
    Problem,
    answer,
    distinct_problems,
    draw_problem,
    minimal_num_tokens,
    minimal_trace,
    question,
    skipping_trace,
    verbose_trace,
)
from data.budgets import PHRASES

LAB = Path(__file__).resolve().parent.parent / "data" / "lab"
LAB_VERSION = "1"
SEED = 17
TIED = "_tied"
NUM_TRAIN, NUM_HELD_OUT, SAMPLES_PER_PROBLEM = 4000, 1000, 4

PAD, END = "<|pad|>", "<|end|>"
ROLES = ["<|system|>", "<|user|>", "<|assistant|>"]
SHAPE = ["<think>", "</think>", r" \boxed{"]
STEPS = [f"{symbol}{operand}" for symbol, operands in OPERANDS.items() for operand in operands]
WORDS = ["with", "and", "work", "modulo", "is", "the", "result", "wait", "check", "so"]
WORDS += ["for", "maximum", "tokens", "percent", "effort"]
FIRST_WORDS = ["Start", "What", "Think", "Use"]
VOCABULARY_MULTIPLE = 64
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{ '<|system|>' + message['content'] }}"
    "{%- elif message['role'] == 'user' -%}{{ '<|user|>' + message['content'] }}"
    "{%- else -%}{{ '<|assistant|>' }}"
    "{%- generation -%}{{ message['content'] + '<|end|>' }}{%- endgeneration -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)
PHRASE_SHARE = 0.18
LEARNING_RATE = 2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One stretch of supervised training."""

    habits: Habits
    num_steps: int
    batch_size: int
    micro_batches: int
    last: bool = False
    """Whether the learning rate falls to zero at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What distinguishes the short lab from the long one."""

    levels: range
    max_response_tokens: int
    start_from: str
    phases: tuple[Phase, ...]


MINIMAL = Habits(
    minimal=1.0,
    wordy=0.0,
    restate_when_wordy=0.0,
    restate_when_checking=0.0,
    fewest_checks=1,
    most_checks=1,
    abandoned_checks=0.0,
)
FEW_CHECKS = Habits(
    minimal=0.21,
    wordy=0.5,
    restate_when_wordy=0.9,
    restate_when_checking=0.25,
    fewest_checks=1,
    most_checks=2,
    abandoned_checks=0.2,
)

SHORT_PHASES = (
    Phase(habits=MINIMAL, num_steps=1500, batch_size=64, micro_batches=2),
    Phase(habits=FEW_CHECKS, num_steps=400, batch_size=64, micro_batches=2),
    Phase(habits=SHORT_HABITS, num_steps=400, batch_size=64, micro_batches=4, last=True),
)
LONG_PHASES = (
    Phase(habits=MINIMAL, num_steps=1000, batch_size=64, micro_batches=2),
    Phase(habits=FEW_CHECKS, num_steps=300, batch_size=48, micro_batches=2),
    Phase(habits=LONG_HABITS, num_steps=400, batch_size=32, micro_batches=8, last=True),
)
SHORT = Variant(levels=SHORT_LEVELS, max_response_tokens=512, start_from="", phases=SHORT_PHASES)
LONG = Variant(levels=LONG_LEVELS, max_response_tokens=2048, start_from="short", phases=LONG_PHASES)
# Tied embeddings learn to start a check from the question only in a second round.
SHORT_TIED = replace(SHORT, phases=(*SHORT_PHASES, *SHORT_PHASES[1:]))
LONG_TIED = replace(LONG, start_from="short_tied", phases=(*LONG_PHASES, *LONG_PHASES[1:]))
VARIANTS = {"short": SHORT, "short_tied": SHORT_TIED, "long": LONG, "long_tied": LONG_TIED}


def build_tokenizer() -> Qwen2Tokenizer:
    """Qwen's byte-level tokenizer whose only merges are the task's words; any text round-trips."""
    vocabulary = [PAD, END, *ROLES, *SHAPE, *STEPS, *sorted(ByteLevel.alphabet())]
    merges = []
    for word in [*(f"\u0120{word}" for word in (*LABELS, *FIRST_WORDS, *WORDS)), *FIRST_WORDS]:
        for end in range(1, len(word)):
            if word[: end + 1] not in vocabulary:
                vocabulary.append(word[: end + 1])
                merges.append((word[:end], word[end]))
    tokenizer = Qwen2Tokenizer(
        vocab={piece: index for index, piece in enumerate(vocabulary)},
        merges=merges,
        pad_token=PAD,
        eos_token=END,
        unk_token=PAD,
        additional_special_tokens=ROLES,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=2304,
    )
    whole = [AddedToken(text, special=False, normalized=False) for text in (*SHAPE, *STEPS)]
    tokenizer.add_tokens(whole)
    return tokenizer


def new_model(tokenizer: Qwen2Tokenizer, *, tied: bool) -> PreTrainedModel:
    """A random Qwen2 of half a million parameters, of the family of R1-Distill-Qwen."""
    num_rows = -(-len(tokenizer) // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    config = Qwen2Config(
        vocab_size=num_rows,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2304,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=True,
    )
    return Qwen2ForCausalLM(config)


def prompt_text(problem: Problem, phrase: str = "") -> str:
    """The chat template's text for one user message, up to where the assistant speaks."""
    return f"<|user|>{question(problem)}{phrase and ' ' + phrase}<|assistant|>"


def random_phrase(rng: random.Random, max_response_tokens: int) -> str:
    """Usually nothing; sometimes a budget or effort phrase whose number says nothing."""
    if rng.random() >= PHRASE_SHARE:
        return ""
    phrase = rng.choice(tuple(PHRASES.values()))
    return phrase.format(rng.randint(1, 100 if "percent" in phrase else max_response_tokens))


def supervised_rows(
    variant: Variant, phase: Phase, tokenizer: Qwen2Tokenizer, rng: random.Random
) -> Dataset:
    """Tokens and labels of random training problems with traces; the loss is on responses only.

    Within each step the rows are sorted by length, so that its micro-batches carry little padding.
    """
    rows = []
    for _ in range(phase.num_steps):
        pairs = [supervised_pair(variant, phase, rng) for _ in range(phase.batch_size)]
        prompts = tokenizer([prompt for prompt, _ in pairs])["input_ids"]
        responses = tokenizer([response for _, response in pairs])["input_ids"]
        rows += sorted(zip(prompts, responses, strict=True), key=lambda row: len(row[0] + row[1]))
    return Dataset.from_dict(
        {
            "input_ids": [prompt + response for prompt, response in rows],
            "labels": [[-100] * len(prompt) + response for prompt, response in rows],
        }
    )


def supervised_pair(variant: Variant, phase: Phase, rng: random.Random) -> tuple[str, str]:
    """The texts of one prompt and of one response to it."""
    problem = draw_problem(rng, rng.choice(variant.levels), held_out=False)
    prompt = prompt_text(problem, random_phrase(rng, variant.max_response_tokens))
    return prompt, verbose_trace(problem, rng, phase.habits) + END


def train(folder: str) -> None:
    """Trains one checkpoint through its phases and saves it with its tokenizer."""
    torch.manual_seed(SEED)
    variant, tokenizer = VARIANTS[folder], build_tokenizer()
    if variant.start_from:
        model = AutoModelForCausalLM.from_pretrained(LAB / variant.start_from)
    else:
        model = new_model(tokenizer, tied=folder.endswith(TIED))
    for index, phase in enumerate(variant.phases):
        rng = random.Random(f"{SEED} {folder.removesuffix(TIED)} {index}")
        train_phase(model, tokenizer, phase, supervised_rows(variant, phase, tokenizer, rng))
    save(model, tokenizer, LAB / folder)


def train_phase(
    model: PreTrainedModel, tokenizer: Qwen2Tokenizer, phase: Phase, rows: Dataset
) -> None:
    """Supervised training on prepared rows, in their order."""
    arguments = SFTConfig(
        output_dir=tempfile.gettempdir(),
        max_steps=phase.num_steps,
        per_device_train_batch_size=phase.batch_size // phase.micro_batches,
        gradient_accumulation_steps=phase.micro_batches,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="cosine" if phase.last else "constant_with_warmup",
        warmup_steps=50,
        weight_decay=0.01,
        adam_beta2=0.98,
        train_sampling_strategy="sequential",
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        logging_steps=50,
        seed=SEED,
        disable_tqdm=True,
    )
    SFTTrainer(model, arguments, train_dataset=rows, processing_class=tokenizer).train()


def save(model: PreTrainedModel, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Writes a folder in Hugging Face format that samples plainly at temperature 1."""
    model.config.use_cache = True
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_problems() -> None:
    """Writes the training and held-out problems of both variants."""
    for name in ("short", "long"):
        for part, number in (("train", NUM_TRAIN), ("heldout", NUM_HELD_OUT)):
            rng = random.Random(f"{SEED} {name} {part}")
            problems = distinct_problems(
                rng, VARIANTS[name].levels, number, held_out=part == "heldout"
            )
            rows = [json.dumps(problem_row(problem, name)) for problem in problems]
            (LAB / f"{name}_{part}.jsonl").write_text("\n".join(rows) + "\n")


def problem_row(problem: Problem, name: str) -> dict[str, object]:
    """One line of a problem file."""
    return {
        "prompt": [{"role": "user", "content": question(problem)}],
        "answer": str(answer(problem)),
        "level": problem.level,
        "minimal_tokens": minimal_num_tokens(problem),
        "source": f"lab_{name}",
    }


@torch.inference_mode()
def sample(
    model: PreTrainedModel, prompt_ids: Tensor, max_tokens: int, *, greedy: bool
) -> list[list[int]]:
    """Responses to prompts of equal length [B, T], finished rows leaving the batch at once.

    A response ends with the end token, or without it where `max_tokens` cut it off.
    """
    end = model.generation_config.eos_token_id
    responses: list[list[int]] = [[] for _ in prompt_ids]
    running = torch.arange(len(prompt_ids))
    cache = DynamicCache(config=model.config)
    tokens = prompt_ids
    for _ in range(max_tokens):
        output = model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits = output.logits[:, -1]
        drawn = logits.argmax(-1) if greedy else torch.multinomial(logits.softmax(-1), 1)[:, 0]
        for row, token in zip(running.tolist(), drawn.tolist(), strict=True):
            responses[row].append(token)
        alive = (drawn != end).nonzero()[:, 0]
        if not len(alive):
            break
        if len(alive) < len(drawn):
            cache.batch_select_indices(alive)
        running, tokens = running[alive], drawn[alive, None]
    return responses


def read_problems(name: str, num_problems: int) -> list[Problem]:
    """The first held-out problems; drawn again, and compared with the file."""
    variant = VARIANTS[name]
    rng = random.Random(f"{SEED} {name} heldout")
    problems = distinct_problems(rng, variant.levels, num_problems, held_out=True)
    lines = (LAB / f"{name}_heldout.jsonl").read_text().splitlines()[:num_problems]
    assert [json.loads(line) for line in lines] == [problem_row(p, name) for p in problems]
    return problems


def by_level(problems: Iterable[Problem]) -> list[list[Problem]]:
    """Problems of one level have prompts of one length, so that they batch without padding."""
    levels = defaultdict(list)
    for problem in problems:
        levels[problem.level].append(problem)
    return list(levels.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One sampled response, judged."""

    problem: Problem
    num_tokens: int
    correct: bool
    truncated: bool


def sample_outcomes(
    model: PreTrainedModel,
    tokenizer: Qwen2Tokenizer,
    problems: Sequence[Problem],
    max_tokens: int,
    *,
    greedy: bool,
) -> list[Outcome]:
    """Samples every problem once; greedy, or at temperature 1."""
    outcomes = []
    for group in by_level(problems):
        prompts = tokenizer([prompt_text(problem) for problem in group], return_tensors="pt")
        responses = sample(model, prompts["input_ids"], max_tokens, greedy=greedy)
        texts = tokenizer.batch_decode(responses)
        for problem, tokens, text in zip(group, responses, texts, strict=True):
            boxed = re.search(r"</think> \\boxed\{(\d)\}" + re.escape(END) + "$", text)
            correct = boxed is not None and int(boxed[1]) == answer(problem)
            outcomes.append(
                Outcome(
                    problem=problem,
                    num_tokens=len(tokens),
                    correct=correct,
                    truncated=not text.endswith(END),
                )
            )
    return outcomes


@torch.inference_mode()
def forced_accuracy(
    model: PreTrainedModel,
    tokenizer: Qwen2Tokenizer,
    problems: Sequence[Problem],
    traces: Sequence[str],
) -> float:
    """Accuracy when a trace is given up to its digits and the model fills in the likeliest ones.

    A digit after `=` or `{` is the model's to choose; it then continues from its own choice.
    """
    num_correct = 0
    digits = torch.tensor(tokenizer.convert_tokens_to_ids([str(digit) for digit in range(10)]))
    for group in by_level(problems):
        chosen = [traces[problems.index(problem)] for problem in group]
        texts = [prompt_text(p) + trace for p, trace in zip(group, chosen, strict=True)]
        tokens = tokenizer(texts, return_tensors="pt")["input_ids"]
        openers = tokenizer.convert_tokens_to_ids(["=", r" \boxed{"])
        for position in torch.isin(tokens[0], torch.tensor(openers)).nonzero()[:, 0].tolist():
            logits = model(tokens[:, : position + 1], logits_to_keep=1).logits[:, -1]
            tokens[:, position + 1] = digits[logits[:, digits].argmax(-1)]
        results = tokenizer.convert_ids_to_tokens(tokens[:, -2].tolist())
        num_correct += sum(
            result == str(answer(problem)) for result, problem in zip(results, group, strict=True)
        )
    return num_correct / len(problems)


def mean(numbers: Iterable[float]) -> float:
    """The arithmetic mean, rounded as it is stored."""
    return round(statistics.fmean(numbers), 4)


def measure(folder: str, num_problems: int) -> dict[str, float]:
    """All acceptance measurements of one checkpoint on its held-out problems."""
    torch.manual_seed(SEED)
    started = time.monotonic()
    name, limit = folder.removesuffix(TIED), VARIANTS[folder].max_response_tokens
    model = AutoModelForCausalLM.from_pretrained(LAB / folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(LAB / folder)
    problems = read_problems(name, num_problems)
    sampled = [
        outcome
        for _ in range(SAMPLES_PER_PROBLEM)
        for outcome in sample_outcomes(model, tokenizer, problems, limit, greedy=False)
    ]
    greedy = sample_outcomes(model, tokenizer, problems, limit, greedy=True)
    measured = sampling_measurements(sampled) | {
        "accuracy_greedy": mean(outcome.correct for outcome in greedy),
        "response_tokens_greedy": mean(outcome.num_tokens for outcome in greedy),
    }
    measured |= reasoning_measurements(model, tokenizer, problems)
    measured["max_response_tokens"] = limit
    measured["parameters"] = model.num_parameters()
    measured["seconds"] = round(time.monotonic() - started, 1)
    return measured


def sampling_measurements(sampled: Sequence[Outcome]) -> dict[str, float]:
    """Accuracy, lengths, their tail, and what a constant cap costs, of samples at temperature 1."""
    lengths = [outcome.num_tokens for outcome in sampled]
    minimal = [minimal_num_tokens(outcome.problem) for outcome in sampled]
    cap = statistics.fmean(lengths) / 2
    plain = [
        o.correct for o, shortest in zip(sampled, minimal, strict=True) if o.num_tokens == shortest
    ]
    return {
        "samples": len(sampled),
        "accuracy": mean(outcome.correct for outcome in sampled),
        "response_tokens": mean(lengths),
        "minimal_tokens": mean(minimal),
        "redundancy": round(statistics.fmean(lengths) / statistics.fmean(minimal), 4),
        "minimal_ratio": round(max(minimal) / min(minimal), 4),
        "median_tokens": statistics.median(lengths),
        "tail_share": mean(length > 3 * statistics.median(lengths) for length in lengths),
        "longest_tokens": max(lengths),
        "truncated_share": mean(outcome.truncated for outcome in sampled),
        "half_mean_cap": round(cap, 1),
        "half_mean_cap_accuracy": mean(o.correct and o.num_tokens <= cap for o in sampled),
        "minimal_share": round(len(plain) / len(sampled), 4),
        "minimal_accuracy": mean(plain),
    }


def reasoning_measurements(
    model: PreTrainedModel, tokenizer: Qwen2Tokenizer, problems: Sequence[Problem]
) -> dict[str, float]:
    """What happens without reasoning, and when every second step is skipped."""
    unreasoned = [f"<think></think> \\boxed{{{answer(problem)}}}" for problem in problems]
    deep = [problem for problem in problems if problem.level > 1]
    full = [minimal_trace(problem) for problem in deep]
    skipping = [skipping_trace(problem) for problem in deep]
    return {
        "unreasoned_accuracy": round(forced_accuracy(model, tokenizer, problems, unreasoned), 4),
        "stepwise_accuracy": round(forced_accuracy(model, tokenizer, deep, full), 4),
        "skipping_accuracy": round(forced_accuracy(model, tokenizer, deep, skipping), 4),
    }


def complaints(measured: dict[str, float]) -> list[str]:
    """The acceptance conditions that a checkpoint misses."""
    cost_of_cap = measured["accuracy"] - measured["half_mean_cap_accuracy"]
    cost_of_skipping = measured["stepwise_accuracy"] - measured["skipping_accuracy"]
    conditions = {
        "minimal length varies at least 4x": measured["minimal_ratio"] >= 4,
        "a cap at half the mean costs at least 5 points": cost_of_cap >= 0.05,
        "answering without reasoning scores chance": measured["unreasoned_accuracy"] <= 0.15,
        "skipping steps costs at least 10 points": cost_of_skipping >= 0.10,
        "20 % of samples are over 3x the median": measured["tail_share"] >= 0.20,
        "accuracy is within 0.8-0.95": 0.8 <= measured["accuracy"] <= 0.95,
        "redundancy is at least 3": measured["redundancy"] >= 3,
        "under 1 % of samples are cut off": measured["truncated_share"] < 0.01,
    }
    return [condition for condition, holds in conditions.items() if not holds]


def check(folders: Sequence[str], num_problems: int) -> None:
    """Prints the table; a complete measurement is stored in lab.json."""
    measurements = {folder: measure(folder, num_problems) for folder in folders}
    print(" " * 24 + "".join(f"{folder:>12}" for folder in folders))
    for key in measurements[folders[0]]:
        print(f"{key:24}" + "".join(f"{m[key]:>12}" for m in measurements.values()))
    for folder, measured in measurements.items():
        print(f"{folder}: {'; '.join(complaints(measured)) or 'accepted'}")
    if num_problems == NUM_HELD_OUT:
        store(measurements)


def store(measurements: dict[str, dict[str, float]]) -> None:
    """Updates lab.json; measurements of other checkpoints stay as they are."""
    path = LAB / "lab.json"
    known = json.loads(path.read_text())["variants"] if path.exists() else {}
    known |= measurements
    variants = {folder: known[folder] for folder in VARIANTS if folder in known}
    lab = {"lab_version": LAB_VERSION, "seed": SEED, "variants": variants, "files": hashes()}
    path.write_text(json.dumps(lab, indent=2) + "\n")


def hashes() -> dict[str, str]:
    """SHA-256 of every file of the lab but lab.json itself."""
    files = sorted(path for path in LAB.rglob("*") if path.is_file() and path.name != "lab.json")
    return {
        path.relative_to(LAB).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def main() -> None:
    """Parses the command line and does what it asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", action="store_true", help="write the problem files")
    parser.add_argument("--variant", choices=["short", "long"], help="the lab to train or check")
    parser.add_argument("--tied", action="store_true", help="tie input and output embeddings")
    parser.add_argument("--check", action="store_true", help="measure instead of training")
    parser.add_argument("--num-problems", type=int, default=NUM_HELD_OUT, help="for --check")
    arguments = parser.parse_args()
    folder = f"{arguments.variant}{TIED if arguments.tied else ''}"
    if arguments.problems:
        write_problems()
    elif arguments.check:
        check([folder] if arguments.variant else list(VARIANTS), arguments.num_problems)
    elif arguments.variant:
        train(folder)
    else:
        parser.error("give --problems, --variant or --check")


if __name__ == "__main__":
    main()

"""Pairs in the lab's own words: a minimal trace over one that says every value twice."""

import random
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from data.arithmetic import (
    Problem,
    distinct_problems,
    minimal_trace,
    question,
    response,
    restatement,
    step,
    values,
)
from data.types import Completion, Finish, Prompt, Span, Verdict
from rl.evaluate.evaluation import Judged
from rl.offline.pair_files import write_pairs
from rl.offline.pairs import Pair

LAB = Path(__file__).resolve().parents[3] / "data" / "lab"
END = "<|end|>"


def write_lab_pairs(path: Path, count: int) -> Path:
    """`count` pairs of the short lab, with the tokens of its tokenizer, in the file `path`."""
    tokenizer = AutoTokenizer.from_pretrained(LAB / "short")
    problems = distinct_problems(random.Random(0), [2, 3], count, held_out=False)
    pairs = [_pair(tokenizer, problem) for problem in problems]
    write_pairs(path, pairs, lambda prompt: str(tokenizer.decode(prompt.token_ids.tolist())))
    return path


def repeating_trace(problem: Problem) -> str:
    """Every step once, and after each its value again."""
    pairs = list(zip(problem.operations, values(problem), strict=True))
    return response("".join(step(*p) + restatement(*p) for p in pairs), pairs[-1][1])


def _pair(tokenizer: Any, problem: Problem) -> Pair:
    messages = ({"role": "user", "content": question(problem)},)
    ids = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, return_dict=False
    )
    prompt = Prompt(id=question(problem), messages=messages, token_ids=ids, answer="?")
    chosen, rejected = (
        _judged(tokenizer, prompt, text)
        for text in (minimal_trace(problem), repeating_trace(problem))
    )
    return Pair(chosen=chosen, rejected=rejected, level="length")


def _judged(tokenizer: Any, prompt: Prompt, text: str) -> Judged:
    ids = tokenizer(text + END)["input_ids"]
    completion = Completion(
        id=text,
        text=text,
        token_ids=np.array(ids, np.int32),
        logprobs=np.zeros(len(ids)),
        limit=512,
        finish=Finish.STOP,
        spans=(Span(start=0, stop=len(ids), weight_version=0),),
    )
    return Judged(prompt=prompt, completion=completion, verdict=Verdict(correct=True))

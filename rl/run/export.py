"""An exported model beside its weights: the card that says what was measured, and a check.

The learner writes weights, configs and tokenizer; whatever reads Hugging Face folders loads them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIGURES = {
    "accuracy": ("accuracy, sampled", ".3f"),
    "response_tokens": ("response tokens, sampled", ".1f"),
    "accuracy_greedy": ("accuracy, greedy", ".3f"),
    "response_tokens_greedy": ("response tokens, greedy", ".1f"),
}


def write_model_card(folder: Path, base_model: str, summary: Mapping[str, Any]) -> None:
    """Writes README.md: the figures of `summary.json`, before and after, and how they came about.

    `base_model` is `model.path` of the recipe; a Hub name is linked, a local path only named.
    """
    on_hub = base_model.count("/") == 1 and not Path(base_model).exists()
    name = base_model if on_hub else Path(base_model).name
    head = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    head += [f"base_model: {base_model}"] if on_hub else []
    head += ["tags: [laconic, reinforcement-learning, efficient-reasoning]", "---"]
    version = f", commit {summary['commit']}" if summary["commit"] else ""
    body = [
        f"# {name}, trained to reason in fewer tokens",
        "",
        f"Recipe `{summary['recipe']}`, seed {summary['seed']}, {summary['steps']} steps, sampled "
        f"with {summary['engine']}{version}.",
        "",
        *_table(summary),
    ]
    (folder / "README.md").write_text("\n".join(head + body) + "\n")


def check_export(folder: Path) -> int:
    """Loads the folder with plain transformers; returns the number of its parameters.

    Raises ValueError when weights are missing, left over, of another shape or not finite, or when
    the tokenizer has no chat template.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, found = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    problems = [
        f"{kind.replace('_', ' ')}: {sorted(map(str, found[kind]))[:5]}"
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if found[kind]
    ]
    problems += [
        f"{name} is not finite"
        for name, weight in model.named_parameters()
        if not torch.isfinite(weight).all()
    ]
    if AutoTokenizer.from_pretrained(folder).chat_template is None:
        problems.append("the tokenizer has no chat template")
    if problems:
        raise ValueError(f"the export in {folder} is broken: {'; '.join(problems)}")
    return int(model.num_parameters())


def _table(summary: Mapping[str, Any]) -> list[str]:
    """Markdown rows of the figures that were measured both before and after."""
    base, final = summary["base"] or {}, summary["final"] or {}
    rows = [
        f"| {label} | {base[key]:{spec}} | {final[key]:{spec}} |"
        for key, (label, spec) in FIGURES.items()
        if base.get(key) is not None and final.get(key) is not None
    ]
    if not rows:
        return ["It was not evaluated on held-out problems."]
    return ["| held-out problems | before | after |", "|---|---|---|", *rows]

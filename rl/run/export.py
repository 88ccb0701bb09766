"""A check of an exported model: whatever reads Hugging Face folders must load it.

The learner writes weights, configs and tokenizer; `rl.run.card` the card beside them.
"""

from pathlib import Path


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

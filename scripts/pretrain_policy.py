"""Make the policy that ships with rrtf-trl: a tokenizer and a Llama of 0.9 million parameters.

It is trained from nothing on answers to the exercises of :mod:`rrtf_trl.problems.exercises`, right and
wrong ones mixed, and so writes fluent Python that is right about as often as not: a start from which a
run of rrtf-trl shows a gain within minutes on a laptop. The defaults are how the shipped policy was made::

    python scripts/pretrain_policy.py

It needs about ten minutes on two CPU cores, and replaces src/rrtf_trl/assets/policy.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import time
from pathlib import Path

import torch
from policy_figures import measure, model_card
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from rrtf_trl.problems.exercises import documents

ASSETS = Path(__file__).resolve().parents[1] / "src" / "rrtf_trl" / "assets"
END = "<|end|>"
PAD = "<|pad|>"
PAD_ID, END_ID = 0, 1
POSITIONS = 512

Document = tuple[list[int], int]
"""Token ids, and how many of them are the prompt's."""


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ASSETS / "policy", help="folder to write (replaced)")
    parser.add_argument("--documents", type=int, default=50_000, help="seen once each")
    parser.add_argument("--levels", type=int, nargs="+", default=[1], help="of the exercises: some of 1, 2, 3")
    parser.add_argument("--vocabulary", type=int, default=640, help="size, with the two special tokens")
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--prompt-weight", type=float, default=0.1, help="of a prompt's token against an answer's")
    parser.add_argument("--heads", type=int, default=4, help="attention heads")
    parser.add_argument("--problems", type=int, default=200, help="held-out problems for the figures, a level")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def train_tokenizer(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer: any text round-trips, and nothing is added to it.

    A newline is always a token of its own, and blanks after it another. The end of a prompt and the
    beginning of its answer therefore give the same tokens together as apart.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("\n"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=POSITIONS,
    )


def new_model(arguments: argparse.Namespace) -> LlamaForCausalLM:
    """Return an untrained Llama of the size asked for."""
    special = {"bos_token_id": None, "eos_token_id": END_ID, "pad_token_id": PAD_ID}
    config = LlamaConfig(
        vocab_size=arguments.vocabulary,
        hidden_size=arguments.hidden_size,
        intermediate_size=3 * arguments.hidden_size,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.heads,
        num_key_value_heads=arguments.heads,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        **special,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(**special)
    return model


def encode(pairs: list[tuple[str, str]], tokenizer: PreTrainedTokenizerBase) -> list[Document]:
    """Tokenize documents: the prompt, the answer, and the end token."""
    prompts = tokenizer([prompt for prompt, _ in pairs])["input_ids"]
    answers = tokenizer([answer + END for _, answer in pairs])["input_ids"]
    return [(prompt + answer, len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]


def batches(encoded: list[Document], size: int, rng: random.Random) -> list[list[Document]]:
    """Return shuffled batches whose documents are about equally long, so that little is padding."""
    order = list(encoded)
    rng.shuffle(order)
    pool = 50 * size
    grouped: list[list[Document]] = []
    for start in range(0, len(order), pool):
        alike = sorted(order[start : start + pool], key=lambda document: len(document[0]))
        grouped += [alike[first : first + size] for first in range(0, len(alike), size)]
    rng.shuffle(grouped)
    return grouped


def tensors(batch: list[Document], prompt_weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids, padded on the right, and a weight a token: 0 for padding, 1 for the answer."""
    longest = max(len(ids) for ids, _ in batch)
    tokens = torch.full((len(batch), longest), PAD_ID)
    weights = torch.zeros(len(batch), longest)
    for row, (ids, prompt) in enumerate(batch):
        tokens[row, : len(ids)] = torch.tensor(ids)
        weights[row, :prompt] = prompt_weight
        weights[row, prompt : len(ids)] = 1.0
    return tokens, weights


def train(model: LlamaForCausalLM, grouped: list[list[Document]], arguments: argparse.Namespace) -> None:
    """Train for one epoch with AdamW; the learning rate rises over 100 steps and falls on a cosine."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=min(100, len(grouped) // 2))
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(grouped))
    schedule = torch.optim.lr_scheduler.ChainedScheduler([warm_up, decay])
    model.train()
    average = 0.0
    bar = tqdm(grouped, desc="pre-training", unit="batch")
    for step, batch in enumerate(bar):
        tokens, weights = (tensor.to(model.device) for tensor in tensors(batch, arguments.prompt_weight))
        # Padding is on the right and attention is causal, so no mask is needed.
        logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        kept = weights[:, 1:].flatten()
        loss = (losses * kept).sum() / kept.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        average = loss.item() if step == 0 else 0.98 * average + 0.02 * loss.item()
        bar.set_postfix(loss=f"{average:.3f}", refresh=False)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, card: str, output: Path) -> None:
    """Write the policy in bfloat16 beside ``output`` and put it there in one step."""
    fresh = output.with_name(output.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    model.bfloat16().save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    described = json.loads((fresh / "tokenizer_config.json").read_text())
    described["tokenizer_class"] = "PreTrainedTokenizerFast"  # the name that transformers 4 knows, too
    (fresh / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n")
    (fresh / "README.md").write_text(card)
    for file in fresh.iterdir():
        file.chmod(0o644)  # the weights are written for their owner only
    old = output.with_name(output.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        os.rename(output, old)
    os.rename(fresh, output)
    shutil.rmtree(old, ignore_errors=True)


def command(arguments: argparse.Namespace) -> str:
    """Return the command that makes this policy again; where it was written does not matter."""
    defaults = vars(argument_parser().parse_args([]))
    changed = {name: value for name, value in vars(arguments).items() if value != defaults[name] and name != "output"}
    said = {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in changed.items()}
    options = [f"--{name.replace('_', '-')} {value}" for name, value in said.items()]
    return " ".join(["python scripts/pretrain_policy.py", *options])


def main() -> None:
    """Train, measure on held-out problems, and save."""
    arguments = argument_parser().parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    started = time.monotonic()

    pairs = list(documents(arguments.documents, arguments.seed, arguments.levels))
    tokenizer = train_tokenizer([prompt + answer for prompt, answer in pairs[:20_000]], arguments.vocabulary)
    encoded = encode(pairs, tokenizer)
    lengths = [len(ids) for ids, _ in encoded]
    model = new_model(arguments).to(arguments.device)
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{size:,} parameters; {sum(lengths):,} tokens, {sum(lengths) / len(lengths):.0f} a document, "
          f"the longest {max(lengths)}")  # fmt: skip

    train(model, batches(encoded, arguments.batch_size, random.Random(arguments.seed)), arguments)
    seconds = time.monotonic() - started

    # The figures are those of what is shipped: weights rounded to bfloat16, computed in float32.
    model.bfloat16().float()
    figures = measure(model, tokenizer, arguments.problems, arguments.seed, arguments.levels)
    for name, value in figures.items():
        print(f"{name:>40}  {value:.3f}")
    card = model_card(command(arguments), size, sum(lengths), seconds, figures)
    save(model, tokenizer, card, arguments.output)
    print(f"saved in {arguments.output}")


if __name__ == "__main__":
    main()

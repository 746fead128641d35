"""The options of :class:`~rrtf_trl.training.trainer.RRTFTrainer`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

from .dpo_options import DPOOptions, option, resolve_loss_type
from .losses import check_loss_kwargs

_CHOICES = {
    "pairs": ("all", "best_vs_rest", "teacher_student"),
    "pair_reduction": ("mean", "sum"),
    "sft_reduction": ("mean", "sum"),
    "sft_responses": ("best", "all"),
    "share_prefix": ("auto", "true", "false"),
    "truncation_mode": ("drop", "keep_start", "keep_end"),
    "reasoning": ("keep", "drop", "mask"),
}


@dataclass
class RRTFConfig(DPOOptions):
    r"""Configuration class for the [`RRTFTrainer`].

    Only the options particular to ranking are listed here; all others are those of
    [`~transformers.TrainingArguments`] with the defaults of all TRL trainers. The remaining options of TRL's
    `DPOConfig` are accepted without effect, see [`~rrtf_trl.training.dpo_options.DPOOptions`].

    Parameters:
        > Parameters that control the model

        model_init_kwargs (`dict[str, Any]`, *optional*):
            Keyword arguments for `from_pretrained`, used when `model` is a path or hub id. Without `dtype`, all
            weights are trained in float32 and saved in the checkpoint's own precision; a bfloat16 base under an
            adapter stays bfloat16.
        trust_remote_code (`bool`, *optional*, defaults to `False`):
            Whether to run model and tokenizer code of a checkpoint.
        chat_template_path (`str`, *optional*):
            A chat template for the model, as in `SFTConfig`: a Jinja file that ends in `.jinja` or `.j2`, or the
            tokenizer, by its path or hub id, whose template, end-of-sequence token and missing tokens are taken over.
            It is saved with the policy.
        chat_template_kwargs (`dict[str, Any]`, *optional*):
            Variables of the chat template, such as `{"enable_thinking": False}`, for all rows; a row's own column of
            this name comes before them. Sample with the same.
        reasoning (`str`, *optional*, defaults to `"keep"`):
            What becomes of the thoughts of a reasoning model's responses (`<think>` ... `</think>` and similar):
            `"keep"` trains on them as on the rest, `"mask"` reads them but scores only the answer after them, `"drop"`
            removes them, which where the chat template opens the thoughts leaves empty ones.
        router_aux_loss_coef (`float`, *optional*):
            Weight of the load-balancing loss of a mixture of experts. `None` means that of the model's configuration,
            `0.0` disables it.
        cast_lm_head_to_fp32 (`bool`, *optional*, defaults to `False`):
            Whether to hold the LM head in float32 and to compute logits so, also under `bf16`, as in `GRPOConfig`.
        disable_dropout (`bool`, *optional*, defaults to `True`):
            Whether to disable dropout, so that the log-probabilities compared are those of the policy. An adapter's,
            such as `lora_dropout`, is disabled too, with a warning; `False` keeps it.

        > Parameters that control the data

        dataset_num_proc (`int`, *optional*):
            Processes that tokenize the data set.
        max_length (`int`, *optional*, defaults to `1024`):
            The longest sequence of prompt and response, in tokens. `None` means no limit.
        truncation_mode (`str`, *optional*, defaults to `"drop"`):
            How a longer sequence is handled. `"drop"` leaves the response out: cut off, it would be trained on as if
            it were complete. `"keep_start"`, the only mode of TRL's trainers, cuts the end of the response, and with
            it the end-of-sequence token. `"keep_end"` cuts the start of the prompt, for all responses of the row
            alike, and the start of a response only where that is not enough. A row with fewer than two responses
            left, or with `rank_weight=0` none, is dropped; all of this is counted and logged. Rows with images are
            truncated as their batches are made: such a row is kept, and adds nothing to the loss.
        max_responses (`int`, *optional*):
            The most responses of a row. Of a longer one the best, the worst and evenly spaced ones between are kept;
            with `rank_weight=0`, of those that are imitated.
        pad_to_multiple_of (`int` or `str`, *optional*, defaults to `"auto"`):
            Pad sequences to a multiple of this. `"auto"` pads to a multiple of 128 on AWS Neuron and nowhere else.
            No effect where prompts are shared, as nothing is padded then.
        eos_token (`str`, *optional*):
            The token that ends a response of plain text, as in `SFTConfig`; by default the tokenizer's. It is saved
            with the policy, and its generation ends there too. Chat messages end as the chat template ends a turn.
        pad_token (`str`, *optional*):
            The padding token; by default the tokenizer's, or else its end-of-sequence token.

        > Parameters that control the training

        loss_type (`str`, *optional*, defaults to `"rrtf"`):
            `"rrtf"` weights a pair by its difference in scores, `"rrhf"` by 1; `"list_mle"`, `"lipo"`, `"dpo_pl"`,
            `"simpo"`, `"asymre"`, `"topr"`, `"nft"`, `"real"` and `"tree_credit"` are those of docs/papers.md; or the
            name of a plugin's loss, see [`~rrtf_trl.plugins.hookspecs.rrtf_losses`]. `"sigmoid"`, DPO's default,
            becomes `"rrtf"` with a warning; the other losses of DPO are refused.
        loss_kwargs (`dict[str, Any]`, *optional*):
            The options of the loss itself, such as `{"beta": 0.1}` for `"dpo_pl"`.
        rank_weight (`float`, *optional*, defaults to `0.3`):
            Weight of the ranking term: 1 in the paper; 0.3 did better in docs/study.md. With `0`, the model is
            run on the imitated responses only, except for rows with images, and one that fits is enough.
        sft_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the imitation term, 1 in the paper too.
        sft_reduction (`str`, *optional*, defaults to `"mean"`):
            `"sum"` over the tokens of the imitated response, as in the paper, or their `"mean"`, on the scale of the
            length-normalised log-probabilities that the ranking term compares.
        sft_responses (`str`, *optional*, defaults to `"best"`):
            Which responses of a row are imitated: the `"best"`, as in the paper, or `"all"` with a score of at
            least `sft_min_score`, which is required then; the term is the mean over them.
        sft_min_score (`float`, *optional*):
            Imitate only responses with at least this score. `None` means the data set's `passing_score`, which
            `rrtf_trl.rank` writes; without that column it is unknown which score passes, and the best response is
            always imitated, as in the paper, even where every response failed. `-inf` does so with the column too.
        pairs (`str`, *optional*, defaults to `"all"`):
            Which pairs are ranked: `"all"` with different scores, `"best_vs_rest"`, or `"teacher_student"` as in
            the paper, which needs a `sources` column.
        rank_min_score (`float`, *optional*):
            Rank only pairs whose better response has at least this score. `None` means the data set's
            `passing_score`; without that column all pairs are ranked, as in the paper, which also makes a failed
            response likelier than one that failed worse. Rows that add nothing to the loss, because no response has
            this score or `sft_min_score`, are dropped, which is counted and logged; rows with images are kept. `-inf`
            always ranks all.
        pair_reduction (`str`, *optional*, defaults to `"mean"`):
            `"sum"` over the pairs of a row, as in the paper, or their `"mean"`, so that the weight of a row does
            not grow with the square of its number of responses.
        score_weighting (`bool`, *optional*, defaults to `True`):
            Whether a pair is weighted by its difference in scores. `loss_type="rrhf"` never is.
        length_normalization (`bool`, *optional*, defaults to `True`):
            Whether responses are compared by their mean token log-probability instead of the sum.
        share_prefix (`str` or `bool`, *optional*, defaults to `"auto"`):
            Whether to compute once what responses have in common, their prompt and beginnings, in batches without
            padding, instead of once for each. `"auto"` does so where the results are the same, and otherwise logs why
            not; `"true"` raises where they would differ; `"false"` never does. Only the load-balancing loss of a
            mixture of experts differs: it is over the computed tokens, among which a shared one counts once.
        max_tokens_per_forward (`int`, *optional*):
            Compute a batch in forwards of at most so many tokens, padding included, instead of in one: memory then
            depends on this and not on `per_device_train_batch_size` or the number of responses. Loss and gradients
            are the same, but for the load-balancing loss of a mixture of experts, which is over the tokens of a
            forward. A row that is larger alone is computed in parts, twice (GradCache, arXiv 2101.06983), which costs
            a third more time; one sequence is the least. Not for rows with images, nor with `compute_metrics`.
        activation_offloading (`bool`, *optional*, defaults to `False`):
            Whether to keep activations in CPU memory between forward and backward.

        > Parameters that control the logging

        log_completions (`bool`, *optional*, defaults to `False`):
            Whether to show with each log how likely the policy finds the best and the worst response of the first
            rows: printed, in `completions/` of the output folder, and in wandb and trackio. Not for rows with images.
        num_completions_to_print (`int`, *optional*, defaults to `8`):
            How many these are, two of each row.
    """

    _VALID_DICT_FIELDS: ClassVar[list[str]] = [
        *DPOOptions._VALID_DICT_FIELDS,
        "model_init_kwargs",
        "chat_template_kwargs",
        "loss_kwargs",
    ]

    learning_rate: float = option(1e-6, "The initial learning rate for AdamW.")

    model_init_kwargs: dict[str, Any] | str | None = option(  # noqa: RUF009
        None, "Keyword arguments for `from_pretrained`, used when the model is a path or hub id."
    )
    trust_remote_code: bool = option(False, "Whether to run model and tokenizer code of a checkpoint.")
    chat_template_path: str | None = option(
        None, "A Jinja file, or a tokenizer whose chat template and end-of-sequence token are taken over."
    )
    chat_template_kwargs: dict[str, Any] | str | None = option(  # noqa: RUF009
        None, "Variables of the chat template, such as `enable_thinking`."
    )
    reasoning: str = option(
        "keep", "The thoughts in a response: keep, drop, or mask them.", choices=_CHOICES["reasoning"]
    )
    router_aux_loss_coef: float | None = option(None, "Weight of the load-balancing loss of a mixture of experts.")
    cast_lm_head_to_fp32: bool = option(False, "Whether to compute the LM head in float32.")
    disable_dropout: bool = option(True, "Whether to disable dropout, that of an adapter too.")

    dataset_num_proc: int | None = option(None, "Processes that tokenize the data set.")
    max_length: int | None = option(
        1024, "The longest sequence of prompt and response, in tokens; see `truncation_mode`."
    )
    truncation_mode: str = option(
        "drop",
        "How a response longer than `max_length` is handled: left out, or cut.",
        choices=_CHOICES["truncation_mode"],
    )
    max_responses: int | None = option(None, "The most responses of a row.")
    pad_to_multiple_of: int | str | None = option(
        "auto", "Pad sequences to a multiple of this; `auto`: of 128 on AWS Neuron only."
    )
    eos_token: str | None = option(None, "The token that ends a response of plain text.")
    pad_token: str | None = option(None, "The padding token.")

    loss_type: str = option("rrtf", "The loss: `rrtf`, another one of docs/papers.md, or a registered one.")
    loss_kwargs: dict[str, Any] | str | None = option(  # noqa: RUF009
        None, "The options of the loss itself, such as `beta`."
    )
    rank_weight: float = option(0.3, "Weight of the ranking term.")
    sft_weight: float = option(1.0, "Weight of the imitation term.")
    sft_reduction: str = option("mean", "`sum` or `mean` over the imitated tokens.", choices=_CHOICES["sft_reduction"])
    sft_responses: str = option(
        "best",
        "Imitate the `best` response of a row, or `all` of at least `sft_min_score`.",
        choices=_CHOICES["sft_responses"],
    )
    sft_min_score: float | None = option(None, "Imitate only responses with at least this score.")
    pairs: str = option("all", "Which pairs are ranked.", choices=_CHOICES["pairs"])
    rank_min_score: float | None = option(None, "Rank only pairs whose better response has at least this score.")
    pair_reduction: str = option("mean", "`sum` or `mean` over a row's pairs.", choices=_CHOICES["pair_reduction"])
    score_weighting: bool = option(True, "Whether a pair is weighted by its difference in scores.")
    length_normalization: bool = option(True, "Whether responses are compared by their mean token log-probability.")
    share_prefix: str = option(
        "auto", "Whether to compute once what responses have in common.", choices=_CHOICES["share_prefix"]
    )
    max_tokens_per_forward: int | None = option(None, "Compute a batch in forwards of at most so many tokens.")
    activation_offloading: bool = option(
        False, "Whether to keep activations in CPU memory between forward and backward."
    )

    log_completions: bool = option(
        False, "Whether to show with each log how likely the best and worst responses of the first rows are."
    )
    num_completions_to_print: int = option(8, "How many completions `log_completions` shows, two of each row.")

    def __post_init__(self) -> None:
        self.share_prefix = str(self.share_prefix).lower()  # a boolean in YAML and Python
        self.loss_type = resolve_loss_type(self.loss_type)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"`{name}` must be one of {', '.join(choices)}, got {getattr(self, name)!r}.")
        for name in ("rank_weight", "sft_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must not be negative, got {getattr(self, name)}.")
        if self.rank_weight == 0 and self.sft_weight == 0:
            raise ValueError("`rank_weight` and `sft_weight` are both 0: there is nothing to train on.")
        if self.sft_responses == "all" and self.sft_min_score is None and self.sft_weight > 0:
            raise ValueError(
                '`sft_responses="all"` imitates every response of at least `sft_min_score`: set that, for instance to '
                "the score of those that pass all tests."
            )
        if self.truncation_mode == "keep_end":
            warnings.warn(
                '`truncation_mode="keep_end"` is deprecated: TRL drops it in 2.0, and so will RRTFTrainer. Use "drop" '
                'or "keep_start".',
                FutureWarning,
                stacklevel=3,
            )
        if self.truncation_mode == "keep_end" and self.reasoning == "mask":
            raise ValueError('`truncation_mode="keep_end"` would cut thoughts: `reasoning="mask"` needs another one.')
        if self.max_responses is not None and self.max_responses < 2:
            raise ValueError(f"`max_responses` must be at least 2, got {self.max_responses}: ranking needs a pair.")
        if self.max_tokens_per_forward is not None and self.max_tokens_per_forward < 1:
            raise ValueError(f"`max_tokens_per_forward` must be at least 1, got {self.max_tokens_per_forward}.")
        if self.num_completions_to_print < 2:
            raise ValueError(
                f"`num_completions_to_print` must be at least 2, got {self.num_completions_to_print}: two of each row."
            )
        super().__post_init__()
        if not isinstance(self.loss_kwargs, dict | None):
            raise ValueError(f'`loss_kwargs` must be a dict, as JSON {{"beta": 0.1}}, got {self.loss_kwargs!r}.')
        check_loss_kwargs(self.loss_type, self.loss_kwargs or {})
        if self.pad_to_multiple_of == "auto":
            self.pad_to_multiple_of = 128 if self.device.type == "neuron" else None
        elif isinstance(self.pad_to_multiple_of, str):  # from the command line
            is_none = self.pad_to_multiple_of.lower() in ("none", "null")
            self.pad_to_multiple_of = None if is_none else int(self.pad_to_multiple_of)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the hub's token out of `training_args.bin`, which is part of checkpoints and is pushed to the hub."""
        return {**self.__dict__, "hub_token": None}

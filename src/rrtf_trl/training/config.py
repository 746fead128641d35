"""The options of :class:`~rrtf_trl.training.trainer.RRTFTrainer`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .dpo_options import DPOOptions, resolve_loss_type

_CHOICES = {
    "pairs": ("all", "best_vs_rest", "teacher_student"),
    "pair_reduction": ("mean", "sum"),
    "sft_reduction": ("mean", "sum"),
    "sft_responses": ("best", "all"),
    "share_prefix": ("auto", "true", "false"),
    "truncation_mode": ("drop", "keep_start", "keep_end"),
}


@dataclass
class RRTFConfig(DPOOptions):
    r"""Configuration class for the [`RRTFTrainer`].

    Only what is particular to ranking is listed here; everything else is
    [`~transformers.TrainingArguments`] with the defaults that all TRL trainers share. What else TRL's `DPOConfig`
    takes is accepted without effect, see [`~rrtf_trl.training.dpo_options.DPOOptions`].

    Parameters:
        > Parameters that control the model

        model_init_kwargs (`dict[str, Any]`, *optional*):
            Keyword arguments for `from_pretrained`, used when `model` is given as a path or hub id.
        trust_remote_code (`bool`, *optional*, defaults to `False`):
            Whether to run model and tokenizer code that a checkpoint brings along.
        router_aux_loss_coef (`float`, *optional*):
            Weight of the load-balancing loss of a mixture of experts. `None` takes that of the model's configuration,
            `0.0` switches it off.
        disable_dropout (`bool`, *optional*, defaults to `True`):
            Whether to switch dropout off, so that the log-probabilities compared are those of the policy.

        > Parameters that control the data

        dataset_num_proc (`int`, *optional*):
            Processes that tokenize the data set.
        max_length (`int`, *optional*, defaults to `1024`):
            Longest sequence of prompt and response, in tokens. `None` means no limit.
        truncation_mode (`str`, *optional*, defaults to `"drop"`):
            What becomes of a longer one. `"drop"` leaves the response out: cut off, it would be trained on as if it
            were a good answer. `"keep_start"`, the only way of TRL's trainers, cuts the end of the response, and with
            it the end-of-sequence token. `"keep_end"` cuts the start of the prompt, for all responses of the row
            alike, and the start of a response only where that is not enough. A row with fewer than two responses
            left is dropped, and all this is counted and reported. Rows with images are fitted as their batches are
            made: a row with fewer than two responses left stays, and adds nothing to the loss.
        max_responses (`int`, *optional*):
            Most responses of one row. Of a longer row the best, the worst and evenly spaced ones between are kept.
        pad_to_multiple_of (`int` or `str`, *optional*, defaults to `"auto"`):
            Pad sequences to a multiple of this. `"auto"` pads to a multiple of 128 on AWS Neuron and nowhere else.
            Without effect where prompts are shared: nothing is padded then.
        pad_token (`str`, *optional*):
            Token to pad with, by default the tokenizer's padding token, or else its end-of-sequence token.

        > Parameters that control the training

        loss_type (`str`, *optional*, defaults to `"rrtf"`):
            `"rrtf"` weighs a pair by its difference in scores, `"rrhf"` by 1; or the name of a plugin's loss, see
            [`~rrtf_trl.plugins.hookspecs.rrtf_losses`]. `"sigmoid"`, as DPO scripts say, is taken for `"rrtf"` with a
            warning; the other losses of DPO are refused.
        rank_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the ranking term, 1 in the paper; `rrtf run` has 0.3, see docs/study.md. With `0` only the
            responses that are imitated are read, but for rows with images.
        sft_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the imitation term, 1 in the paper too.
        sft_reduction (`str`, *optional*, defaults to `"mean"`):
            `"sum"` over the tokens of the imitated response, as the paper prints it, or their `"mean"`, on the scale
            of the length-normalised log-probabilities that the ranking term compares.
        sft_responses (`str`, *optional*, defaults to `"best"`):
            Which responses of a row are imitated: the `"best"`, as the paper does, or `"all"` whose scores are at
            least `sft_min_score`, which must be given then; the term is the mean over them.
        sft_min_score (`float`, *optional*):
            Imitate only responses whose score is at least this. `None` takes the data set's `passing_score`, which
            `rrtf_trl.rank` writes; scores of another origin say nothing of what passes, so without that column the
            best is imitated always, as the paper does, even where every response failed. `-inf` does so with it too.
        pairs (`str`, *optional*, defaults to `"all"`):
            Which pairs are ranked: `"all"` with different scores, `"best_vs_rest"`, or `"teacher_student"` as the
            paper prints it, which needs a `sources` column.
        rank_min_score (`float`, *optional*):
            Rank only pairs whose better response has at least this score. `None` takes the data set's
            `passing_score`; without that column it ranks all, as the paper does, and so also makes a response that
            failed likelier than one that failed worse. Rows that add nothing for want of a response of this score,
            and of `sft_min_score`, are not trained on, which is counted and reported; rows with images stay. `-inf`
            ranks all always.
        pair_reduction (`str`, *optional*, defaults to `"mean"`):
            `"sum"` over the pairs of a row, as the paper prints it, or their `"mean"`, so that the weight of a row
            does not grow with the square of its responses.
        score_weighting (`bool`, *optional*, defaults to `True`):
            Whether a pair is weighted by its difference in scores. `loss_type="rrhf"` never is.
        length_normalization (`bool`, *optional*, defaults to `True`):
            Whether responses are compared by their mean token log-probability rather than the sum.
        share_prefix (`str` or `bool`, *optional*, defaults to `"auto"`):
            Whether to compute a prompt once for all of its responses, in batches without padding, instead of once for
            each. `"auto"` does so where it gives the same numbers, and otherwise logs why not; `"true"` raises where
            it would not; `"false"` never does. One number is another: the load-balancing loss of a mixture of experts
            is over the tokens that are computed, among which a shared prompt counts once.
        activation_offloading (`bool`, *optional*, defaults to `False`):
            Whether to keep activations in CPU memory between forward and backward.
    """

    _VALID_DICT_FIELDS: ClassVar[list[str]] = [*DPOOptions._VALID_DICT_FIELDS, "model_init_kwargs"]

    learning_rate: float = field(default=1e-6, metadata={"help": "The initial learning rate for AdamW."})

    model_init_kwargs: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "Keyword arguments for `from_pretrained`, used when the model is given as a path or hub id."
        },
    )
    trust_remote_code: bool = field(
        default=False, metadata={"help": "Whether to run model and tokenizer code that a checkpoint brings along."}
    )
    router_aux_loss_coef: float | None = field(
        default=None, metadata={"help": "Weight of the load-balancing loss of a mixture of experts."}
    )
    disable_dropout: bool = field(default=True, metadata={"help": "Whether to switch dropout off."})

    dataset_num_proc: int | None = field(default=None, metadata={"help": "Processes that tokenize the data set."})
    max_length: int | None = field(
        default=1024,
        metadata={"help": "Longest sequence of prompt and response, in tokens; see `truncation_mode`."},
    )
    truncation_mode: str = field(
        default="drop",
        metadata={
            "help": "What becomes of a response longer than `max_length`: left out, or cut.",
            "choices": _CHOICES["truncation_mode"],
        },
    )
    max_responses: int | None = field(default=None, metadata={"help": "Most responses of one row."})
    pad_to_multiple_of: int | str | None = field(
        default="auto", metadata={"help": "Pad sequences to a multiple of this; `auto`: of 128 on AWS Neuron only."}
    )
    pad_token: str | None = field(default=None, metadata={"help": "Token to pad with."})

    loss_type: str = field(default="rrtf", metadata={"help": "`rrtf`, `rrhf`, or the name of a registered loss."})
    rank_weight: float = field(default=1.0, metadata={"help": "Weight of the ranking term."})
    sft_weight: float = field(default=1.0, metadata={"help": "Weight of the imitation term."})
    sft_reduction: str = field(
        default="mean",
        metadata={"help": "`sum` or `mean` over the imitated tokens.", "choices": _CHOICES["sft_reduction"]},
    )
    sft_responses: str = field(
        default="best",
        metadata={
            "help": "Imitate the `best` response of a row, or `all` of at least `sft_min_score`.",
            "choices": _CHOICES["sft_responses"],
        },
    )
    sft_min_score: float | None = field(
        default=None, metadata={"help": "Imitate only responses whose score is at least this."}
    )
    pairs: str = field(default="all", metadata={"help": "Which pairs are ranked.", "choices": _CHOICES["pairs"]})
    rank_min_score: float | None = field(
        default=None, metadata={"help": "Rank only pairs whose better response has at least this score."}
    )
    pair_reduction: str = field(
        default="mean", metadata={"help": "`sum` or `mean` over a row's pairs.", "choices": _CHOICES["pair_reduction"]}
    )
    score_weighting: bool = field(
        default=True, metadata={"help": "Whether a pair is weighted by its difference in scores."}
    )
    length_normalization: bool = field(
        default=True, metadata={"help": "Whether responses are compared by their mean token log-probability."}
    )
    share_prefix: str = field(
        default="auto",
        metadata={
            "help": "Whether to compute a prompt once for all of its responses.",
            "choices": _CHOICES["share_prefix"],
        },
    )
    activation_offloading: bool = field(
        default=False, metadata={"help": "Whether to keep activations in CPU memory between forward and backward."}
    )

    def __post_init__(self) -> None:
        self.share_prefix = str(self.share_prefix).lower()  # YAML and Python have booleans, command lines do not
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
        if self.max_responses is not None and self.max_responses < 2:
            raise ValueError(f"`max_responses` must be at least 2, got {self.max_responses}: ranking needs a pair.")
        super().__post_init__()
        if self.pad_to_multiple_of == "auto":
            self.pad_to_multiple_of = 128 if self.device.type == "neuron" else None
        elif isinstance(self.pad_to_multiple_of, str):  # from the command line
            none = self.pad_to_multiple_of.lower() in ("none", "null")
            self.pad_to_multiple_of = None if none else int(self.pad_to_multiple_of)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the hub's token out of `training_args.bin`, which goes into checkpoints and to the hub with them."""
        return {**self.__dict__, "hub_token": None}

"""RRTFTrainer: TRL's trainer base with the loss of RRTF."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import torch
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import (
    BitsAndBytesConfig,
    DataCollator,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    TrainerCallback,
    set_seed,
)
from transformers.trainer_utils import EvalLoopOutput, EvalPrediction, PredictionOutput
from trl.models import get_act_offloading_ctx_manager
from trl.trainer.base_trainer import _BaseTrainer
from trl.trainer.utils import get_config_model_id

from . import paper
from .completions import log_completions, shown_rows
from .config import RRTFConfig
from .data import TOKENIZED_COLUMNS, RankedCollator
from .datasets import prepared_rows
from .distributed import check_batches, is_sharded, keep_buffers, keep_float32_losses
from .dropout import disable_dropout
from .forwards import ForwardsCollator, batches_of, groups_of, in_forwards, join
from .groups import Groups
from .head import add_head
from .limits import check_padding, limits_of
from .loading import (
    add_adapter,
    keep_fused_head,
    load_policy,
    router_loss_weight,
    tokenizer_of,
)
from .losses import LossInputs, LossOutput, least_score, resolve_loss
from .metrics import Metrics
from .out_of_memory import naming_rows
from .packing import PackedCollator
from .precision import in_precision, write_precision
from .prepare import use_passing_score
from .reference import add_reference_logps
from .refused import check_options
from .scoring import ScoredResponses, loss_inputs, model_inputs, score_responses
from .shared_prefix import share_prefixes
from .steps import loss_of_part, missing_forwards, step_in_forwards
from .vision import VISION_COLUMNS, VisionCollator, has_images, number_rows, prepare_for_images

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

AnyDataset: TypeAlias = Dataset | IterableDataset


class RRTFTrainer(_BaseTrainer):
    """Aligns a code model with ranked responses: the RRTF method of PanGu-Coder2 (arXiv 2307.14936).

    The constructor is that of TRL's ``DPOTrainer``, argument for argument.

    Args:
        model: A path or hub id, a model, or a PEFT model. An adapter, loaded or by its path, is trained further.
        ref_model: Not used, as RRTF has no reference model; accepted so that DPO scripts run unchanged.
        args: Options; by default ``RRTFConfig`` with an output folder named after the model.
        data_collator: Builds a batch of tokenized rows; by default
            :class:`~rrtf_trl.training.packing.PackedCollator` where prompts are shared (see ``share_prefix``), else
            :class:`RankedCollator`, or :class:`~rrtf_trl.training.vision.VisionCollator` for rows with images. A
            ``PackedCollator`` passed here shares prompts as ``share_prefix="true"`` does.
        train_dataset: Rows of ``prompt``, ``responses``, ``scores`` and optionally ``sources``, or TRL's
            preference rows; plain text or chat messages; with ``image`` or ``images`` for a vision-language model.
        eval_dataset: The same, or a dict of such data sets.
        processing_class: The tokenizer, or the processor of a vision-language model; by default the model's own;
            for an adapter's path, the one saved with it.
        compute_metrics: As in DPOTrainer: called with the logits `[N, L, V]` of all responses, from a second forward
            pass, and their ``input_ids`` `[N, L]` as labels.
        callbacks: Callbacks to add.
        optimizers: An optimizer and a scheduler, or ``(None, None)`` for those of ``args``.
        quantization_config: bitsandbytes options, used when ``model`` is a path or hub id.
        peft_config: Adapter to train instead of the whole model.

    Raises:
        ValueError: If the data set is empty, or a row cannot be trained on; the message names the row.
        TypeError: If an argument has the wrong type.
    """

    loss_is_scaled_for_ga = True

    _tag_names: ClassVar[list[str]] = ["trl", "rrtf"]
    _name = "RRTF"
    _paper: ClassVar[dict[str, str]] = paper.RRTF

    def __init__(
        self,
        model: str | PreTrainedModel | PeftModel,
        ref_model: PreTrainedModel | None = None,
        args: RRTFConfig | None = None,
        data_collator: DataCollator | None = None,
        train_dataset: AnyDataset | None = None,
        eval_dataset: AnyDataset | DatasetDict | IterableDatasetDict | dict[str, AnyDataset] | None = None,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.LambdaLR | None] = (None, None),
        quantization_config: BitsAndBytesConfig | None = None,
        peft_config: PeftConfig | None = None,
    ) -> None:
        # Args
        if args is None:
            name = model if isinstance(model, str) else get_config_model_id(model.config)
            args = RRTFConfig(f"{name.split('/')[-1]}-RRTF")
        if train_dataset is None:
            raise ValueError("`train_dataset` is required.")
        if not isinstance(train_dataset, Dataset | IterableDataset):
            raise TypeError(
                f"`train_dataset` must be a `Dataset` or `IterableDataset`, got `{type(train_dataset).__name__}`."
            )
        if ref_model is not None:
            warnings.warn("RRTF needs no reference model: `ref_model` is not used.", UserWarning, stacklevel=2)
        is_packed, with_logits = isinstance(data_collator, PackedCollator), compute_metrics is not None
        with_images = has_images(train_dataset)
        check_options(args, with_images=with_images, with_logits=with_logits, is_packed=is_packed)
        keep_fused_head(args)
        # Accelerate's dispatch mode, its default for streams, splits batches as if each row were one sequence.
        args.accelerator_config.dispatch_batches = False
        if args.max_tokens_per_forward is not None:
            keep_buffers(args)

        # Loss
        use_passing_score(train_dataset, args)
        self._loss = resolve_loss(args)

        # Model and processing class
        set_seed(args.seed)  # adapters are initialized at random
        policy = load_policy(model, processing_class, args, quantization_config, peft_config)
        processing_class, self._saved_dtype, self._saves_state = policy.processing_class, policy.saved_dtype, False
        self._tokenizer = tokenizer_of(processing_class)
        self._with_images = with_images and isinstance(processing_class, ProcessorMixin)
        if isinstance(processing_class, ProcessorMixin):
            prepare_for_images(args, self._with_images)
        model = add_adapter(policy, args, peft_config)
        self.router_aux_loss_coef = router_loss_weight(model, args)
        self.aux_loss_enabled = self.router_aux_loss_coef != 0
        self._limits = limits_of(model)
        check_padding(self._tokenizer, self._limits)

        # Data collator and data sets
        own_collator = data_collator
        if data_collator is None:
            data_collator = self._padding_collator(processing_class, args)
        train_dataset = self._prepare(train_dataset, "train", args, min_score=least_score(args))
        eval_dataset = self._prepare_eval(eval_dataset, args)

        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            optimizers=optimizers,
        )

        # Processes
        check_batches(args, train_dataset, self.accelerator.num_processes)
        keep_float32_losses(self.accelerator)

        # Forward pass
        if args.disable_dropout:
            disable_dropout(self.model)
        add_head(self.model, in_float32=args.cast_lm_head_to_fp32)
        if (own_collator is None or is_packed) and not with_logits:
            choice = "true" if is_packed else args.share_prefix
            with self.compute_loss_context_manager():
                shared = share_prefixes(self.model, choice, with_images=self._with_images)
            if shared and own_collator is None:
                self.data_collator: Any = PackedCollator(self._loss.needs)
        if args.max_tokens_per_forward is not None:
            self.data_collator = in_forwards(self.data_collator, args.max_tokens_per_forward, with_logits=with_logits)
        self._offloading = (
            get_act_offloading_ctx_manager(model=self.model)
            if args.activation_offloading
            else contextlib.nullcontext()
        )

        # The policy as it starts
        self.train_dataset = self._with_reference(train_dataset, "train")
        self.eval_dataset = self._with_reference(eval_dataset, "eval")

        # Metrics
        self._metrics = {"train": Metrics(), "eval": Metrics()}
        self._new_tokens = 0  # since the state was brought up to date
        self.model.add_model_tags(self._tag_names)

    def _send_telemetry(self) -> None:
        """Send nothing: TRL's trainers report their use to the hub here."""

    # -- Data --------------------------------------------------------------------------------------------

    def _padding_collator(self, processing_class: Any, args: RRTFConfig) -> RankedCollator | VisionCollator:
        assert not isinstance(args.pad_to_multiple_of, str), "the config resolves it"
        if self._with_images:
            if missing := {"sampling_logps", "tree"} & set(self._loss.needs):
                raise ValueError(
                    f"The loss {self._loss.name!r} needs `{missing.pop()}`, which rows with images do not have. "
                    "Choose another loss."
                )
            return VisionCollator.of_options(processing_class, args)
        return RankedCollator(self._tokenizer.pad_token_id, args.pad_to_multiple_of, self._loss.needs)

    def _with_reference(self, dataset: Any, name: str) -> Any:
        """Return prepared rows with the log-probabilities of the policy before training, if the loss needs these."""
        if "reference_logps" not in self._loss.needs or dataset is None or isinstance(dataset, str):
            return dataset
        if isinstance(dataset, dict):
            return {key: self._with_reference(rows, key) for key, rows in dataset.items()}
        if self._with_images or not isinstance(self.data_collator, RankedCollator | PackedCollator | ForwardsCollator):
            raise ValueError(
                f"The loss {self._loss.name!r} compares with the policy before training, which is not computed for "
                "rows with images, nor for a collator of your own. Choose another loss."
            )
        if self.state.global_step and "reference_logps" not in (dataset.column_names or ()):
            raise ValueError(
                f"The loss {self._loss.name!r} compares with the policy before training, which is not known any more. "
                "Pass the rows to the constructor as `eval_dataset`."
            )
        return add_reference_logps(dataset, self.data_collator, self._score_as_it_is, self.accelerator, name)

    def _score_as_it_is(self, batch: dict[str, Any]) -> list[ScoredResponses]:
        """Return the scores of a batch, forward by forward, without a graph and without dropout."""
        model = self.model_wrapped if is_sharded(self.accelerator) else self.model
        self.model.eval()
        # Before training the model is not wrapped yet, and would compute in the precision of its weights.
        with torch.no_grad(), self.compute_loss_context_manager(), self.accelerator.autocast():
            inputs = self._prepare_inputs(batch)
            return [self._score(model, forward) for forward in inputs.get("forwards", [inputs])]

    def _prepare(self, dataset: AnyDataset, name: str, args: RRTFConfig, min_score: float | None = None) -> AnyDataset:
        if self._with_images:
            return number_rows(dataset)
        return prepared_rows(dataset, name, args, self._tokenizer, self._limits, self._loss, min_score)

    def _prepare_eval(self, eval_dataset: Any, args: RRTFConfig) -> Any:
        if isinstance(eval_dataset, dict):
            return {key: self._prepare(rows, key, args) for key, rows in eval_dataset.items()}
        # A string is the name of a data set that is prepared already.
        is_prepared = eval_dataset is None or isinstance(eval_dataset, str)
        return eval_dataset if is_prepared else self._prepare(eval_dataset, "eval", args)

    def _set_signature_columns_if_needed(self) -> None:
        tokenized = [*TOKENIZED_COLUMNS, self.args.length_column_name]
        self._signature_columns = VISION_COLUMNS if self._with_images else tokenized

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """Fetch the batches of one optimizer step and count their groups.

        The loss is divided by this count, so that accumulated batches and several processes give the same as one
        large batch, however the groups are distributed.
        """
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not batches:
            return batches, None
        count = sum(groups.count for batch in batches for groups in groups_of(batch))
        if self.accelerator.num_processes == 1:
            return batches, count
        return batches, self.accelerator.reduce(torch.tensor(count, device=device), reduction="sum")

    # -- Loss --------------------------------------------------------------------------------------------

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the loss of a batch of groups, see :mod:`rrtf_trl.training.losses`.

        Args:
            model: The policy.
            inputs: A batch of :class:`RankedCollator` or :class:`~rrtf_trl.training.packing.PackedCollator`.
            return_outputs: Whether to return the :class:`~rrtf_trl.training.losses.LossOutput` too.
            num_items_in_batch: Groups in the whole optimizer step, over all processes; by default those of ``inputs``.
        """
        if "token_gradients" in inputs:
            return loss_of_part(inputs, partial(self._score, model), self.router_aux_loss_coef)
        if "forwards" in inputs:
            missing, smallest = missing_forwards(inputs["forwards"], self.accelerator)
            for _ in range(missing.all):
                self._score(model, smallest)
        forwards = inputs.get("forwards", [inputs])
        found = [self._inputs_of(self._score(model, forward), forward) for forward in forwards]
        totals, losses = zip(*(self._loss_of(one, aux_loss) for one, aux_loss in found), strict=True)
        total = torch.stack(totals).sum() * self._share(num_items_in_batch, sum(one.groups for one, _ in found))
        return (total, losses[0]) if return_outputs else total

    def _score(self, model: nn.Module, batch: dict[str, Any]) -> ScoredResponses:
        if "parts" in batch:
            return join([self._score(model, part) for part in batch["parts"]], batch)
        return score_responses(model, batch, router_loss=self.aux_loss_enabled)

    def _inputs_of(self, scored: ScoredResponses, batch: dict[str, Any]) -> tuple[LossInputs, Tensor | None]:
        """Return what the loss gets of a batch, and the load-balancing loss; in evaluation without repeated rows."""
        inputs = loss_inputs(scored, batch)
        counted = inputs.groups if self.model.training else self._counted(scored.groups)
        return inputs if counted == inputs.groups else inputs.first_groups(counted), scored.aux_loss

    def _loss_of(self, inputs: LossInputs, aux_loss: Tensor | None) -> tuple[Tensor, LossOutput]:
        """Return the weighted loss of scored responses, summed over their groups, with its terms; record metrics."""
        assert inputs.on_host is not None
        # A batch of an evaluation may have repeated rows alone.
        loss = self._loss(inputs) if inputs.groups else LossOutput(inputs.logps, inputs.logps, inputs.logps)
        total = (self.args.rank_weight * loss.rank_loss + self.args.sft_weight * loss.sft_loss).sum()
        metrics = self._metrics["train" if self.model.training else "eval"]
        if self.aux_loss_enabled and aux_loss is not None:
            # It is one value for the whole batch, which is weighted by its groups.
            total = total + self.router_aux_loss_coef * aux_loss * inputs.groups
            metrics.add("aux_loss", aux_loss * inputs.groups, inputs.groups)
        metrics.record(loss, inputs, inputs.on_host)
        # With `include_num_input_tokens_seen` the base class counts them.
        if self.model.training and self.args.include_num_input_tokens_seen == "no":
            self._new_tokens += inputs.on_host.tokens
        return total, loss

    def _share(self, num_items: Tensor | int | None, groups: int) -> Tensor | float:
        """Return what the sum over the groups of a batch is multiplied by, to be its share of the step's mean."""
        if num_items is None:
            return 1 / max(groups, 1)
        # Gradients are averaged over processes, and the sum has only the groups of this process.
        share: Tensor | float = self.accelerator.num_processes / num_items
        return share

    def _counted(self, groups: Groups) -> int:
        """Return how many of the groups of an evaluation's batch are no repeated rows, which are its last ones.

        To give all processes full batches, accelerate fills the last ones with the first rows of the data set.
        """
        state = self.accelerator.gradient_state
        if not (state.end_of_dataloader and state.remainder > 0):
            return groups.count
        left = state.remainder - self.accelerator.process_index * self.args.eval_batch_size
        return sum(number < left for number in groups.numbers)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Run one training step, in several forwards with ``max_tokens_per_forward``."""
        run = super().training_step

        def backward(batch: dict[str, Any]) -> Tensor:
            with naming_rows(batch, self.args):
                step: Tensor = run(model, batch, num_items_in_batch)
            return step

        with self._offloading:
            if "forwards" not in inputs:
                return backward(inputs)
            if num_items_in_batch is None:
                num_items_in_batch = self.accelerator.num_processes * sum(groups.count for groups in groups_of(inputs))
            model.train()
            return step_in_forwards(
                self._prepare_inputs(inputs)["forwards"],
                score=partial(self._score, model),
                loss=lambda scored, forward: self._loss_of(*self._inputs_of(scored, forward))[0],
                share=self._share(num_items_in_batch, 1),
                backward=backward,
                context=self.compute_loss_context_manager,
                accelerator=self.accelerator,
                model=model,
            )

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return the operations of a batch, as transformers estimates them."""
        return sum(super(RRTFTrainer, self).floating_point_ops(batch) for batch in batches_of(inputs))

    def _track_num_input_tokens(self, inputs: dict[str, Any]) -> None:
        for batch in batches_of(inputs):
            super()._track_num_input_tokens(batch)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the loss of an evaluation batch; for ``compute_metrics`` also all logits and ``input_ids``."""
        batch = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = self.compute_loss(model, batch).detach()
            if prediction_loss_only:
                return loss, None, None
            logits = model(**model_inputs(batch), use_cache=False).logits
        groups = batch["groups"]
        counted = (groups.ids < self._counted(groups)).to(logits.device)
        ids = batch["input_ids"][counted]
        inputs["input_ids"] = ids  # the loop may pass them to `compute_metrics` too
        return loss, logits[counted, -ids.size(1) :].detach(), ids

    # -- Logging, evaluation and saving ---------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log ``logs`` with the metrics since the last call, averaged over their items and all processes."""
        if self.model.training:
            logs.update(self._metrics["train"].read(self.accelerator))
            self._count_tokens()
            logs["num_tokens"] = self.state.num_input_tokens_seen
            if self.args.log_completions and "loss" in logs:  # the last call sums the training up
                self._log_completions()
        super().log(logs, start_time)

    def _log_completions(self) -> None:
        rows = shown_rows(self.train_dataset, self.args.num_completions_to_print)
        logps: list[list[float]] = [[]] * len(rows)
        for scored in self._score_as_it_is(self.data_collator(rows)):
            means = (scored.logps / scored.lengths).tolist()
            for group, number in enumerate(scored.groups.numbers):
                logps[number] = [means[response] for response in (scored.groups.ids == group).nonzero()[:, 0].tolist()]
        self.model.train()
        if self.accelerator.is_main_process:
            log_completions(rows, logps, self._tokenizer, self.args, self.state.global_step)

    def _count_tokens(self) -> None:
        """Add the tokens since the last call, of all processes, to the state."""
        count = self._new_tokens
        if self.accelerator.num_processes > 1:
            count = int(self.accelerator.reduce(torch.tensor(count, device=self.args.device), reduction="sum"))
        self.state.num_input_tokens_seen += count
        self._new_tokens = 0

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Evaluate on a data set of any form that the constructor accepts, by default on the constructor's."""
        eval_dataset = self._prepare_eval(eval_dataset, self.args)
        eval_dataset = self._with_reference(eval_dataset, "eval")
        metrics: dict[str, float] = super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        return metrics

    def predict(
        self, test_dataset: AnyDataset, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Run on a data set as :meth:`evaluate` does; the logits of whole sequences are ``None`` where it needs none.

        They are returned for padded batches alone: with ``compute_metrics`` or ``share_prefix="false"``.
        """
        prepared = self._with_reference(self._prepare_eval(test_dataset, self.args), "test")
        return super().predict(prepared, ignore_keys, metric_key_prefix)

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Run the model over a data set; the metrics are averages over its items, with the prefix in their names."""
        # The default keeps as many items of the last batch as it has rows, but a row has several responses.
        self.gather_function = self._gather_responses
        if isinstance(self.data_collator, PackedCollator | ForwardsCollator):
            prediction_loss_only = True  # such batches have no logits of whole sequences
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        averages = self._metrics["eval"].read(self.accelerator)
        if averages:
            # For a stream, the base class weights all batches equally, even a last one with fewer groups.
            losses = self.args.rank_weight * averages["rank_loss"], self.args.sft_weight * averages["sft_loss"]
            averages["loss"] = sum(losses) + self.router_aux_loss_coef * averages.get("aux_loss", 0.0)
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in averages.items()})
        return output

    def _gather_responses(self, values: Tensor) -> Tensor:
        # Processes have different numbers of responses: they are padded to gather them.
        counts = self.accelerator.gather(torch.tensor([len(values)], device=values.device)).tolist()
        gathered = self.accelerator.gather(self.accelerator.pad_across_processes(values, dim=0))
        parts = torch.split(gathered, max(counts))
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        name = (
            Path(self.args.output_dir).name
            if self.args.hub_model_id is None
            else self.args.hub_model_id.split("/")[-1]
        )
        self.create_model_card(model_name=name)
        self._count_tokens()
        self._saves_state = True
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._saves_state = False

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Save the model in its checkpoint's precision; in a checkpoint of the training, to resume from, as it is."""
        if self._saved_dtype is None or self._saves_state or not self.args.should_save:
            super()._save(output_dir, state_dict)
            return
        weights = self.model.state_dict() if state_dict is None else state_dict
        super()._save(output_dir, in_precision(weights, self._saved_dtype, self.model))
        write_precision(output_dir or self.args.output_dir, self._saved_dtype)

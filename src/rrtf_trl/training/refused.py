"""What the trainer cannot do, refused before any work: options that do not go together, or not with this machine."""

from __future__ import annotations

from .config import RRTFConfig
from .distributed import check_parallelism


def check_options(args: RRTFConfig, *, with_images: bool, with_logits: bool, is_packed: bool) -> None:
    """Raise ValueError for options that cannot be combined.

    Args:
        args: The options.
        with_images: Whether the rows have images.
        with_logits: Whether the logits of whole sequences are needed, for ``compute_metrics``.
        is_packed: Whether the data collator passed is a :class:`~rrtf_trl.training.packing.PackedCollator`.
    """
    check_parallelism(args)
    if args.activation_offloading and args.device.type == "cpu":
        raise ValueError(
            "`activation_offloading` moves activations from GPU to CPU memory, and there is no GPU here. Leave it out."
        )
    if args.n_gpu > 1:
        raise ValueError(
            "RRTFTrainer does not run under `nn.DataParallel`. Start the script with `accelerate launch`, or limit it "
            "to one GPU with CUDA_VISIBLE_DEVICES."
        )
    if args.log_completions and with_images:
        raise ValueError("`log_completions` is not supported for rows with images. Leave it out.")
    if with_logits and (is_packed or args.share_prefix == "true"):
        raise ValueError(
            "`compute_metrics` needs the logits of whole sequences, which are not computed with shared prompts. Use "
            '`share_prefix="auto"`' + (" and leave `PackedCollator` out." if is_packed else ".")
        )

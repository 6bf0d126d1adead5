#!/usr/bin/env bash
# Installs what the program needs: into the active virtual environment (venv or conda), or else into .venv here,
# which is made if it is not there. Further requirement files may be named: bash requirements_install.sh tests/requirements.txt
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
files=(-r "$here/requirements_pip.txt")
for file in "$@"; do files+=(-r "$file"); done

if [ -n "${VIRTUAL_ENV:-${CONDA_PREFIX:-}}" ]; then
    python=${VIRTUAL_ENV:-$CONDA_PREFIX}/bin/python
    echo "Using the active environment: $python"
else
    python=$here/.venv/bin/python
    if [ ! -x "$python" ]; then
        base=${PYTHON:-python3}
        "$base" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; $base is $("$base" -V). Name another one: PYTHON=python3.12 bash $0" >&2; exit 1; }
        echo "Making .venv with $("$base" -V)"
        "$base" -m venv "$here/.venv"
    fi
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        echo "Repairing .venv, which an interrupted installation left without pip"
        "${PYTHON:-python3}" -m venv --clear "$here/.venv"
    fi
    echo "Using .venv"
fi

echo "Installing ${files[*]//-r/} (PyTorch is large: some minutes, and on Linux up to 6 GB of disk)"
"$python" -m pip install --quiet --disable-pip-version-check "${files[@]}"
echo "Done: $("$python" -c 'import torch, torchvision; print("torch", torch.__version__, "torchvision", torchvision.__version__, "CUDA" if torch.cuda.is_available() else "MPS" if torch.backends.mps.is_available() else "CPU")')"

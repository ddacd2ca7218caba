# Sourced by the other scripts: makes .venv once, and again when pyproject.toml has changed.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup() {
  local wanted
  wanted="$(cksum pyproject.toml)"
  if [ ! -f .venv/installed ] || [ "$(cat .venv/installed)" != "$wanted" ]; then
    echo "installing synthgen into .venv (a few minutes, about 6 GB: PyTorch brings its CUDA libraries)"
    [ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
    .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
      { echo "synthgen needs Python 3.11 or newer; set PYTHON to one and remove .venv" >&2; exit 2; }
    # uv downloads in parallel; where it cannot be had, pip does the same more slowly.
    if .venv/bin/python -m pip install --quiet uv; then
      .venv/bin/python -m uv pip install --quiet --python .venv/bin/python --editable '.[test]'
    else
      .venv/bin/python -m pip install --quiet --editable '.[test]'
    fi
    echo "$wanted" > .venv/installed
  fi
  export PATH="$PWD/.venv/bin:$PATH"
}

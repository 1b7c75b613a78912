#!/usr/bin/env bash
# Makes a virtual environment with the tested versions of everything; a second run does nothing.
#   BABELDRAW_VENV   where it goes (default: .venv beside the package)
#   PYTHON           the interpreter that makes it (default: the first Python >= 3.11 found)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${BABELDRAW_VENV:-$root/.venv}"
[[ "$venv" == /* ]] || venv="$PWD/$venv" # the scripts change directory

is_recent() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# 3.11 first: it is the version that constraints.txt was tested with.
python=""
for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python; do
  if is_recent "$candidate"; then
    python="$candidate"
    break
  fi
  if [[ -n "${PYTHON:-}" ]]; then break; fi # an explicit choice is not replaced silently
done
if [[ -z "$python" ]]; then
  echo "launch/setup.sh: error: no Python >= 3.11 with venv found (tried ${PYTHON:-python3.11, python3, python}); install it, or set PYTHON to its path." >&2
  exit 1
fi

cd "$root"
stamp="$venv/.babeldraw-stamp"
# The path is part of the stamp because an editable install points at this very checkout.
want="$({ echo "$root"; cat setup.py constraints.txt babeldraw/__init__.py; } | "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')"
if [[ -x "$venv/bin/babeldraw" && -f "$stamp" && "$(<"$stamp")" == "$want" ]]; then
  exit 0
fi

echo "Setting up $venv ($("$python" --version)); once, 4.6 GB on disk."
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev,eval,pictures,plan,serve]' --constraint constraints.txt
printf '%s\n' "$want" >"$stamp"
echo "Ready. In your shell, once: source $venv/bin/activate. Then: babeldraw --help"

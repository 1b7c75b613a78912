#!/usr/bin/env bash
# Set-up, then pictures of a sentence by the model that comes with Babeldraw: bash launch/draw.sh "a red apple".
# Arguments go to `babeldraw sample`.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
"$BASH" "$root/launch/setup.sh"
exec "${BABELDRAW_VENV:-$root/.venv}/bin/babeldraw" sample "$@"

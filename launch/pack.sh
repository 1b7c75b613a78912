#!/usr/bin/env bash
# Packs the tracked files of the checkout as they stand: what is sent to the workers and into images.
# A key or a note that lies beside them stays at home; a recipe of one's own goes along after `git add`.
#   launch/pack.sh OUTPUT.tar.gz
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
output="$1"
mkdir -p "$(dirname "$output")"
# Of the files that git knows, some may have been deleted since.
git -C "$root" ls-files --cached -z |
  (cd "$root" && while IFS= read -r -d '' file; do [[ ! -e "$file" ]] || printf '%s\0' "$file"; done) |
  tar --directory "$root" --null --files-from=- --create --gzip --file="$output"
git -C "$root" ls-files --others --exclude-standard |
  sed 's/^/left out, not tracked by git: /' >&2
echo "packed $output"

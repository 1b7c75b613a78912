#!/usr/bin/env bash
# Packs the checkout as it stands, what git ignores left out: what is sent to the workers.
#   launch/pack.sh OUTPUT.tar.gz
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
output="$1"
mkdir -p "$(dirname "$output")"
# Of the files that git knows, some may have been deleted since.
git -C "$root" ls-files --cached --others --exclude-standard -z |
  (cd "$root" && while IFS= read -r -d '' file; do [[ -e "$file" ]] && printf '%s\0' "$file"; done) |
  tar --directory "$root" --null --files-from=- --create --gzip --file="$output"
echo "packed $output"

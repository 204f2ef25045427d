#!/bin/sh
# Writes .env (or the file named): a copy of .env.example with a new secret for each value that is empty there.
# Refuses to replace a file: its secrets may be the only ones that open the databases.
set -eu
target=$(pwd)/.env
[ $# -eq 0 ] || target=$1
cd "$(dirname "$0")/.."
if [ -e "$target" ]; then
  echo "$target exists already; move it away first if new secrets are really wanted" >&2
  exit 1
fi
umask 077
while IFS= read -r line; do
  case $line in
    AIRFLOW_FERNET_KEY=) printf '%s%s\n' "$line" "$(openssl rand -base64 32 | tr '+/' '-_')" ;;
    [A-Z]*=) printf '%s%s\n' "$line" "$(openssl rand -hex 32)" ;;
    *) printf '%s\n' "$line" ;;
  esac
done <.env.example >"$target.part"
mv "$target.part" "$target"
echo "wrote $target: keep a copy where you keep secrets" >&2

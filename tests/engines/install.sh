#!/bin/sh
# Installs what the engine tests need, if it may: root, and Debian's package manager.  The tests say what is missing.
set -eu
here=$(dirname "$0")

# The FinOps Foundation's validator wants old packages: an environment of its own, made again when its lock changes.
validator="${XDG_CACHE_HOME:-$HOME/.cache}/clusterctl-engines/focus-validator"
if ! cmp -s "$here/focus-validator.lock" "$validator/made-from.lock"; then
	"$here/../../.venv/bin/python" -m venv --clear "$validator"
	"$validator/bin/python" -m pip --disable-pip-version-check install --quiet --require-hashes -r "$here/focus-validator.lock"
	cp "$here/focus-validator.lock" "$validator/made-from.lock"
fi

packages=""
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages="$packages postgresql"
command -v prometheus >/dev/null || packages="$packages prometheus"
[ -z "$packages" ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing:$packages; install them with your package manager" >&2
	exit 0
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null

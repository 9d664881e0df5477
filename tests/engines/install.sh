#!/bin/sh
# Installs what the engine tests need, if it may: root, and Debian's package manager.  The tests say what is missing.
set -eu
here=$(dirname "$0")
tools="$here/../../.venv/bin"

# An environment of its own, made again when its lock changes.  Hard links to uv's cache: torch is on the disk once.
environment() { # NAME LOCK [PYTHON]
	made="${XDG_CACHE_HOME:-$HOME/.cache}/clusterctl-engines/$1"
	cmp -s "$2" "$made/made-from.lock" && return
	"$tools/uv" venv --quiet --seed --clear --python "${3:-$tools/python}" "$made"
	DS_BUILD_OPS=0 "$tools/uv" pip install --quiet --no-deps --link-mode hardlink --python "$made/bin/python" --require-hashes -r "$2" 2>/dev/null ||
		DS_BUILD_OPS=0 "$made/bin/python" -m pip --disable-pip-version-check --no-cache-dir install --quiet --no-deps --require-hashes -r "$2"
	cp "$2" "$made/made-from.lock"
}
environment focus-validator "$here/focus-validator.lock" # the FinOps Foundation's validator wants old packages
environment train "$here/../../requirements-train.lock"  # torch: 2.5 GB to fetch, 6 GB on disk, a minute or three
for framework in verl openrlhf titan benchmarks serve pulumi; do
	environment "$framework" "$here/$framework.lock" # a minute each, where torch is in the cache
done
for python in python3.12 "$HOME"/.pyenv/versions/3.12*/bin/python; do # SkyRL wants 3.12
	"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null || continue
	environment skyrl "$here/skyrl.lock" "$python"
	break
done

# Environments for the nodes of a Slurm cluster without internet, of a Python that every user of this machine may run: our own with SkyPilot,
# which wants an older click than the test tools, and the one that SkyPilot would make on each node.
on_nodes() { # NAME WANTED ARGUMENT...
	made="${XDG_CACHE_HOME:-$HOME/.cache}/clusterctl-engines/$1" wanted=$2
	shift 2
	[ "$(cat "$made/made-from" 2>/dev/null)" = "$wanted" ] && return
	rm -rf "$made"
	"$tools/uv" venv --quiet --seed --python /usr/bin/python3 "$made"
	"$tools/uv" pip install --quiet --compile-bytecode --link-mode copy --python "$made/bin/python" "$@" 2>/dev/null ||
		"$made/bin/python" -m pip --disable-pip-version-check install --quiet "$@"
	echo "$wanted" >"$made/made-from"
}
slurm_nodes() {
	environment trl "$here/trl.lock" /usr/bin/python3
	lock="$here/../../requirements-remote.lock"
	on_nodes remote "$(cksum <"$lock")" --require-hashes -r "$lock"
	on_nodes skypilot-runtime 'skypilot[slurm,remote]==0.14.1' 'skypilot[slurm,remote]==0.14.1'
}

# Microsoft's own stand-in for Azure's storage; without what packages want to run when they are installed.
azurite() {
	made="${XDG_CACHE_HOME:-$HOME/.cache}/clusterctl-engines/azurite"
	[ -f "$made/node_modules/azurite/package.json" ] && return
	rm -rf "$made"
	npm install --prefix "$made" --ignore-scripts --no-audit --no-fund --silent --omit=optional azurite@3.35.0
}

packages=""
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages="$packages postgresql"
command -v prometheus >/dev/null || packages="$packages prometheus"
command -v chromium >/dev/null || packages="$packages chromium"
command -v victoria-metrics >/dev/null || packages="$packages victoria-metrics"
command -v npm >/dev/null || packages="$packages nodejs npm"
command -v slurmctld >/dev/null || packages="$packages slurm-wlm"
command -v munged >/dev/null || packages="$packages munge"
command -v slurmdbd >/dev/null || packages="$packages slurmdbd"
command -v mariadbd >/dev/null || packages="$packages mariadb-server-core mariadb-client-core"
[ -x /usr/sbin/sshd ] || packages="$packages openssh-server openssh-client"
for program in rsync socat ip:iproute2 nc:netcat-openbsd; do
	command -v "${program%:*}" >/dev/null || packages="$packages ${program#*:}"
done
for program in containerd runc debootstrap iptables; do # for Kubernetes
	command -v "$program" >/dev/null || packages="$packages $program"
done
[ -x /usr/lib/cni/bridge ] || packages="$packages containernetworking-plugins"
[ -x /usr/bin/python3 ] || packages="$packages python3"
[ -z "$packages" ] && azurite && slurm_nodes && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing:$packages; install them with your package manager" >&2
	exit 0
fi
# Daemons that packages bring are not started: the tests start their own.
if [ ! -e /usr/sbin/policy-rc.d ]; then
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod +x /usr/sbin/policy-rc.d
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
azurite
slurm_nodes

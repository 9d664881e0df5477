#!/bin/sh
# Makes the images of the real node's pods without a registry and without an engine: Debian by debootstrap, packed as they are.
# The image `clusterctl` has what templates/kubernetes/Containerfile puts into it; `sky` is a node of SkyPilot, with all that SkyPilot
# would fetch when it starts a pod.  Prints the folder of the layers.  Needs root, debootstrap and gcc; 3 minutes and 1.5 GB.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
. "$here/versions.sh"
packages="$top/templates/kubernetes/packages.txt"
made="$engines/images-$(cat "$here/images.sh" "$packages" "$top/requirements-remote.lock" | sha256sum | cut -c 1-12)"
[ -f "$made/complete" ] && { echo "$made"; exit 0; }
mkdir -p "$engines"
exec 9>"$engines/images.lock"
flock 9
[ -f "$made/complete" ] && { echo "$made"; exit 0; }
uv=$(readlink -f "$top/.venv/bin/uv")
rm -rf "$made"
mkdir -p "$made/pause"
cd "$made"

# Reproducible, with owners and modes.
layer() { # NAME FOLDER
	tar --numeric-owner --sort=name --mtime=@0 --exclude='./proc/*' --exclude='./tmp/*' -C "$2" -cf "$1.tar" .
}

gcc -static -Os -s -o pause/pause "$here/pause.c"
layer pause pause

# What SkyPilot wants in a pod, beside what ours have.
sky="curl,fuse3,gcc,git,less,openssh-server,patch,pciutils,python3-dev,sudo,tmux,wget"
debootstrap --variant=minbase --include="$(paste -sd, "$packages"),$sky" bookworm root >debootstrap.log
rm -rf root/var/cache/apt/archives/*.deb root/var/lib/apt/lists/* root/usr/share/doc root/usr/share/man root/usr/share/locale
: >root/etc/resolv.conf
layer base root

# An environment with this path inside, filled from here: by the machine's own uv, network and certificates.
environment() { # PATH REQUIREMENT...
	path=$1
	shift
	chroot root python3 -m venv --without-pip "$path"
	"$uv" pip install --quiet --no-cache --link-mode copy --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--target "root$path/lib/python3.11/site-packages" "$@"
	mkdir -p only
	for script in "root$path/lib/python3.11/site-packages/bin"/*; do # uv writes the path of its own Python into them
		[ -f "$script" ] || continue
		sed "1s|^#!.*|#!$path/bin/python3|" "$script" >"root$path/bin/$(basename "$script")"
		chmod 755 "root$path/bin/$(basename "$script")"
	done
	find "root$path" -name __pycache__ -prune -exec rm -rf {} + # compiled by another Python, at paths outside
	chroot root python3 -m compileall -q --invalidation-mode unchecked-hash "$path/lib" || true # a test file that is no Python
}
environment /opt/clusterctl --require-hashes -r "$top/requirements-remote.lock"
rm -rf only
mkdir -p only/opt
mv root/opt/clusterctl only/opt/
layer clusterctl-environment only

rm -rf only
environment /root/skypilot-runtime "ray[default]==2.9.3" "setuptools<70" "pydantic-core==2.41.1" "click<8.3.0" "skypilot[kubernetes,remote]==0.14.1" pip
mkdir -p only/root/.local/bin only/etc/uv
mv root/root/skypilot-runtime only/root/
cp "$uv" only/root/.local/bin/uv
echo 'offline = true' >only/etc/uv/uv.toml # else uv asks for names that no server knows, for minutes
layer sky only
rm -rf only root pause debootstrap.log
touch complete
for old in "$engines"/images-*; do [ "$old" = "$made" ] || rm -rf "$old"; done
echo "$made"

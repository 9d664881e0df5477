#!/bin/sh
# Builds a Kubernetes from its Go modules: no registry of images and no release page can be reached from a test machine.
# Prints the folder of the programs.  About 15 minutes of two cores and 6 GB while it builds, 600 MB afterwards; nothing where all is there.
# NAME.seconds beside a program says what it took.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/versions.sh"

all="kubernetes etcd kwok helm gvisor coredns"
complete() { for part in $all; do [ -f "$programs/$part.seconds" ] || return 1; done; }
complete && { echo "$programs"; exit 0; }
command -v go >/dev/null || { echo "missing: go; https://go.dev/doc/install" >&2; exit 1; }
mkdir -p "$programs"
exec 9>"$engines/build.lock"
flock 9 # another build may have ended meanwhile
complete && { echo "$programs"; exit 0; }

work="$engines/work"
export GOFLAGS="-buildvcs=false -mod=mod -trimpath -modcacherw" CGO_ENABLED=0 GOTOOLCHAIN=local
export GOMODCACHE="$work/modules" GOCACHE="$work/objects" # removed at the end: 5 GB that nothing else reads

# A program of a module: as the only requirement of a module of our own.
program() { # MODULE VERSION PACKAGE NAME
	mkdir -p "$work/$4"
	printf 'module clusterctl.invalid/%s\n\ngo 1.25.5\n\nrequire %s %s\n' "$4" "$1" "$2" >"$work/$4/go.mod"
	(cd "$work/$4" && go build -o "$programs/$4.part" -ldflags '-s -w' "$3")
	mv "$programs/$4.part" "$programs/$4"
}

folder_of() { # MODULE@VERSION: where Go keeps its files
	(cd "$work" && GOFLAGS=-modcacherw go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
}

# Kubernetes requires its own parts as v0.0.0 and replaces them by folders, which Go leaves out of account in a dependency: pin each here.
build_kubernetes() {
	mkdir -p "$work/kubernetes"
	cd "$work/kubernetes"
	theirs=$(GOFLAGS=-modcacherw go mod download -json "k8s.io/kubernetes@$kubernetes_version" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
	parts=$(sed -nE 's/^[[:space:]]*(k8s\.io\/[a-z-]+) v0\.0\.0( .*)?$/\1/p' "$theirs" | sort -u)
	{
		printf 'module clusterctl.invalid/kubernetes\n\n%s\n\n' "$(grep '^go ' "$theirs")"
		echo "require k8s.io/kubernetes $kubernetes_version"
		for staged in $parts; do
			echo "require $staged v0${kubernetes_version#v1}"
			echo "replace $staged => $staged v0${kubernetes_version#v1}"
		done
	} >go.mod
	minor=${kubernetes_version#v1.}
	v=k8s.io/component-base/version
	flags="-s -w -X $v.gitVersion=$kubernetes_version -X $v.gitMajor=1 -X $v.gitMinor=${minor%%.*} -X $v.gitTreeState=clean"
	mkdir -p out
	commands="kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl"
	# shellcheck disable=SC2046 # a list of packages
	go build -o out/ -ldflags "$flags" $(printf 'k8s.io/kubernetes/cmd/%s ' $commands)
	mv out/* "$programs/"
}

build_etcd() { program go.etcd.io/etcd/server/v3 $etcd_version go.etcd.io/etcd/server/v3 etcd; }

# kwok's own stages, but without a status of each node every 20 to 45 seconds: leases alone keep nodes ready.
build_kwok() {
	program sigs.k8s.io/kwok $kwok_version sigs.k8s.io/kwok/cmd/kwok kwok
	stages="$(folder_of "sigs.k8s.io/kwok@$kwok_version")/kustomize/stage"
	{
		printf 'apiVersion: config.kwok.x-k8s.io/v1alpha1\nkind: KwokConfiguration\noptions:\n'
		printf '  podPlayStageParallelism: 32\n  nodePlayStageParallelism: 32\n  nodeLeaseParallelism: 16\n  podsOnNodeSyncParallelism: 16\n'
		for stage in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease \
			pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete; do
			echo ---
			cat "$stages/$stage.yaml"
		done
	} >"$programs/kwok.yaml"
}

build_helm() { program helm.sh/helm/v3 $helm_version helm.sh/helm/v3/cmd/helm helm; }
build_coredns() { program github.com/coredns/coredns $coredns_version github.com/coredns/coredns coredns; }

# gVisor, and its shim for containerd with one line changed: without CAP_SYS_RESOURCE no process may be given a lower OOM score.
build_gvisor() {
	program gvisor.dev/gvisor $gvisor_version gvisor.dev/gvisor/runsc runsc
	rm -rf "$work/gvisor-source"
	cp -r "$(folder_of "gvisor.dev/gvisor@$gvisor_version")" "$work/gvisor-source"
	sed -i 's/sys.SetOOMScore(cmd.Process.Pid, oomScoreMax)/sys.SetOOMScore(cmd.Process.Pid, 0)/' "$work/gvisor-source/pkg/shim/v1/manager.go"
	mkdir -p "$work/shim"
	printf 'module clusterctl.invalid/shim\n\ngo 1.25.5\n\nrequire gvisor.dev/gvisor v0.0.0\n\nreplace gvisor.dev/gvisor => ../gvisor-source\n' >"$work/shim/go.mod"
	(cd "$work/shim" && go build -o "$programs/runsc-shim" -ldflags '-s -w' gvisor.dev/gvisor/shim)
	install -m 755 "$here/containerd-shim-runsc-v1" "$programs/"
}

for part in $all; do
	[ -f "$programs/$part.seconds" ] && continue
	mkdir -p "$work"
	started=$(date +%s)
	trap 'tail -20 "$programs/$part.log" >&2; echo "FAILED: $part" >&2' EXIT # `build || ...` would go on after an error
	build_$part >"$programs/$part.log" 2>&1
	trap - EXIT
	echo $(($(date +%s) - started)) >"$programs/$part.seconds"
done
cd "$here"
rm -rf "$work"
for old in "$engines"/bin-*; do [ "$old" = "$programs" ] || rm -rf "$old"; done
echo "$programs"

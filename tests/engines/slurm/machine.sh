#!/bin/bash
# machine.sh FOLDER NAME ADDRESS CACHE ENVIRONMENT...: one virtual machine, run by `unshare --mount --uts --net --pid --fork` as its process 1.
#
# It sees its own users, hosts, homes, /tmp, /etc/slurm, /srv and munge; nothing of that is seen outside.  Environments are read-only.
set -eu
D=$1 name=$2 address=$3 cache=$4
shift 4
mount --make-rprivate /
mount -t proc proc /proc
hostname "$name"
for file in passwd group shadow hosts; do mount --bind "$D/etc/$file" "/etc/$file"; done
mkdir -p "$D/machines/$name/tmp" "$D/spool/$name"
chmod 1777 "$D/machines/$name/tmp"
for environment; do
	mount -o bind,ro "$cache/$environment" "$D/srv/$environment"
	python=$(readlink -f "$cache/$environment/bin/python") # one of pyenv lies in root's home, which no user may enter
	case $python in
	/root/*) base=$D/root${python#/root} base=${base%/bin/*} ;;
	*) continue ;;
	esac
	mkdir -p "$base"
	mountpoint -q "$base" || mount -o bind,ro "${python%/bin/*}" "$base"
done
mount --rbind "$D/srv" /srv
mount --rbind "$D/root" /root
mount --bind "$D/home" /home
mount --bind "$D/slurm" "/etc/slurm"
mount -t tmpfs tmpfs /run
mkdir -p /run/munge /run/sshd
mount --bind "$D/munge" /run/munge
mount --bind "$D/machines/$name/tmp" /tmp # last: the folder itself may lie in the machine's /tmp
exec >"$D/log/$name.log" 2>&1 </dev/null
until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
ip link set lo up
ip addr add "$address/24" dev eth0
ip link set eth0 up
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
case $name in
login)
	setpriv --reuid=munge --regid=munge --init-groups munged --foreground --force \
		--key-file=/etc/slurm/munge.key --pid-file=/run/munge/munged.pid --log-file=/run/munge/munged.log \
		--seed-file=/run/munge/munged.seed --socket=/run/munge/munge.socket.2 &
	until [ -S /run/munge/munge.socket.2 ]; do sleep 0.05; done
	/usr/sbin/sshd -D -e -f /etc/slurm/sshd_config &
	if [ -f /etc/slurm/slurmdbd.conf ]; then # accounting: one database of a machine that nobody else reaches
		mkdir -p "$D/mysql" /run/mysqld
		mariadb-install-db --no-defaults --user=root --datadir="$D/mysql" --auth-root-authentication-method=normal --skip-test-db >/dev/null
		mariadbd --no-defaults --user=root --datadir="$D/mysql" --skip-networking --socket=/run/mysqld/mysqld.sock --innodb-lock-wait-timeout=900 &
		until [ -S /run/mysqld/mysqld.sock ]; do sleep 0.1; done
		slurmdbd -D &
		until sacctmgr -i add cluster mini; do sleep 0.3; done
	fi
	slurmctld -D -i &
	;;
*)
	until [ -S /run/munge/munge.socket.2 ]; do sleep 0.05; done
	slurmd -D -N "$name" &
	;;
esac
while :; do wait -n || sleep 1; done # takes leave of what ends, as process 1 must

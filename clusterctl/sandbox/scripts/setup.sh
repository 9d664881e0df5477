set -e
size=$1 shm=$2
shift 2
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /sys  # a folder that is always there and that no sandbox needs
cd /sys
mkdir -p proc dev/shm tmp etc old
while [ "$1" != -- ]; do
    if ! [ -e "$1" ]; then shift 2; continue; fi
    if [ -d "$1" ]; then mkdir -p ".$2"; else : > ".$2"; fi
    mount --rbind "$1" ".$2"
    mount -o remount,bind,ro,nosuid ".$2"
    shift 2
done
shift
for name in bin sbin lib lib32 lib64; do if [ -L "/$name" ]; then ln -s "$(readlink "/$name")" "$name"; fi; done
for name in null zero full random urandom; do : > "dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
echo "sandbox:x:0:0:sandbox:/tmp:/bin/sh" > etc/passwd
echo "127.0.0.1 localhost" > etc/hosts
mount -t tmpfs -o "size=$shm,mode=777,nosuid,nodev" tmpfs dev/shm
mount -t tmpfs -o "size=$size,mode=777,nosuid,nodev" tmpfs tmp
mount -t proc -o nosuid,nodev,noexec proc proc
pivot_root . old
umount -l /old
[ ! -e /proc/sys/user/max_user_namespaces ] || echo 0 > /proc/sys/user/max_user_namespaces  # absent in gVisor
mount -o remount,bind,ro tmpfs /
cd /tmp

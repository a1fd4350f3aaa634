#!/usr/bin/env bash
# A real Slurm with two nodes on this one machine: one_machine.sh start|stop|kill-slurmd|start-slurmd|kill-node|start-node|kill-ctld|
# start-ctld DIR [NODE]
# Root, and slurmctld, slurmd, slurm-client and munge of Debian (22.05 or newer). Each node has process ids and a host
# name of its own, so that nothing on one sees the processes of the other; they share the file system.
# Without systemd only cgroup/v1 works here, a GRES needs a File=, and srun wants --mpi=none. Partitions: main, urgent
# (preempts main at once), patient and graceful (as main, but a preempted job gets 20 s), short (at most 2 minutes).
set -euo pipefail
verb=$1 dir=$(realpath -m "$2") node=${3:-} host=$(hostname -s) port=${SLURM_TEST_PORT:-16817}
export SLURM_CONF="$dir/slurm.conf"

init_of() { cat "$dir/run/init-$1.pid"; }
inside() { nsenter --target "$(init_of "$1")" --pid --uts --mount "${@:2}"; }
slurmd_of() { grep -lz -- "^slurmd$" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3 | while read -r pid; do
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "-f $dir/slurm.conf -N $1 " && echo "$pid"; done; }
start_slurmd() { inside "$1" slurmd -f "$dir/slurm.conf" -N "$1"; }
start_node() {
    setsid unshare --pid --fork --mount-proc --uts sh -c "hostname $1; mount --bind $dir/hosts /etc/hosts; while :; do sleep 1000; done" \
        </dev/null >/dev/null 2>&1 &
    for _ in $(seq 50); do pid=$(pgrep -P $! || true); [ -n "$pid" ] && break; sleep 0.02; done
    echo "$pid" >"$dir/run/init-$1.pid"
    start_slurmd "$1"
}
start_ctld() { slurmctld -f "$dir/slurm.conf"; }

stop() {
    [ -f "$dir/run/ctld.pid" ] && kill -KILL "$(cat "$dir/run/ctld.pid")" 2>/dev/null || true
    for n in n1 n2; do [ -f "$dir/run/init-$n.pid" ] && kill -KILL "$(init_of $n)" 2>/dev/null || true; done
}

start() {
    mkdir -p "$dir"/{state,run,spool-n1,spool-n2} /run/munge
    chown munge: /run/munge
    if ! munge -n >/dev/null 2>&1; then
        [ -s /etc/munge/munge.key ] || { head -c 1024 /dev/urandom >/etc/munge/munge.key; chown munge: /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
        su -s /bin/sh munge -c /usr/sbin/munged
    fi
    cat >"$SLURM_CONF" <<CONF
ClusterName=onemachine
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/run/ctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmctldLogFile=$dir/ctld.log
SlurmdLogFile=$dir/slurmd-%n.log
SlurmctldPort=$port
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=100000
MinJobAge=${SLURM_TEST_MIN_JOB_AGE:-300}
KillWait=5
SlurmdTimeout=${SLURM_TEST_SLURMD_TIMEOUT:-10}
InactiveLimit=0
MessageTimeout=5
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobs.txt
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=2 RealMemory=8000 Gres=gpu:1 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=2 RealMemory=8000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=graceful Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
PartitionName=short Nodes=ALL MaxTime=2 State=UP PriorityTier=1
CONF
    for n in n1 n2; do rm -f "$dir/$n-gpu0"; mknod "$dir/$n-gpu0" c 1 5; done
    printf "NodeName=n1 Name=gpu File=$dir/n1-gpu0\nNodeName=n2 Name=gpu File=$dir/n2-gpu0\n" >"$dir/gres.conf"
    printf 'CgroupPlugin=cgroup/v1\n' >"$dir/cgroup.conf"
    printf '127.0.0.1 localhost n1 n2 %s\n' "$host" >"$dir/hosts"
    start_ctld
    for n in n1 n2; do start_node $n; done
    for _ in $(seq 120); do
        [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | grep -c .)" -ge 2 ] && break
        sleep 0.1
    done
    sinfo -N -l
}

case $verb in
start) start ;;
stop) stop ;;
kill-slurmd) for pid in $(slurmd_of "$node"); do kill -KILL "$pid"; done ;;
start-slurmd) start_slurmd "$node" ;;
kill-node) kill -KILL "$(init_of "$node")" ;;
start-node) start_node "$node" ;;
kill-ctld) kill -KILL "$(cat "$dir/run/ctld.pid")" ;;
start-ctld) start_ctld ;;
esac

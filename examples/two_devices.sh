#!/bin/sh
# A chain over two devices: A has the camera and the registry, B finds motion in A's frames and records.
#
#   on A (192.0.2.1 being its own address):   examples/two_devices.sh a 192.0.2.1 rtsp://192.0.2.9/stream
#   on B (192.0.2.2 being its own address):   examples/two_devices.sh b 192.0.2.2 192.0.2.1
#
# Ctrl-C ends each. --insecure says that the network between the two is trusted.
set -eu
role=$1 here=$2
mesh=${MESH:-mesh}
pids=
trap 'kill $pids 2>/dev/null || :; wait' EXIT
trap 'exit 0' INT TERM

case $role in
a)
    MESH_REGISTRY=tcp://$here:${PORT:-7700}
    export MESH_REGISTRY
    $mesh registry --bind "$MESH_REGISTRY" --insecure & pids="$pids $!"
    $mesh node capture --camera "door=$3" --bind "$here" --insecure & pids="$pids $!"
    ;;
b)
    MESH_REGISTRY=tcp://$3:${PORT:-7700}
    export MESH_REGISTRY
    $mesh node process motion --bind "$here" --insecure & pids="$pids $!"
    $mesh node collect --into "${INTO:-recordings}" --bind "$here" --insecure & pids="$pids $!"
    ;;
*)
    echo "the first argument is a or b" >&2
    exit 2
    ;;
esac
wait

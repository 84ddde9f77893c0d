#!/bin/sh
# One of the demo's two model servers: demo-model.sh PORT ALIAS. Where the project has a config of its own, none is
# needed, and it ends.
set -eu

if [ -e /project/tierwise.yaml ]; then
    echo "the project has a tierwise.yaml: the demo's model $2 is not needed"
    exit 0
fi
gguf=$(python -c 'from tierwise.demo import smollm2_file; print(smollm2_file())')
exec python -m tierwise.model_server --host 0.0.0.0 --gguf "$gguf" --port "$1" --alias "$2"

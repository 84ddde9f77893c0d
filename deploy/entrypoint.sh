#!/bin/sh
# Becomes the command it is given, after turning what `setup-secrets` and `setup` left in the volumes into the
# environment that services read. So no password stands in the compose file or in `docker inspect`.
set -eu

# Recent daemons give 1,024 open files, which is 500 callers with a backend each; where more is not ours to take, so be it.
ulimit -S -n 65536 2>/dev/null || true

run=/run/tierwise
if [ -z "${TIERWISE_NATS_URL:-}" ] && [ -r "$run/nats/password" ]; then
    export TIERWISE_NATS_URL="nats://tierwise:$(cat "$run/nats/password")@nats:4222"
fi
if [ -z "${TIERWISE_DATABASE_URL:-}" ] && [ -r "$run/postgres/password" ]; then
    export TIERWISE_DATABASE_URL="postgresql://tierwise:$(cat "$run/postgres/password")@postgres:5432/tierwise"
fi
if [ -z "${TIERWISE_CONFIG:-}" ]; then
    if [ -e /project/tierwise.yaml ]; then
        export TIERWISE_CONFIG=/project/tierwise.yaml
    elif [ -r "$run/demo/demo.yaml" ]; then
        export TIERWISE_CONFIG="$run/demo/demo.yaml"
    fi
fi

exec "$@"

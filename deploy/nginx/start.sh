#!/bin/sh
# `resolve` in an upstream came to open-source nginx with 1.27.3. An older one looks ingress up for each request
# instead, at the price of a new connection to it each time.
set -eu

ulimit -S -n 65536 2>/dev/null || true  # recent daemons give 1,024 open files
here=/etc/tierwise/nginx
if nginx -t -q -c "$here/keepalive.conf" 2>/dev/null; then
    exec nginx -c "$here/keepalive.conf" -g "daemon off;"
fi
exec nginx -c "$here/lookup.conf" -g "daemon off;"

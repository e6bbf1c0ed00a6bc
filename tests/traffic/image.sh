#!/bin/sh
# Builds the image of the traffic tests: the programs of a balancer and of a web node, from the distribution's packages.
set -eu
image=webstack-traffic
docker image inspect "$image" >/dev/null 2>&1 && exit 0
DOCKER_BUILDKIT=0 docker build -q -t "$image" - >/dev/null <<DOCKER
FROM ${TRAFFIC_BASE:-webstack-lab:debian13}
RUN printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d \\
 && apt-get update -q \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \\
    haproxy socat nginx php-fpm python3-h2 prometheus prometheus-alertmanager \\
 && apt-get clean
DOCKER

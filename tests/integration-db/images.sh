#!/bin/sh
# Builds the database images of the integration tests, repltest-<engine> for each of REPLTEST_ENGINES.
# The package mirror is the one this host (or the base image) already uses.
set -eu
cd "$(dirname "$0")/../.."
base=${REPLTEST_BASE:-webstack-lab:debian13}
# Has MariaDB 10.11.
older=webstack-lab:debian12
recipe=$(cksum tests/integration-db/images.sh | tr ' /' '--')
engines=${REPLTEST_ENGINES:-mysql97 mariadb118 mariadb1011}
export DOCKER_BUILDKIT=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mirror=$(docker run --rm "$base" sh -c "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null" |
    sed -nE 's/^deb (\[[^]]*\] )?([^ ]+) .*/\2/p; s/^URIs: *([^ ]+).*/\1/p' | head -n 1)
[ -n "$mirror" ] || { echo "no package mirror found in $base" >&2; exit 1; }

wanted() {
    case " $engines " in
        *" $1 "*) [ "$(docker image inspect --format '{{.Config.Labels.recipe}}' "repltest-$1" 2>/dev/null)" != "$recipe" ] ;;
        *) return 1 ;;
    esac
}

build() {
    docker build -q -t "repltest-$1" --label recipe="$recipe" "$work" >/dev/null
}

quiet='printf "#!/bin/sh\nexit 101\n" > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d'
# A data directory made at build time would give every container the same server_uuid.
wipe='rm -rf /var/lib/mysql && install -d -o mysql -g mysql /var/lib/mysql /run/mysqld && apt-get clean'

# The package of MySQL may shut its new server down too early; then it begins again with nothing.
if wanted mysql97; then
    cat > "$work/Dockerfile" <<DOCKER
FROM $base
RUN $quiet \\
 && printf 'Types: deb\nURIs: $mirror\nSuites: unstable\nComponents: main\nCheck-Valid-Until: no\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' > /etc/apt/sources.list.d/unstable.sources \\
 && printf 'Package: *\nPin: release a=unstable\nPin-Priority: 100\n' > /etc/apt/preferences.d/unstable \\
 && apt-get update -q && { DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends -t unstable mysql-server openssl \\
   || { rm -rf /var/lib/mysql && dpkg --configure --pending; }; } \\
 && $wipe
DOCKER
    build mysql97
fi

if wanted mariadb118; then
    cat > "$work/Dockerfile" <<DOCKER
FROM $base
RUN $quiet && apt-get update -q \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends mariadb-server openssl \\
 && $wipe
DOCKER
    build mariadb118
fi

if wanted mariadb1011; then
    docker image inspect "$older" >/dev/null 2>&1 || tools/setup tests
    cat > "$work/Dockerfile" <<DOCKER
FROM $older
RUN $quiet && apt-get update -q \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends mariadb-server openssl \\
 && $wipe
DOCKER
    build mariadb1011
fi
docker image ls --format '{{.Repository}} {{.Size}}' | grep '^repltest-'

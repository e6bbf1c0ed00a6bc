#!/bin/sh
# Builds the database images of the integration tests, repltest-<engine> for each of REPLTEST_ENGINES.
# The package mirror is the one this host (or the base image) already uses.
set -eu
base=${REPLTEST_BASE:-webstack-lab:debian13}
engines=${REPLTEST_ENGINES:-mysql97 mariadb118 mariadb1011}
export DOCKER_BUILDKIT=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mirror=$(docker run --rm "$base" sh -c "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null" |
    sed -nE 's/^deb (\[[^]]*\] )?([^ ]+) .*/\2/p; s/^URIs: *([^ ]+).*/\1/p' | head -n 1)
[ -n "$mirror" ] || { echo "no package mirror found in $base" >&2; exit 1; }

wanted() {
    case " $engines " in *" $1 "*) ! docker image inspect "repltest-$1" >/dev/null 2>&1 ;; *) return 1 ;; esac
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
    docker build -q -t repltest-mysql97 "$work" >/dev/null
fi

if wanted mariadb118; then
    cat > "$work/Dockerfile" <<DOCKER
FROM $base
RUN $quiet && apt-get update -q \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends mariadb-server openssl \\
 && $wipe
DOCKER
    docker build -q -t repltest-mariadb118 "$work" >/dev/null
fi

if wanted mariadb1011; then
    mmdebstrap --quiet --variant=minbase --include=mariadb-server,openssl \
        --setup-hook='mkdir -p "$1/usr/sbin"; printf "#!/bin/sh\nexit 101\n" > "$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"' \
        bookworm - "$mirror" | docker import - repltest-mariadb1011-raw >/dev/null
    printf 'FROM repltest-mariadb1011-raw\nRUN %s\n' "$wipe" > "$work/Dockerfile"
    docker build -q -t repltest-mariadb1011 "$work" >/dev/null
fi
docker image ls --format '{{.Repository}} {{.Size}}' | grep '^repltest-'

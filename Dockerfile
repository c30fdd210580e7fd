# One image for all that a province runs: node, CometBFT, anchor, web API (docs/docker.md).
# Built by the classic builder and by BuildKit alike. Other bases: --build-arg DEBIAN=… --build-arg GO=…
ARG DEBIAN=debian:bookworm-slim
ARG GO=golang:1.25-bookworm

FROM ${GO} AS cometbft
# The version that scripts/cometbft builds too.
ARG COMETBFT=v0.38.25
RUN CGO_ENABLED=0 GOBIN=/built go install -trimpath github.com/cometbft/cometbft/cmd/cometbft@${COMETBFT}

FROM ${DEBIAN} AS pip
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip python3-venv

FROM pip AS web
# Node comes as a wheel and only builds: what browsers load is files. No package's own scripts run.
COPY requirements-web.lock .
RUN python3 -m venv --without-pip /node \
    && python3 -m pip --python /node/bin/python install --no-cache-dir \
       --only-binary :all: --require-hashes --requirement requirements-web.lock
# Node trusts whom the base trusts, as pip does.
ENV PATH=/node/bin:$PATH NODE_USE_SYSTEM_CA=1
WORKDIR /web
COPY api/web/package.json api/web/package-lock.json api/web/.npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY api/web .
RUN npm run build

FROM pip AS dependencies
COPY requirements.lock .
# Wheels only, each with the hash that the lock names; the environment itself gets no pip.
RUN python3 -m venv --without-pip /opt/moneo/.venv \
    && python3 -m pip --python /opt/moneo/.venv/bin/python install --no-cache-dir \
       --only-binary :all: --require-hashes --requirement requirements.lock

FROM ${DEBIAN}
# /srv/moneo/var is the data folder. A volume takes over the owner of the folder it is mounted on; the
# folders in /founding are those of the four provinces that docker-compose.yml founds.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && useradd --uid 10001 --user-group --home-dir /srv/moneo --no-create-home --shell /usr/sbin/nologin moneo \
    && install -d -o moneo -g moneo -m 0700 /srv/moneo /founding/1 /founding/2 /founding/3 /founding/4
COPY --from=cometbft /built/cometbft /usr/local/bin/
COPY --from=dependencies /opt/moneo/.venv /opt/moneo/.venv
COPY . /opt/moneo
COPY --from=web /web/dist /opt/moneo/api/web/dist
# The code belongs to root and is compiled here: whoever runs it cannot write it.
RUN /opt/moneo/.venv/bin/python -m compileall -q -x /opt/moneo/.venv /opt/moneo
ENV PATH=/opt/moneo/scripts:$PATH LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 MONEO_DATA=/srv/moneo/var
USER moneo
WORKDIR /srv/moneo
VOLUME /srv/moneo
# 26656: other provinces' CometBFT; 8080: pages. JSON-RPC stays inside.
EXPOSE 26656 8080
HEALTHCHECK --interval=15s --timeout=10s --start-period=90s CMD ["healthy"]
ENTRYPOINT ["moneo"]
CMD ["serve"]

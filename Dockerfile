# liftlock in a container: `docker build -t liftlock .`
#
# Builds are sandboxed by bubblewrap, which needs user namespaces. Docker forbids them by default; run with
#   docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined …
# or accept that protected branches are built without a sandbox and pull requests not at all.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY migrations migrations
COPY templates templates
COPY fixtures fixtures
# `tests/it` is named in Cargo.toml; the program does not need it.
RUN mkdir -p tests/it && touch tests/it/main.rs \
    && cargo build --release --locked --bin liftlock

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap ca-certificates git skopeo tini umoci util-linux \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /data --shell /usr/sbin/nologin liftlock \
    && install -d -o liftlock -g liftlock -m 0700 /data
COPY --from=build /src/target/release/liftlock /usr/local/bin/liftlock
USER liftlock
WORKDIR /data
VOLUME /data
EXPOSE 8080
ENV LIFTLOCK_DATA=/data LIFTLOCK_CONFIG=/etc/liftlock/liftlock.toml
# tini reaps what steps leave behind, and hands SIGTERM on.
ENTRYPOINT ["tini", "--", "liftlock"]
CMD ["serve"]

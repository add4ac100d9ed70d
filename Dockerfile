# Build: the executable, and the few C library files it is linked to. Whatever architecture this
# runs on is the one the image is for.
FROM oven/bun:1.4.5-debian AS build
WORKDIR /app
COPY package.json bun.lock bunfig.toml tsconfig.json ./
RUN bun install --frozen-lockfile
COPY deploy/build.ts deploy/run.ts deploy/stage-image.sh deploy/
COPY src src
RUN bun run build && deploy/stage-image.sh dist/nt-signal /stage

# Run: nothing but those files. No shell, no package manager, no user but a number.
FROM scratch
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nt-signal" \
      org.opencontainers.image.description="The server two WebRTC peers meet at: short codes, rooms, signaling, mailboxes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /stage/root /
# For STATE_FILE: the one place its user may write to. Mount a volume here to keep it.
COPY --from=build --chown=65532:65532 /stage/state /var/lib/nt-signal
# Garbage is collected at once, not beside the work: see docs/performance.md.
ENV BUN_JSC_useConcurrentGC=0
USER 65532:65532
EXPOSE 1234
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 \
  CMD ["/nt-signal", "healthcheck"]
ENTRYPOINT ["/nt-signal"]

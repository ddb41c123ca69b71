# A static binary in an image of nothing else, run without privileges.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/attune ./cmd/attune && mkdir /out/data

FROM scratch
COPY --from=build /out/attune /attune
# The data directory belongs to the user that the process runs as.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV HOME=/data
VOLUME /data
EXPOSE 8080 8081
# There is no shell and no curl for a HEALTHCHECK: point the orchestrator at
# /healthz (alive) and /readyz (caught up) on port 8080.
#
# Mount a configuration from `attune init`, with its listen set to :8080:
#   docker run -p 8080:8080 -v attune-data:/data -v ./attune.yaml:/etc/attune/attune.yaml:ro attune
ENTRYPOINT ["/attune"]
CMD ["serve", "--config", "/etc/attune/attune.yaml", "--data-dir", "/data", "--listen", ":8080"]

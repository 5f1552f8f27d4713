# One static program, the certificates that it needs to trust a database by, and a folder for SQLite. No shell, no root.
# By its full version; where you can ask the registry, pin the digest too: golang:1.26.8-bookworm@sha256:...
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# What `dragoman version` says; there is no git repository here to ask.
ARG VERSION="" COMMIT="" DATE=""
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" \
        -o /out/dragoman . && mkdir -m 700 /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/dragoman /dragoman
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
# The database is dragoman.db in /data unless the configuration says otherwise.
ENV DRAGOMAN_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/dragoman", "ready"]
ENTRYPOINT ["/dragoman"]
CMD ["serve"]

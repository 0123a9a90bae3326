# A static binary in an empty image: no shell, no package, no root.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /jatak ./cmd/jatak

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /jatak /jatak
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/jatak"]
CMD ["serve"]

# syntax=docker/dockerfile:1
# Two stages: the first builds a virtual environment and its list of parts (SBOM), the second is Python and nothing else.
# Runs as 10001, with a read-only root file system, without a secret inside. Writes to NAHTLOS_STATE and /tmp only.
#
#   docker build -t nahtlos --build-arg VERSION="$(git describe --always)" --build-arg REVISION="$(git rev-parse HEAD)" .
#
# Whoever takes images from a place of their own names it: --build-arg PYTHON_IMAGE=<place>/python:3.13-slim-bookworm@sha256:…
# Packages likewise: --build-arg PIP_INDEX_URL=<mirror>.
# The image has not been built where this file was written, for want of a container engine: hadolint reads it in every check,
# and what its first stage does has been carried out in a plain directory.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_INDEX_URL=${PIP_INDEX_URL}
WORKDIR /src
COPY deploy/constraints.txt deploy/
# The tool that writes the SBOM lives beside what it describes, not in it.
RUN python -m venv /opt/nahtlos \
    && python -m venv /opt/sbom \
    && /opt/sbom/bin/pip install --constraint deploy/constraints.txt cyclonedx-bom
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY connectors connectors
COPY schemas schemas
# Compiled at build time: nothing can be written beside the sources later.
RUN /opt/nahtlos/bin/pip install --constraint deploy/constraints.txt --compile ".[postgres,schematron]" \
    && /opt/nahtlos/bin/pip uninstall --yes pip \
    && /opt/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --of JSON \
       --output-file /opt/nahtlos/sbom.cdx.json /opt/nahtlos/bin/python

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="Nahtlos" \
      org.opencontainers.image.description="Carries applications from the portal to the case system, medienbruchfrei" \
      org.opencontainers.image.licenses="EUPL-1.2" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The directories exist with the right owner, so that a volume mounted there for the first time gets it too.
RUN groupadd --gid 10001 nahtlos \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/nahtlos --shell /usr/sbin/nologin nahtlos \
    && install -d -o nahtlos -g nahtlos -m 0700 /var/lib/nahtlos /var/lib/nahtlos/keys /var/lib/nahtlos/schemas \
       /var/lib/nahtlos/ausgang
COPY --from=build /opt/nahtlos /opt/nahtlos
ENV PATH=/opt/nahtlos/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NAHTLOS_STATE=/var/lib/nahtlos \
    NAHTLOS_SITE=/etc/nahtlos/nahtlos.toml \
    NAHTLOS_HOST=0.0.0.0 \
    NAHTLOS_PORT=8400
USER 10001:10001
VOLUME ["/var/lib/nahtlos"]
EXPOSE 8400
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-m", "gateway.alive"]
ENTRYPOINT ["nahtlos"]
CMD ["serve"]

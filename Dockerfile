# The Python that requirements.txt was pinned for.
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/proteus
WORKDIR /src
COPY requirements.txt ./
RUN /opt/proteus/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements.txt
COPY pyproject.toml LICENSE ./
COPY domain domain
COPY application application
COPY projections projections
COPY api api
RUN /opt/proteus/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
# git reads the clones that changes are traced in; a volume over PROTEUS_HOME takes its owner from the folder here.
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin proteus \
 && install --directory --owner=proteus --group=proteus --mode=0700 /var/lib/proteus
COPY --from=build /opt/proteus /opt/proteus
ENV PATH=/opt/proteus/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PROTEUS_HOME=/var/lib/proteus
VOLUME /var/lib/proteus
USER proteus
EXPOSE 8000
ENTRYPOINT ["proteus"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]

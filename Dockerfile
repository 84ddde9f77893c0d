# One image for all services, the migrations and the demo's models. Builds with BuildKit and with Docker's older
# builder; where pip finds its packages is the base image's affair.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements-image.lock ./
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --quiet --require-hashes --no-deps --only-binary=:all: -r requirements-image.lock

FROM ${PYTHON_IMAGE} AS wheel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements-build.lock ./
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --quiet --require-hashes --no-deps --only-binary=:all: -r requirements-build.lock
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY services services
COPY tierwise tierwise
RUN /opt/build/bin/python -m hatchling build -t wheel -d /dist

FROM ${PYTHON_IMAGE}
# llama.cpp's OpenMP runtime, which the slim image leaves out and no wheel brings.
RUN ldconfig -p | grep -q libgomp.so.1 \
    || (apt-get update -qq && apt-get install -qq --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*)
# A volume starts with the owner and the mode of the folder that it is mounted on.
RUN groupadd --gid 10001 tierwise \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin tierwise \
    && install -d -o tierwise -g tierwise -m 0750 /run/tierwise/nats /run/tierwise/postgres /run/tierwise/demo
COPY --from=dependencies /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=wheel /dist dist
RUN pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --no-index dist/*.whl
COPY migrations migrations
COPY deploy/entrypoint.sh deploy/demo-model.sh deploy/setup.py deploy/healthcheck.py deploy/
# A checkout with a strict umask has files that the image's user could not read.
RUN chmod -R a+rX .
USER tierwise
ENTRYPOINT ["sh", "/app/deploy/entrypoint.sh"]

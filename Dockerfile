# qreg with its own environment; toolchains are installed on first use into the volume /data.
#   make image                          # or: docker build -t qreg .
#   docker run --rm -it -v qreg:/data -v "$PWD":/work qreg demo
#   docker run --rm -v qreg:/data -p 8000:8000 qreg serve ORG/NAME --host 0.0.0.0
#   docker run --rm -v qreg:/data -p 8088:8088 qreg hub serve --host 0.0.0.0
# Inside an Ascend container, install the wheel instead and name the container's own environment:
#   qreg toolchain use vllm-ascend --python "$(command -v python3)"

# A tag names another image tomorrow, a digest never does. Which digest is today's only the registry
# can say: `make image` asks it, builds from python:3.11-slim@sha256:…, and stops where it gets no
# answer. A plain `docker build` takes the tag as it is; to build an image again, name its digest:
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:… -t qreg .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements-dev.txt ./
# What builds the wheel, by hash: hatchling and what it names, out of the pins for development. Wheels
# alone: what pip fetches to build a source distribution has no hash.
RUN awk '/^[^ #]/ { on = /^(hatchling|packaging|pathspec|pluggy|tomli|tomlkit|trove-classifiers)==/ } on' \
      requirements-dev.txt > build.txt \
 && pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r build.txt
COPY pyproject.toml README.md LICENSE ./
COPY qreg qreg
COPY registry registry
COPY toolchains toolchains
COPY quantizers quantizers
COPY serving serving
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation -w /wheels .

FROM ${PYTHON_IMAGE}
# vLLM on CPU is built against OpenMP and numactl.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 libnuma1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 qreg \
 && install -d -o qreg /data /work
COPY requirements.txt /wheels/
RUN pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r /wheels/requirements.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-deps --no-index /wheels/*.whl && pip check && rm -rf /wheels
COPY container/health.py /usr/local/lib/qreg/health.py
USER qreg
ENV QREG_DATA=/data QREG_CACHE=/data/cache
WORKDIR /work
VOLUME /data
# qreg serve; qreg hub serve.
EXPOSE 8000 8088
HEALTHCHECK --interval=30s --timeout=15s --start-period=10s --retries=3 \
  CMD ["python", "/usr/local/lib/qreg/health.py", "8000", "8088"]
ENTRYPOINT ["qreg"]
CMD ["--help"]

# qreg with its own environment; toolchains are installed on first use into the volume /data.
#   docker build -t qreg .
#   docker run --rm -it -v qreg:/data -v "$PWD":/work qreg demo
#   docker run --rm -v qreg:/data -p 8000:8000 qreg serve ORG/NAME --host 0.0.0.0
# Inside an Ascend container, install the wheel instead and name the container's own environment:
#   qreg toolchain use vllm-ascend --python "$(command -v python3)"
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE requirements-dev.txt ./
COPY qreg qreg
COPY registry registry
COPY toolchains toolchains
COPY quantizers quantizers
COPY serving serving
RUN pip install --no-cache-dir build && python -m build --wheel -o /wheels

FROM python:3.11-slim
# vLLM on CPU is built against OpenMP and numactl.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 libnuma1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 qreg \
 && install -d -o qreg /data /work
COPY --from=build /wheels /wheels
COPY requirements-dev.txt /wheels/constraints.txt
RUN pip install --no-cache-dir -c /wheels/constraints.txt "$(ls /wheels/*.whl)[all]" && rm -rf /wheels
USER qreg
ENV QREG_DATA=/data QREG_CACHE=/data/cache
WORKDIR /work
VOLUME /data
ENTRYPOINT ["qreg"]
CMD ["--help"]

# docker build --tag bitlog2 . ; docker run --rm --shm-size 2g bitlog2 golden plan
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ iverilog make perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /bitlog2
COPY . .
# The CPU build of torch where its index is reached, by `--build-arg TORCH=cpu`.
ARG TORCH=default
RUN make TORCH=$TORCH .venv/.ready-$TORCH && .venv/bin/bitlog2 selftest
ENV PATH=/bitlog2/.venv/bin:$PATH
ENTRYPOINT ["bitlog2"]

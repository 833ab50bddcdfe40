# docker build -t ludp-bench .
# docker run -it -v "$PWD/results:/ludp-bench/results" ludp-bench make demo
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /ludp-bench
COPY . .
RUN make setup PYTHON=python3.12
ENV PATH="/ludp-bench/.venv/bin:$PATH"
CMD ["bash"]

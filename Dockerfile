# The page and /v1 on a CPU, the model inside:
#   docker build -t dynrefer . && docker run -p 7860:7860 -e DYNREFER_TOKEN=secret dynrefer
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 dynrefer
WORKDIR /home/dynrefer/app

# torch without its GPU libraries, several GB smaller
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
COPY requirements.txt ./
RUN pip install --no-cache-dir --requirement requirements.txt

COPY README.md LICENSE app.py ./
COPY dynrefer ./dynrefer
COPY checkpoints/dynrefer-mini ./checkpoints/dynrefer-mini
COPY assets/examples ./assets/examples

USER dynrefer
ENV PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
EXPOSE 7860
# Python and Gradio end by it in order; as process 1 they would not hear SIGTERM.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/ready', timeout=4)"]
ENTRYPOINT ["python", "-m", "dynrefer", "serve", "--host", "0.0.0.0"]

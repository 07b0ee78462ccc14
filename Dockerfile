# Two stages: a wheel of the project and its locked packages are put into one environment; the image holds only that.
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

COPY requirements.txt requirements-build.txt ./
RUN python -m venv --without-pip /opt/idp-bridge \
    && pip install --require-hashes --no-deps -r requirements-build.txt \
    && pip --python /opt/idp-bridge/bin/python install --require-hashes --no-deps -r requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY idp_bridge idp_bridge
COPY scim scim
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && pip --python /opt/idp-bridge/bin/python install --no-deps /dist/*.whl


FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin idp-bridge \
    && install --directory --owner=10001 --mode=0700 /data
COPY --from=build /opt/idp-bridge /opt/idp-bridge

ENV PATH=/opt/idp-bridge/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    IDP_BRIDGE_DATABASE_URL=sqlite:////data/idp-bridge.db \
    IDP_BRIDGE_LOG_FORMAT=json
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["idp-bridge", "serve", "--host", "0.0.0.0", "--port", "8000"]

# Airflow with this product and nothing else: the exact versions that the tests run with, on their Python, from the lock
# file. The stock Airflow image brings a hundred providers of other versions, which the lock would have to fight with.
FROM python:3.11-slim AS built
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /build
# By themselves first: they change less often than the code.
COPY requirements.txt .
RUN pip install --requirement requirements.txt
COPY pyproject.toml README.md ./
COPY plugins plugins
COPY sandbox sandbox
# pip compiles what it installs; without that every Airflow process would pay two seconds more at its start.
RUN pip install --no-deps .

FROM python:3.11-slim
# Volumes take over the owner of the folders that they are laid on.
RUN groupadd --gid 50000 airflow \
 && useradd --uid 50000 --gid airflow --home-dir /opt/airflow --no-create-home airflow \
 && mkdir -p /opt/airflow/logs /sandbox /sandbox-ca \
 && chown -R airflow:airflow /opt/airflow /sandbox /sandbox-ca
COPY --from=built /opt/venv /opt/venv
WORKDIR /opt/airflow
COPY plugins/dynamics_plugin.py plugins/
COPY dags dags
COPY include include
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/airflow/plugins \
    DYNAMICS_SYNC_INCLUDE=/opt/airflow/include
USER airflow
EXPOSE 8080
CMD ["airflow", "version"]

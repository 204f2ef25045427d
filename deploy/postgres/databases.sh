#!/bin/bash
# Run once by the postgres image, when its volume is empty: three databases, each with a role of its own that has no right
# on the others. Changed passwords: docs/deployment.md, "Change a secret".
set -euo pipefail

make() { # name of role and database, password
  psql --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres --set name="$1" --set password="$2" <<-'SQL'
	CREATE ROLE :"name" LOGIN PASSWORD :'password';
	CREATE DATABASE :"name" OWNER :"name" ENCODING 'UTF8' TEMPLATE template0;
	REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
	SQL
}

make airflow "$AIRFLOW_DB_PASSWORD"
make dynamics_audit "$AUDIT_DB_PASSWORD"
make celery_results "$CELERY_DB_PASSWORD"

#!/usr/bin/env bash
# Run once by the PostgreSQL image, on an empty volume: one login role and its database.
# `proteus migrate` makes the roles that the server works under; the login role is no superuser and only takes them on.
set -euo pipefail
: "${PROTEUS_DB_PASSWORD:?the password of the login role proteus}"

# \getenv keeps the password out of every process list.
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv password PROTEUS_DB_PASSWORD
create role proteus login nosuperuser createrole nocreatedb noreplication nobypassrls password :'password';
create database proteus owner proteus template template0 encoding 'UTF8'
    locale_provider builtin builtin_locale 'C.UTF-8' locale 'C.UTF-8';
revoke all on database proteus from public;
SQL

#!/bin/sh
# Create the two roles and the database, as a superuser of PostgreSQL 18:
#
#     OWNER_PASSWORD=... APP_PASSWORD=... sh deploy/create-database.sh
#
# PostgreSQL's container image runs this at its first start. psql finds the server by its own
# variables, such as PGHOST and PGUSER.
set -eu
: "${OWNER_PASSWORD:?}" "${APP_PASSWORD:?}"

# The passwords reach psql in its environment, because other users can see a program's arguments.
OWNER_PASSWORD=$OWNER_PASSWORD APP_PASSWORD=$APP_PASSWORD \
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-${PGUSER:-postgres}}" --dbname postgres <<'SQL'
\getenv owner_password OWNER_PASSWORD
\getenv app_password APP_PASSWORD
CREATE ROLE tallybook_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE tallybook_app LOGIN PASSWORD :'app_password';
CREATE DATABASE tallybook OWNER tallybook_owner TEMPLATE template0
    ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C';
SQL

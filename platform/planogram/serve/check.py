"""A serve config before anything starts: its arguments, and who can reach it."""

import ipaddress
from typing import Any

from planogram.errors import ConfigError
from planogram.section import parse
from planogram.serve.auth import gate_of
from planogram.serve.haproxy import bind_address
from planogram.serve.policy import PolicyArgs
from planogram.serve.settings import AppArgs

IMPORT_PATH = "planogram.serve.app:build"
LOOPBACK = "127.0.0.1"


def check(values: dict[str, Any]) -> dict[str, Any]:
    """Check a config before anything starts, and bind loopback where it names no host.

    Raises:
        ConfigError: an argument is wrong, or the host is not loopback and there are no keys.
    """
    applications = values.get("applications")
    if not isinstance(applications, list) or not all(isinstance(entry, dict) for entry in applications):
        raise ConfigError(
            "the config names no `applications`",
            allowed="a Ray Serve config file",
            remedy="see serve_configs/local.yaml",
        )
    http = {"host": LOOPBACK, **(values.get("http_options") or {})}
    host = str(http["host"] or "")
    checked = [_check_application(application, host) for application in applications]
    if not is_loopback(host):
        bind_address(host)
    return {**values, "http_options": http, "applications": checked}


def _check_application(application: dict[str, Any], host: str) -> dict[str, Any]:
    """The application. Where it has keys here, its replicas will not start without them."""
    ours = application.get("import_path") == IMPORT_PATH
    args = application.get("args") or {}
    for deployment in (application.get("deployments") or ()) if ours else ():
        if deployment.get("name") == "Gateway":
            parse(PolicyArgs, deployment.get("user_config") or {}, "the Gateway's user_config")
    if ours and gate_of(AppArgs.model_validate(args).auth):
        # The variable that holds the keys may be missing where the replicas run.
        return {**application, "args": {**args, "auth": {**(args.get("auth") or {}), "required": True}}}
    if not is_loopback(host):
        make = "make a key by `planogram keys create`, and name its file in args.auth.keys_file"
        raise ConfigError(
            f"http_options.host is {host!r}, which other machines can reach, and there are no API keys",
            allowed="127.0.0.1 or another loopback address; any address with keys",
            remedy=make if ours else f"bind loopback: {application.get('name')} is no application that asks for keys",
        )
    return application


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

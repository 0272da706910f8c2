"""`planogram keys`: make, list and revoke API keys."""

import json
from enum import StrEnum
from typing import Annotated

import typer

keys_app = typer.Typer(help="API keys of the server: made, listed, revoked.", no_args_is_help=True)


class ScopeName(StrEnum):
    """What a key may do."""

    READ = "read"
    INGEST = "ingest"
    PRICE = "price"
    ADMIN = "admin"


File = Annotated[str, typer.Option("--file", help="The file of keys: `auth.keys_file` of the server.")]
Name = Annotated[str, typer.Option("--name", help="Of the key: it stands in logs and metrics.")]


@keys_app.command()
def create(
    name: Name,
    file: File,
    scope: Annotated[list[ScopeName], typer.Option(help="What the key may do; repeatable. `admin` has all scopes.")],
    requests_per_s: Annotated[float | None, typer.Option(min=0.001, help="Limit of this key.")] = None,
    burst: Annotated[int | None, typer.Option(min=1, help="Requests at once, of this key.")] = None,
    documents_per_s: Annotated[
        float | None, typer.Option(min=0.001, help="That this key may have ranked or embedded.")
    ] = None,
) -> None:
    """Make a key, print it once, and add its digest to the file.

    Example: planogram keys create --name storefront --scope read --file keys.json
    """
    from planogram.serve.keys import create_key

    key = create_key(
        file,
        name,
        [each.value for each in scope],
        requests_per_s=requests_per_s,
        burst=burst,
        documents_per_s=documents_per_s,
    )
    typer.echo(key)


@keys_app.command("list")
def list_keys(
    file: File, as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False
) -> None:
    """List the keys in a file: names, scopes and limits.

    Example: planogram keys list --file keys.json
    """
    from planogram.serve.keys import read_keys

    rows = [key.model_dump(mode="json", exclude={"digest"}) for key in read_keys(file)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        limit = f"  {row['requests_per_s']:g}/s" if row["requests_per_s"] else ""
        limit += f"  {row['documents_per_s']:g} documents/s" if row["documents_per_s"] else ""
        typer.echo(f"{row['name']}  {'+'.join(row['scopes'])}  {row['created_at']}{limit}")
    if not rows:
        typer.echo("none yet")


@keys_app.command()
def revoke(name: Name, file: File) -> None:
    """Take a key out of the file; servers that run refuse it within a second or two.

    Example: planogram keys revoke --name storefront --file keys.json
    """
    from planogram.serve.keys import revoke_key

    revoke_key(file, name)
    typer.echo(f"{name} is revoked")

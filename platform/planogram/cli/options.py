"""Options that many verbs have."""

from typing import Annotated

import typer

Config = Annotated[str | None, typer.Option("--config", help="YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override one key; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the audit.")]
Alias = Annotated[str, typer.Option("--alias", help="The alias to move.")]
Bundle = Annotated[str | None, typer.Option(help="Stands for --set bundle=…")]

"""`planogram reprice` and `planogram prices`: prices of a catalogue, their audit and their kill switch."""

import getpass
from typing import Annotated

import typer

from planogram import section
from planogram.cli.options import AsJson, Config, Overrides
from planogram.cli.show import show, show_rows

reprice_app = typer.Typer()
prices_app = typer.Typer(help="The kill switch and the audit of prices.", no_args_is_help=True)
Switch = Annotated[str | None, typer.Option("--switch", help="Its file; absent: PLANOGRAM_HOME/prices/STOP.")]
Audit = Annotated[str | None, typer.Option("--audit", help="Its file; absent: PLANOGRAM_HOME/prices/audit.jsonl.")]
Why = Annotated[str, typer.Option("--why", help="Stands in the history of the switch.")]


@reprice_app.command()
def reprice(config_path: Config = None, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Price a whole catalogue within the shop's rules: a proposal, unless apply=true.

    Example: planogram reprice --set demand=shop-demand@champion --set shop=shop --set out=prices
    """
    from planogram.pricing.settings import RepriceConfig
    from planogram.reprice.run import run

    show(run(section.load(RepriceConfig, config_path, settings or ())), as_json)


@prices_app.command()
def stop(why: Why, switch: Switch = None) -> None:
    """Hold all prices at once: servers and jobs on this disk follow within a second.

    Example: planogram prices stop --why "wrong costs were imported"
    """
    from planogram.pricing.paths import open_switch

    open_switch(switch).turn_on(getpass.getuser(), why)
    typer.echo("prices are held")


@prices_app.command()
def start(why: Why, switch: Switch = None) -> None:
    """Let prices change again.

    Example: planogram prices start --why "costs are right again"
    """
    from planogram.pricing.paths import open_switch

    open_switch(switch).turn_off(getpass.getuser(), why)
    typer.echo("prices change again")


@prices_app.command()
def status(switch: Switch = None, as_json: AsJson = False) -> None:
    """Say whether prices are held, since when, by whom and why.

    Example: planogram prices status
    """
    from planogram.pricing.paths import open_switch

    found = open_switch(switch)
    show({"held": found.is_on(), **(found.reason() or {})}, as_json)


@prices_app.command()
def verify(audit: Audit = None) -> None:
    """Check that no line of the audit was changed, lost or put in.

    Example: planogram prices verify
    """
    from planogram.pricing.audit import verify as check
    from planogram.pricing.paths import default_audit

    typer.echo(f"{check(audit or default_audit())} lines, each where it was written")


@prices_app.command()
def replay(audit: Audit = None, as_json: AsJson = False) -> None:
    """Decide every price of the audit again from what was recorded, and say where another one comes out.

    Example: planogram prices replay
    """
    from planogram.pricing.paths import default_audit
    from planogram.pricing.replay import replay as again

    mismatches = again(audit or default_audit())
    if mismatches or as_json:
        show_rows([vars(mismatch) for mismatch in mismatches], as_json)
    else:
        typer.echo("every price comes out again, bit for bit")
    if mismatches:
        raise typer.Exit(1)


@prices_app.command("show")
def show_product(
    product_id: Annotated[str, typer.Argument(metavar="PRODUCT")],
    audit: Audit = None,
    out: Annotated[
        str | None, typer.Option(help="A PNG of the prices, and of the demand that the last expects.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say when a product got which price, and what set it.

    Example: planogram prices show p-17 --out p-17.png
    """
    from planogram import storage
    from planogram.pricing.history import history
    from planogram.pricing.paths import default_audit
    from planogram.pricing.picture import picture

    found = history(audit or default_audit(), product_id)
    if out:
        storage.write_bytes(out, picture(found))
    rows = [
        {"at": d.at, "before": d.item.current_price, "price": d.price, "rule": d.rule, "elasticity": d.curve.elasticity}
        for d in found
    ]
    show_rows(rows, as_json)

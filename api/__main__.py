"""`python -m api` serves both doors; `… keys` manages callers' keys, `… webhooks` their secrets, and so on."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
import uvloop

from api import keys, prices, registry, rules, webhooks
from api.serve import serve
from gateway import telemetry
from gateway.settings import SettingsError, load

app = typer.Typer(
    no_args_is_help=False, add_completion=False, help="The gateway's API process and its tools."
)
app.add_typer(keys.app, name="keys")
app.add_typer(prices.app, name="prices")
app.add_typer(registry.app, name="registry")
app.add_typer(rules.app, name="rules")
app.add_typer(webhooks.app, name="webhooks")


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="REST port instead of api.port.")] = None,
) -> None:
    """Serve REST and gRPC until told to stop."""
    if context.invoked_subcommand is not None:
        return
    try:
        settings = load()
    except SettingsError as e:
        sys.exit(str(e))
    if port is not None:
        settings = settings.model_copy(update={"api": settings.api.model_copy(update={"port": port})})
    telemetry.set_up_logs(settings.telemetry)
    telemetry.set_up_traces(settings.telemetry)
    telemetry.set_up_metrics(settings.telemetry)
    try:
        uvloop.run(serve(settings))
    except (SettingsError, ValueError) as e:
        sys.exit(str(e))
    finally:
        telemetry.close_traces()


if __name__ == "__main__":
    app()

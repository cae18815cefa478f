"""`python -m gateway.settings check FILE | show [FILE]`: is a configuration right, and what comes of it."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gateway.settings import SettingsError, load
from gateway.settings.values import masked

program = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, help=__doc__, no_args_is_help=True
)


@program.command()
def check(file: Annotated[Path, typer.Argument(help="The file to check, with all it includes.")]) -> None:
    """Say "ok", or what is wrong: one line for each mistake, on the standard error."""
    try:
        load(file)
    except SettingsError as error:
        _give_up(error)
    sys.stdout.write("ok\n")


@program.command()
def show(
    file: Annotated[
        Path | None, typer.Argument(help="GATEWAY_CONFIG or config/local.conf, unless said.")
    ] = None,
) -> None:
    """Print every setting as files and environment make it, as JSON (which is HOCON too), secrets masked."""
    try:
        settings = load(file)
    except SettingsError as error:
        _give_up(error)
    sys.stdout.write(
        json.dumps(_masked(settings.model_dump(mode="json")), indent=2, ensure_ascii=False) + "\n"
    )


def _give_up(error: SettingsError) -> NoReturn:
    sys.stderr.write(f"{error}\n")
    raise typer.Exit(1)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return masked(value) if isinstance(value, str) else value


if __name__ == "__main__":
    program(prog_name="python -m gateway.settings")

"""`python -m infra.local`: see `up --help`."""

from infra.local.cli import app

app(prog_name="python -m infra.local")

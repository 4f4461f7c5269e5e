"""The ``prerec-pyro`` command group. It imports a command only when the command runs."""

from __future__ import annotations

import importlib
from typing import Any

import click

from prerec_pyro.cli import allocator, console

# Name → short help. A command is the object `command` of the module `prerec_pyro.cli.commands.<name>`.
COMMANDS = {
    "data": "Import, simulate and describe domains.",
    "train": "Pre-train on source domains, or fine-tune on a target.",
    "infer": "Write the top items for each user of a domain.",
    "evaluate": "Measure models and baselines on a domain.",
    "diagnose": "Infer and check the posterior of a domain's latent variables.",
    "dial": "Vary the effect of popularity on recommendations.",
    "effect": "Measure the effect of the confounders on recommendations.",
    "drift": "Test whether a domain has drifted (exit status 3 if so).",
    "tune": "Search hyperparameters on validation users.",
    "reproduce": "Reproduce the paper's tables and figures on given domains.",
}


class LazyGroup(click.Group):
    """A command group that lists the commands of `COMMANDS` and imports one when it is invoked.

    Each command runs inside `console.conversation`, so all of them handle bad input, interruptions and bugs in the
    same way.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command after importing its module, or None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"prerec_pyro.cli.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from `COMMANDS`, so that `--help` imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Return the result of the command; `console.conversation` handles its errors."""
        allocator.keep_freed_memory()
        allocator.limit_onednn_cache()
        with console.conversation(ctx):
            return super().invoke(ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="prerec-pyro", prog_name="prerec-pyro")
@console.verbosity
def main() -> None:
    """Recommend in a new store with a causal model that is pre-trained on other stores.

    Import logs as domains, pre-train on them, recommend in a new domain from its first day, and fine-tune as data
    arrive. `prerec-pyro COMMAND --help` describes each command.
    """

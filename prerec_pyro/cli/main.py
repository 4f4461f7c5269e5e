"""``prerec-pyro``: the commands, each imported only when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

import click

from prerec_pyro.cli import allocator, console

# Name → short help. A command is the object `command` of the module `prerec_pyro.cli.<name>`.
COMMANDS = {
    "data": "Bring logs in as domains, draw synthetic domains, describe them.",
    "train": "Pre-train on source domains.",
    "infer": "Write the top items for each user of a domain.",
    "evaluate": "Measure models and baselines on a domain.",
    "diagnose": "Say what a domain's log tells of D and S, and whether to trust it.",
    "dial": "Turn the effect of popularity down, off and up.",
    "effect": "Say what the confounders do to recommendations.",
    "drift": "Say whether a domain has drifted; status 3 if so.",
    "tune": "Search the paper's hyperparameters on validation users.",
    "reproduce": "The paper's tables and figures on given domains.",
}


class LazyGroup(click.Group):
    """A group whose commands are listed from `COMMANDS` and imported when one is invoked.

    All that a command does or says happens inside `console.conversation`, so that every command answers bad input,
    an interruption or a bug in the same way.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, its module imported; ``None`` where there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"prerec_pyro.cli.commands.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table: `--help` imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Return what the command returns; see `console.conversation` for what happens to errors."""
        allocator.keep_freed_memory()
        allocator.forget_products()
        with console.conversation(ctx):
            return super().invoke(ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="prerec-pyro", prog_name="prerec-pyro")
@console.verbosity
def main() -> None:
    """A recommender that is trained before the store opens.

    Import logs as domains, pre-train on the domains you have, recommend in a new one from its first day, and
    fine-tune as data arrive.
    """

"""The command group: help, lazy imports and exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from prerec_pyro.cli import main as main_module
from prerec_pyro.cli.main import COMMANDS, main
from prerec_pyro.errors import InputError


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Add a command `answer` to `COMMANDS`; return the list of modules imported for it."""
    imported: list[str] = []

    @click.command()
    @click.argument("how")
    def answer(how: str) -> None:
        """Answer."""
        errors = {
            "input": InputError("a.csv, line 3: no such thing; mend it"),
            "bug": KeyError("a bug"),
            "eof": EOFError(),
        }
        if how in errors:
            raise errors[how]
        if how == "interrupt":
            raise KeyboardInterrupt
        click.echo("fine")

    def import_module(name: str) -> types.SimpleNamespace:
        imported.append(name)
        return types.SimpleNamespace(command=answer)

    monkeypatch.setitem(COMMANDS, "answer", "Answer at once.")
    monkeypatch.setattr(main_module.importlib, "import_module", import_module)
    return imported


def test_help_lists_the_commands_and_imports_none(command: list[str]) -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, help_text in COMMANDS.items():
        assert f"  {name} " in result.stdout
        assert help_text in result.stdout
    assert command == []


def test_the_commands_of_the_contract_exist() -> None:
    contract = {"data", "train", "infer", "evaluate", "diagnose", "dial", "effect", "drift", "tune", "reproduce"}
    assert set(COMMANDS) == contract


def test_the_list_of_commands_fits_80_columns() -> None:
    assert all(text.endswith(".") for text in COMMANDS.values())
    printed = CliRunner(env={"COLUMNS": "80"}).invoke(main, []).output.splitlines()
    listed = printed[printed.index("Commands:") + 1 :]
    assert [line.split()[0] for line in listed] == list(COMMANDS), "one line each"


def test_a_command_is_imported_when_invoked(command: list[str]) -> None:
    result = CliRunner().invoke(main, ["answer", "well"])
    assert (result.exit_code, result.stdout) == (0, "fine\n")
    assert command == ["prerec_pyro.cli.commands.answer"]


def test_a_command_is_imported_for_its_own_help(command: list[str]) -> None:
    result = CliRunner().invoke(main, ["answer", "-h"])
    assert (result.exit_code, command) == (0, ["prerec_pyro.cli.commands.answer"])
    assert "Usage: main answer [OPTIONS] HOW" in result.stdout


def test_bad_input_is_one_message_and_status_2(command: list[str]) -> None:
    result = CliRunner().invoke(main, ["answer", "input"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: a.csv, line 3: no such thing; mend it\n"


def test_an_interruption_is_status_130(command: list[str]) -> None:
    result = CliRunner().invoke(main, ["answer", "interrupt"])
    assert (result.exit_code, result.stderr) == (130, "\nInterrupted.\n")


@pytest.mark.parametrize(("how", "kind"), [("bug", KeyError), ("eof", RuntimeError)])
def test_a_bug_is_not_caught(command: list[str], how: str, kind: type[Exception]) -> None:
    result = CliRunner().invoke(main, ["answer", how])
    assert result.exit_code == 1
    assert type(result.exception) is kind


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["answer"], ["answer", "a", "b"]])
def test_wrong_options_are_status_2(command: list[str], arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")


def test_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.stdout == f"prerec-pyro, version {version('prerec-pyro')}\n"


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "prerec_pyro", "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: prerec-pyro [OPTIONS] COMMAND")


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["data", "--help"], ["data", "import", "csv", "--help"], ["--version"]]
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import contextlib, json, sys\n"
        "from click import ClickException\n"
        "from prerec_pyro.cli.main import main\n"
        "with contextlib.suppress(ClickException):  # help without arguments is one\n"
        f"    main({arguments!r}, standalone_mode=False)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stderr))
    assert "click" in loaded
    assert loaded & {"torch", "pandas", "numpy", "pyarrow", "pyro", "arviz", "matplotlib", "pydantic", "tqdm"} == set()


def test_infer_imports_neither_encoder_nor_statistics_nor_plots() -> None:
    done = python(
        "import json, sys\n"
        "from prerec_pyro.cli.commands import infer\n"
        "import prerec_pyro.recommenders.calibrated, prerec_pyro.recommenders.registry\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stderr))
    assert "pyro" in loaded
    heavy = {
        "sentence_transformers",
        "transformers",
        "scipy.stats",
        "scipy.sparse",
        "arviz",
        "matplotlib",
        "accelerate",
    }
    assert loaded & heavy == set()


def test_a_bug_shows_its_traceback_on_the_real_terminal() -> None:
    code = (
        "import sys, types, click\n"
        "from prerec_pyro.cli.main import COMMANDS, main\n"
        "@click.command()\n"
        "def command(): raise KeyError('a bug')\n"
        "COMMANDS['broken'] = 'Break.'\n"
        "sys.modules['prerec_pyro.cli.commands.broken'] = types.SimpleNamespace(command=command)\n"
        "main(['broken'])"
    )
    done = python(code)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "KeyError: 'a bug'" in done.stderr

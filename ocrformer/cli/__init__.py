"""The command line, one module per command; each imports what it needs only when it runs."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import sys
import warnings
from typing import Any

import click

from ocrformer import __version__
from ocrformer.cli.attend import attend
from ocrformer.cli.bench import bench
from ocrformer.cli.calibrate import calibrate
from ocrformer.cli.data import data
from ocrformer.cli.evaluate import evaluate
from ocrformer.cli.export import export
from ocrformer.cli.read import read
from ocrformer.cli.serve import serve
from ocrformer.cli.train import synth, train

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning OpenMP threads starve any other busy process
os.environ.setdefault("GOMP_SPINCOUNT", "0")


class _Program(click.Group):
    """Commands that end as shells expect when nobody listens any more: click's own status would be 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run one."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            ctx.exit(141)  # 128 + SIGPIPE


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ocrformer")
def main() -> None:
    """Read text-line images; make, train and measure the models that do."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know fewer letters than texts have
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of pictures that are read all the same
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")  # the limit here is another


for command in (attend, bench, calibrate, data, evaluate, export, read, serve, synth, train):
    main.add_command(command)


def run() -> None:
    """The program: `main`, and an end without the half second that unloading torch's libraries takes."""
    code: int | str | None = 0
    try:
        code = main(prog_name="ocrformer", standalone_mode=False)
    except SystemExit as stop:
        code = 130 if isinstance(stop.__context__, KeyboardInterrupt) else stop.code  # Lightning's would be 1
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:  # Ctrl-C
        code = 130
    except OSError as error:  # a full disk behind standard output, say; commands answer for their own files
        click.echo(f"Error: cannot write the output ({error.strerror or error})", err=True)
        code = 2
    atexit._run_exitfuncs()  # private, but the only way to run them before os._exit, which does not
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None where it was closed from the start
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code if isinstance(code, int) else bool(code))

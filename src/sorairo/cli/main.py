"""The `sorairo` command: one file per verb, all of them light to import (see tests/cli/test_main.py)."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Annotated, NoReturn

import typer

from sorairo.cli import (
    animate,
    audit,
    blend,
    connect,
    data,
    edit,
    extend,
    loop,
    models,
    picture,
    recut,
    redteam,
    remix,
    storyboard,
    styles,
    upscale,
    worlds,
)
from sorairo.cli import eval as evaluation
from sorairo.cli.errors import guarded
from sorairo.cli.expand import EXAMPLES as EXPAND_EXAMPLES
from sorairo.cli.expand import expand
from sorairo.cli.export import EXAMPLES as EXPORT_EXAMPLES
from sorairo.cli.export import export
from sorairo.cli.generate import EXAMPLES, generate
from sorairo.cli.scene import EXAMPLES as SCENE_EXAMPLES
from sorairo.cli.scene import scene
from sorairo.cli.serving import SERVE_EXAMPLES, WORKER_EXAMPLES, keys, serve, worker
from sorairo.cli.show import show
from sorairo.cli.train import train
from sorairo.cli.verify import EXAMPLES as VERIFY_EXAMPLES
from sorairo.cli.verify import verify
from sorairo.cli.whose import EXAMPLES as WHOSE_EXAMPLES
from sorairo.cli.whose import whose
from sorairo.version import VERSION

__all__ = ["app", "run"]

app = typer.Typer(
    name="sorairo",
    help="Words in, video out; trained, run and scored on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command(epilog=EXAMPLES)(generate)
app.command(epilog=animate.EXAMPLES)(animate.animate)
app.command(epilog=extend.EXAMPLES)(extend.extend)
app.command(epilog=loop.EXAMPLES)(loop.loop)
app.command(epilog=connect.EXAMPLES)(connect.connect)
app.command(epilog=edit.EXAMPLES)(edit.edit)
app.command(epilog=recut.EXAMPLES)(recut.recut)
app.command(epilog=remix.EXAMPLES)(remix.remix)
app.command(epilog=storyboard.EXAMPLES)(storyboard.storyboard)
app.command(epilog=blend.EXAMPLES)(blend.blend)
app.command(epilog=upscale.EXAMPLES)(upscale.upscale)
app.command(epilog=picture.EXAMPLES)(picture.picture)
app.command(epilog=EXPAND_EXAMPLES)(expand)
app.command(epilog=SCENE_EXAMPLES)(scene)
app.command()(show)
app.command(epilog=VERIFY_EXAMPLES)(verify)
app.command(epilog=WHOSE_EXAMPLES)(whose)
app.command()(train)
app.command(epilog=EXPORT_EXAMPLES)(export)
app.command(epilog=SERVE_EXAMPLES)(serve)
app.command(epilog=WORKER_EXAMPLES)(worker)
app.add_typer(keys, name="keys")
app.add_typer(audit.app, name="audit")
app.add_typer(redteam.app, name="redteam")
app.add_typer(data.app, name="data")
app.add_typer(worlds.app, name="worlds")
app.add_typer(models.app, name="models")
app.add_typer(styles.app, name="styles")
app.add_typer(evaluation.app, name="eval")


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"sorairo {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run() -> NoReturn:
    """The entry point: quiet libraries, one line for an error, no traceback for what the user can mend."""
    logging.basicConfig(level=logging.WARNING, format="sorairo: %(message)s")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    guarded(lambda: app(prog_name="sorairo", standalone_mode=False))

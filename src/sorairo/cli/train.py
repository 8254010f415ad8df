"""sorairo train: run a recipe, continue it, or bring a held run to its end."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.options import with_fields
from sorairo.cli.tuning import Tuning
from sorairo.types import UserError

__all__ = ["train"]


@with_fields(Tuning, "tuning")
def train(
    recipe: Annotated[str, typer.Argument(help="A name in recipes/, or the path of a .py file.")],
    run: Annotated[
        Path, typer.Option("--run", help="The folder of the run. The same folder again continues the run.")
    ],
    hours: Annotated[
        float | None, typer.Option(help="Stop after this many hours of training in total.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Stop at this step. Default: the recipe's last step.")
    ] = None,
    decay: Annotated[int | None, typer.Option(help="Decay the learning rate to zero over N steps.")] = None,
    to: Annotated[Path | None, typer.Option(help="With --decay: the folder for the decayed copy.")] = None,
    linear: Annotated[
        bool, typer.Option("--linear", help="With --decay: a linear decay, not 1-sqrt.")
    ] = False,
    data_only: Annotated[bool, typer.Option("--data-only", help="Make the training data, and stop.")] = False,
    recaption: Annotated[
        bool,
        typer.Option(
            "--recaption",
            help="Rewrite the captions of its clips in the world's present sentences, and stop.",
        ),
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="Export the averaged weights to this folder, and stop.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Start a new run from the weights of this model (name or folder)."),
    ] = None,
    processes: Annotated[
        int, typer.Option(help="Split every batch among N processes; on a CPU, one for each core.")
    ] = 1,
    shard: Annotated[
        int, typer.Option(help="Divide the weights and the optimizer's state among N processes (FSDP2).")
    ] = 1,
    context: Annotated[
        int, typer.Option(help="Divide the tokens of every clip among N processes (Ulysses).")
    ] = 1,
    device: Annotated[
        str,
        typer.Option(
            help="Train on this device of torch: cpu, cuda, cuda:1; auto is CUDA where there is one."
        ),
    ] = "auto",
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Continue the run with changed settings.")
    ] = False,
    *,
    tuning: Tuning,
) -> None:
    """Train a recipe in the folder --run. After a stop or a crash the same command continues it, bit for bit.

    Your own clips: sorairo data build CLIPS DATA, then sorairo train finetune --data DATA --run RUN
    """
    import logging
    import os

    # Threads that spin while they wait make a step several times slower as soon as anything else wants the
    # processor; measured in docs/training.md. Read once, when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Compiled kernels live with the run, so that a restart is quick; also read when torch is imported.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(run.absolute() / "cache"))
    logging.getLogger("sorairo").setLevel(logging.INFO)
    from sorairo.nn.together import join
    from sorairo.training.decay import begin_decay
    from sorairo.training.decay import decay as run_decay
    from sorairo.training.loop import Trainer
    from sorairo.training.loop import train as run_train
    from sorairo.training.parallel.placement import find_device
    from sorairo.training.parallel.processes import teammates
    from sorairo.training.recipes import load_recipe
    from sorairo.training.warm_start import warm_start

    found = load_recipe(recipe)
    build = found.build
    if found.options is not None:
        build = partial(build, options=found.options({**tuning.given, "steps": steps, "device": device}))
    elif tuning.given:
        raise UserError(
            f"The recipe {found.name!r} takes no options for fine-tuning; they belong to finetune."
        )
    if (decay is None) != (to is None):
        raise UserError("--decay STEPS and --to DIR go together.")
    if recaption:
        if found.recaption is None:
            raise UserError(f"The recipe {found.name!r} has no captions to rewrite.")
        new, kept = found.recaption(run)
        print(
            f"{new} clips have new captions, {kept} kept theirs; a run that is on has them when it starts again"
        )
        return
    if not data_only:
        find_device(device)  # refused now, not after an hour of rendering
    leads = os.environ.get("RANK", "0") == "0"
    if found.data and export is None and leads:
        found.data(to or run, data_only)
    if data_only:
        return
    if export is not None:
        objective, config = build(run)
        Trainer(objective, replace(config, device=device), run).export(export)
        return
    if to is not None and leads:
        begin_decay(run, to)
    with teammates(processes):
        join()  # the others wait here until the data are made
        first = begin_decay(run, to) if to is not None else 0
        objective, config = build(to or run)
        config = replace(config, device=device, shard=shard, context=context)
        if start is not None:
            warm_start(objective, start)
        if decay is not None and to is not None:
            shape = "linear" if linear else "1-sqrt"
            outcome = run_decay(objective, config, to, first=first, steps=decay, shape=shape)
        else:
            config = config if steps is None else replace(config, steps=steps)
            outcome = run_train(objective, config, run, hours=hours, accept_changes=accept_changes)
    if outcome.signal is not None:
        raise typer.Exit(128 + outcome.signal)

"""The one training loop."""

import contextlib
import functools
import itertools
import time
from collections.abc import Sequence

import jax

from babeldraw import files
from babeldraw.objectives.base import Objective
from babeldraw.parallel import failing, processes
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import placing
from babeldraw.ranges import Count, Seed, Weight, Whole
from babeldraw.training import agreement
from babeldraw.training.batches import batch_layout
from babeldraw.training.feeding import batch_of, checked, name_examples
from babeldraw.training.frozen import check_constants
from babeldraw.training.keeping import class_names
from babeldraw.training.keeping.checkpoint_files import put_host_arrays
from babeldraw.training.keeping.checkpoints import load_constants, save_constants
from babeldraw.training.keeping.claim import claim, writing_to
from babeldraw.training.keeping.history import refuse_to_begin_anew
from babeldraw.training.keeping.init_from import InitFrom, read_start
from babeldraw.training.keeping.manifest import keep_manifest
from babeldraw.training.keeping.model_info import count_parameters
from babeldraw.training.keeping.prompts import keep_prompts
from babeldraw.training.keeping.run_directory import open_metrics, write_run_files
from babeldraw.training.keeping.saving import Checkpoints
from babeldraw.training.keeping.settings import keep_settings
from babeldraw.training.keeping.starting import first_state, tell_start
from babeldraw.training.keeping.starts import keep_start
from babeldraw.training.keeping.steps import whole_steps
from babeldraw.training.machine import Machine
from babeldraw.training.prefetch import Prefetch
from babeldraw.training.state import TrainState, abstract_state, describe_state
from babeldraw.training.step import check_parts, compile_step
from babeldraw.training.stopping import Interrupted, StopRequest
from babeldraw.training.watching import hooks as hooks_lib
from babeldraw.training.watching.hooks import BatchSource
from babeldraw.training.watching.hosts import SlowestHost
from babeldraw.training.watching.looked import Looked
from babeldraw.training.watching.looks import make_looks
from babeldraw.training.watching.metrics import Writer
from babeldraw.training.watching.profiler import Profiler
from babeldraw.training.watching.suite import Suite, score_suite
from babeldraw.training.watching.watchdog import Watchdog
from babeldraw.training.watching.window import MetricWindow


def train(
    objective: Objective,
    *,
    model_dir: str,
    train_dataset: BatchSource,
    train_steps: Count,
    machine: Machine,
    eval_dataset: BatchSource | None = None,
    seed: Seed = 0,
    log_every: Count = 50,
    eval_every: Whole = 0,
    eval_batches: Count = 8,
    pictures_every: Whole = 0,
    max_skipped_steps: Count = 10,
    profile_steps: str = "",
    stuck_seconds: Weight = 1200.0,
    wandb_project: str = "",
    begin_anew: bool = False,
    allow_other_data: bool = False,
    init_from: InitFrom | None = None,
    suite: Suite | None = None,
    config_text: str = "",
    on_metrics: Writer | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> TrainState:
    """Trains an objective to `train_steps`, from the latest checkpoint in `model_dir` if any.

    A run that was stopped and started again takes the same steps as one that was not: state,
    data and keys depend on the step alone. The frozen networks of a run are those that it
    started with; they are kept in `model_dir`.

    Args:
      objective: what is minimised.
      model_dir: the run directory; made where it is missing.
      train_dataset: where batches come from, such as `data.pipeline.Dataset`.
      train_steps: the last step, counted from the start of the run.
      machine: where this runs.
      eval_dataset: held-out batches, for evaluation and pictures.
      seed: of the parameters and of every step's randomness.
      log_every: steps between log lines; their values are means over those steps.
      eval_every: steps between evaluations (with alarms), if there is `eval_dataset`; 0 for none.
      eval_batches: how many batches of each dataset are evaluated, always the same.
      pictures_every: steps between sheets of pictures (see watching/looks.py); 0 for none.
      max_skipped_steps: the run stops when so many steps in a row had a loss or gradient that is
        not finite, or a spike where the optimizer looks out for spikes. In such a step the player
        whose it is does not move; they are counted.
      profile_steps: the first and the last step of a trace, as "10:15"; see watching/profiler.py.
      stuck_seconds: a step that takes longer, with what is due after it, has every process print
        its stacks; 0 for never.
      wandb_project: of Weights & Biases, where the metrics go as well; "" for none.
      begin_anew: at step 0 where `model_dir` has records of a run and has lost its checkpoints.
      allow_other_data: go on where the dataset is not the one that the run has been trained with.
      init_from: the other run that this one starts from; see keeping/init_from.py.
      suite: prompts that are drawn and scored every so often; see watching/suite.py.
      config_text: the recipe, written as config.gin.
      on_metrics: called with (step, split, values) at every record, in process 0.
      devices: those of the mesh; all by default.

    Returns:
      The state after the last step, which is also saved.

    Raises:
      UserError: the mesh, the data or an earlier checkpoint does not fit the recipe, too many
        steps were skipped, or the directory is another run's or cannot be written to.
      Stopped: by SIGTERM or Ctrl-C; what was done has been saved, unless steps are just being
        skipped.
    """
    began_run = time.perf_counter()
    parts = {"objective": objective, "train_dataset": train_dataset, "eval_dataset": eval_dataset}
    # 1. The machine: its mesh, and the rules that place arrays on it.
    objective = objective.with_execution(machine.execution)
    mesh = make_mesh(machine.mesh, devices)
    directory = files.path(model_dir)
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing_to(model_dir))
        stack.enter_context(claim(model_dir))
        stop = stack.enter_context(StopRequest())
        stack.enter_context(placing(mesh, machine.rules))

        # 2. What the state looks like, and whether this run has been here before. What cannot
        # be trained is refused in 2 to 4, before anything is written.
        if not begin_anew:
            refuse_to_begin_anew(model_dir)
        variables = describe_state(objective, mesh, machine.rules)
        target = abstract_state(objective, variables)
        check_parts(objective)
        layout = batch_layout(objective, train_dataset.batch_size, mesh, machine.rules)
        init_from = init_from if init_from and init_from.model_dir else None
        start_from = None
        if init_from and not whole_steps(model_dir):
            start_from = read_start(init_from, objective, variables, train_dataset)
        checkpoints = Checkpoints(
            model_dir, keep=machine.checkpoint_keep, seed=seed, variables=variables
        )
        stack.callback(checkpoints.close)

        # 3. The state: resume > INIT_FROM > fresh. The constants: kept ones > the objective's.
        restored = checkpoints.restore_latest(target)
        if restored is None:
            constants = objective.constants()
            check_constants(objective, constants)
            state = first_state(objective, seed, target, start_from)
        else:
            state = restored
            constants = load_constants(model_dir)
            check_constants(objective, constants)
            _say(f"resumed from step {int(state.step)} of {model_dir}")
        start = int(state.step)
        if start >= train_steps:
            keep_settings(directory, parts, done=True)
            _say(f"{model_dir} has been trained to step {start} already")
            return state
        for dataset in filter(None, (train_dataset, eval_dataset)):
            objective.check_dataset(dataset, constants)
        held = objective.held(constants)
        held = put_host_arrays(held, objective.constant_shardings(held, mesh, machine.rules))

        # 4. Batches, from the step that comes next. Data that cannot be read is refused here.
        host_batches = train_dataset.batches(
            process_index=layout.share.index,
            process_count=layout.share.count,
            start_step=start,
        )
        batches = stack.enter_context(Prefetch(checked(objective, layout, host_batches)))
        with failing.together():
            looked = Looked.at(
                objective,
                constants,
                held,
                train_dataset,
                eval_dataset,
                eval_batches,
                seed,
                mesh,
                machine.rules,
            )
            feed = itertools.chain([batch_of(start + 1, train_steps, batches)], batches)

        # 5. What the run goes on from: from here on the directory is this run's.
        before = restored is not None
        if not before:
            save_constants(model_dir, constants)
        asked = init_from.asked() if init_from else None
        began_from = start_from.record if start_from else asked
        keep_manifest(
            directory, objective, constants, train_dataset, before, allow_other_data, began_from
        )
        keep_settings(directory, parts, done=False)
        keep_prompts(directory, objective, train_dataset, eval_dataset)
        classes: Sequence[str] = getattr(train_dataset, "class_names", tuple)()
        if classes:
            agreement.by_first(lambda: class_names.write(directory, classes))
        if start_from is not None and restored is None:
            tell_start(directory, start_from, constants)
            checkpoints.save(0, state)  # From now on the other run may change, or be gone.
            start_from = None  # Frees the host's memory.

        # 6. The step, compiled once.
        began = time.perf_counter()
        train_step, names = compile_step(objective, seed, target, held, layout, mesh)
        processes.meet()
        _say(
            f"{count_parameters(variables):,} parameters on {mesh.size} device(s); "
            f"compiled the step in {time.perf_counter() - began:.1f} s"
        )

        # 7. What is written, and when.
        write_run_files(directory, config_text, machine, variables, mesh, start)
        keep_start(directory, start, seed, mesh)
        write, show = open_metrics(directory, start, train_steps, on_metrics, wandb_project)
        window = MetricWindow(
            names,
            max_skipped_in_a_row=max_skipped_steps,
            began=began_run,
            describe_batch=functools.partial(name_examples, train_dataset, layout),
        )
        flops = objective.flops()
        peak = machine.peak_flops * mesh.size
        hooks: list[hooks_lib.Hook] = [
            hooks_lib.LogMetrics(
                log_every,
                window,
                write,
                train_dataset.batch_size,
                SlowestHost(lambda: batches.waited),
                flops.model(train_dataset.batch_size) / peak if flops and peak else None,
            )
        ]
        looks = score_suite(suite, looked, write) + make_looks(
            looked,
            directory,
            (eval_every, pictures_every),
            (start, train_steps),
            write,
            show,
        )
        hooks += looks
        every = machine.checkpoint_every or train_steps
        save = hooks_lib.SaveCheckpoint(every, checkpoints, window, train_steps)
        hooks.append(save)

        profiler = stack.enter_context(Profiler(profile_steps, directory / "profile"))
        watchdog = stack.enter_context(Watchdog(stuck_seconds))

        # 8. The steps. A failure is told to other processes before anything is closed.
        stack.enter_context(failing.together())
        stop.started()
        done = start
        try:
            for step in range(start + 1, train_steps + 1):
                if stop.reached(step):
                    raise Interrupted
                watchdog.beat()
                profiler.before(step)
                with stop.interrupting():
                    batch = batch_of(step, train_steps, feed)
                state, metrics = train_step(state, held, batch)
                done = step
                window.add(step, metrics)
                profiler.after(step, metrics)
                due = [hook for hook in hooks if hooks_lib.is_due(hook.every, step, train_steps)]
                if due:
                    window.check()  # A run that is to stop is neither shown nor saved.
                    began = time.perf_counter()
                    for hook in due:
                        with stop.interrupting() if hook in looks else contextlib.nullcontext():
                            hook(step, state)
                    window.exclude(time.perf_counter() - began)
            checkpoints.wait()
        except Interrupted:
            stop.saving()
            window.check()
            save(done, state)
            checkpoints.wait()
            raise stop.stopped(
                f"after step {done}; the same command goes on from step "
                f"{checkpoints.latest_step()} of {model_dir}, which is saved"
            ) from None
    return state


def _say(text: str) -> None:
    if jax.process_index() == 0:
        print(text, flush=True)

"""Says, before the first step, everything that follows from configuration and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from trainer.data import chat, pairset
from trainer.estimate import ENOUGH
from trainer.loop import environment
from trainer.model.pretrained import first_names, left_out
from trainer.precision import format_precision

if TYPE_CHECKING:
    from trainer.loop.session import Session

SAMPLES = 3
SHOWN_CHARACTERS = 400


def report(session: Session, counts: tuple[int, int]) -> None:
    """Derived numbers, three pairs as the model sees them, and warnings: printed, and as events."""
    trained, parameters = counts
    sets = {name or "val": pairs.report.facts() for name, pairs in session.validation.items()}
    leaks = {name or "val": asdict(pairset.overlap(session.train, pairs)) for name, pairs in session.validation.items()}
    session.reporter.report(
        "derived",
        session.progress.step,
        **asdict(session.derived),
        num_epochs=session.config.num_epochs,
        val_pairs=len(session.validation[""]),
        parameters=parameters,
        trainable=trained,
        train=session.train.report.facts(),
        validation=sets,
        leakage=leaks,
    )
    for line in lines(session, trained, parameters):
        session.reporter.line(line)
    for name, leak in leaks.items():
        warn_of_leak(session, name, leak)
    for name, pairs in {"training": session.train, **session.validation}.items():
        warn_of_length(session, name or "validation", pairs.report)
        report_habits(session, name or "validation", pairs.report)
    warn_of_coverage(session)
    if session.model.noise:
        session.reporter.warn("own_noise", session.model.noise)
    if not session.config.init_from:
        made = session.model
        for warning in left_out(made.classifier, made.unused, made.new_parts, session.config.model):
            session.reporter.warn("left_out", warning)
    for problem in session.spec.warnings:
        session.reporter.warn("unusual", str(problem))
    show_samples(session)


def warn_of_coverage(session: Session) -> None:
    """Much of the body has no adapter, as asked for or not."""
    share, named = session.model.coverage, session.config.lora.target_modules
    if share >= ENOUGH:
        return
    why = "experts that are not linear layers, say (lora.target_parameters = auto)"
    if named not in (["auto"], ["all-linear"]):
        why = f"lora.target_modules names {', '.join(named)} only"
    session.reporter.warn(
        "coverage",
        f"the adapter reaches {share:.0%} of the body's weights (embeddings aside); the rest stays as it is: {why}. "
        "Name more in lora.target_modules, or train with method = full",
    )


def lines(session: Session, trained: int, parameters: int) -> list[str]:
    """The derived numbers in words."""
    derived, config = session.derived, session.config
    shorter = (
        f", the last of {derived.last_step_pairs} pairs" if derived.last_step_pairs < derived.effective_batch else ""
    )
    return [
        f"model: {config.model}, {trained:,} of {parameters:,} parameters are trained ({config.method})",
        *head_lines(session),
        *(
            file_line(name or "validation", pairs)
            for name, pairs in {"training": session.train, **session.validation}.items()
        ),
        *(
            f"source: {share.drawn} of {share.pairs} pairs an epoch from {share.path}, weight {share.weight:g}"
            for share in session.train.shares
        ),
        *(
            f"{name or 'validation'} by file: "
            + ", ".join(f"{file} {len(one)} pairs" for file, one in pairs.by_file.items())
            for name, pairs in session.validation.items()
            if pairs.by_file
        ),
        f"precision: {precision_line(session)}",
        f"effective batch: {config.batch_size} pairs × {config.gradient_accumulation_steps} accumulation × "
        f"{derived.world_size} processes = {derived.effective_batch} pairs a step",
        *(
            [f"forward passes: cut by tokens, at most {config.batch_tokens:,} a process (batch_tokens)"]
            if config.batch_tokens
            else []
        ),
        f"steps: {derived.steps_per_epoch} an epoch{shorter} × {config.num_epochs} epochs = {derived.total_steps}; "
        f"{derived.warmup_steps} of warm-up, then {config.lr_scheduler}, peak {config.learning_rate:g}",
        f"evaluations: {derived.evaluations}, checkpoints: {derived.checkpoints}; "
        f"weight decay {config.weight_decay:g} on matrices, none on biases and norms",
    ]


def precision_line(session: Session) -> str:
    """The number format, and why."""
    config, gpus = session.config, len(environment.gpu_capabilities())
    line = format_precision(session.spec.config.mixed_precision, config.mixed_precision, gpus)
    return f"{line}, TF32 in float32 products" if config.tf32 and gpus else line


def head_lines(session: Session) -> list[str]:
    """What the base did not hold and is drawn at random, and what of it is left out."""
    model, found = session.model, []
    if session.config.method == "lora":
        found.append(f"the adapter reaches {model.coverage:.0%} of the body's weights, embeddings aside")
    if model.new_parts and not session.config.init_from:
        found.append(f"new, drawn at random, trained whole and saved: {first_names(model.new_parts)}")
    if model.unused:
        found.append(f"in the base's files and not used: {first_names(model.unused)}")
    return found


def file_line(name: str, pairs: pairset.PairSet) -> str:
    """What became of one pair file."""
    found = pairs.report
    return (
        f"{name}: {found.pairs} of {found.rows} pairs from {found.path}; {found.prompts_cut} prompts and "
        f"{found.answers_cut} answers cut to {found.max_length} tokens{_dropped(found)}, {found.identical_dropped} "
        f"identical pairs dropped, {found.blank_lines} blank lines{_left_out(found.left_out)}; "
        f"{found.tokens:,} tokens, longest side {found.longest}; read as {found.layout}"
    )


def _dropped(found: pairset.DataReport) -> str:
    """`, 3 pairs (1.2 %) dropped whose answer alone is longer`; empty where every answer fits."""
    share = found.answers_dropped / found.rows
    return f", {found.answers_dropped} pairs ({share:.1%}) dropped whose answer alone is longer" if share else ""


def warn_of_length(session: Session, name: str, found: pairset.DataReport) -> None:
    """More than 1 % of the pairs are not seen whole: the length that 99 % of them fit."""
    if found.over > 0.01 * found.rows:
        session.reporter.warn(
            "max_length",
            f"{name}: {found.over / found.rows:.1%} of the pairs are longer than {found.max_length} tokens; "
            f"{found.advice}",
        )


def report_habits(session: Session, name: str, found: pairset.DataReport) -> None:
    """What tokenizer and template make of these texts that a person may not expect."""
    if found.doubled_bos:
        what = "is left out" if session.config.doubled_bos == "drop" else "is kept, so they begin with it twice"
        front = chat.front_text(session.tokenizer)
        session.reporter.line(
            f"{name}: {found.doubled_bos} pairs begin with {front} themselves; the one that the tokenizer adds {what} "
            f"(doubled_bos = {session.config.doubled_bos})"
        )
    if found.unseen_system:
        session.reporter.warn(
            "system_role",
            f"{name}: {found.unseen_system} pairs have a system turn, which the tokenizer's chat template leaves out: "
            "the model does not see it. Put its text into the first user turn",
        )


def _left_out(counts: Mapping[str, int]) -> str:
    """`, 3 tie, 1 no preference left out`; empty where every row holds a preference."""
    named = ", ".join(f"{count} {case.replace('_', ' ')}" for case, count in counts.items())
    return f", left out without a preference: {named}" if named else ""


def warn_of_leak(session: Session, name: str, leak: Mapping[str, object]) -> None:
    """Validation metrics over pairs that were trained on mean little."""
    if leak["prompts"] or leak["pairs"]:
        session.reporter.warn(
            "leakage",
            f"{name}: {leak['pairs']} pairs and {leak['prompts']} prompts of the validation set are in the training "
            "data too, so its metrics flatter the model",
        )


def show_samples(session: Session) -> None:
    """Three pairs, decoded: what was cut, the template, the scored token."""
    for sample in pairset.samples(session.train.pairs, session.tokenizer, SAMPLES):
        session.reporter.report("sample", **sample)
        session.reporter.line(
            f"pair {sample['id']}: {sample['cut']} prompt tokens cut, {sample['shared']} shared, "
            f"{sample['chosen_tokens']} and {sample['rejected_tokens']} tokens, "
            f"scored at {sample['scored'][0]!r} and {sample['scored'][1]!r}"
        )
        texts = {"prompt": sample["prompt"], "chosen": sample["chosen"], "rejected": sample["rejected"]}
        for part, text in texts.items():
            session.reporter.line(f"  {part}: {shown(text)}")


def shown(text: str) -> str:
    """Text on one line, its middle left out when it is long."""
    line = repr(text)
    half = SHOWN_CHARACTERS // 2
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[:half]} … {line[-half:]}"

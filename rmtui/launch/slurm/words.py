"""Slurm's words → ours: what a job is, why it waits, and what its end means."""

from __future__ import annotations

from rmtui.launch.slurm.calls import SlurmJob
from rmtui.runs import cluster_jobs
from rmtui.runs.model import State

STATES = {
    "PENDING": cluster_jobs.QUEUED,
    "REQUEUED": cluster_jobs.QUEUED,
    "REQUEUE_HOLD": cluster_jobs.QUEUED,
    "REQUEUE_FED": cluster_jobs.QUEUED,
    "SPECIAL_EXIT": cluster_jobs.QUEUED,
    "RESV_DEL_HOLD": cluster_jobs.QUEUED,
    "CONFIGURING": cluster_jobs.STARTING,
    "RUNNING": cluster_jobs.RUNNING,
    "SUSPENDED": cluster_jobs.RUNNING,
    "STOPPED": cluster_jobs.RUNNING,
    "RESIZING": cluster_jobs.RUNNING,
    "SIGNALING": cluster_jobs.ENDING,
    "STAGE_OUT": cluster_jobs.ENDING,
    "COMPLETING": cluster_jobs.ENDING,
}
"""Every other state is an end (man squeue, JOB STATE CODES)."""

REASONS = {
    "Resources": "waiting for resources",
    "Priority": "behind jobs of higher priority",
    "Dependency": "waiting for another job to end",
    "DependencyNeverSatisfied": "the job it depends on can never end as it should",
    "BeginTime": "its time has not come (a requeued job waits for two minutes)",
    "JobHeldUser": "held by you: scontrol release",
    "JobHeldAdmin": "held by an administrator",
    "ReqNodeNotAvail": "a node it needs is down, drained or reserved",
    "Nodes_required_for_job_are": "the nodes it needs are down, drained or kept for jobs of higher priority",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition takes no jobs now",
    "PartitionNodeLimit": "it asks for more nodes than its partition allows",
    "PartitionTimeLimit": "it asks for more time than its partition allows",
    "PartitionConfig": "its partition cannot hold it as it is asked for",
    "Reservation": "waiting for its reservation",
    "JobArrayTaskLimit": "the array's own limit of jobs at once",
    "NodeDown": "a node it needs is down",
    "BadConstraints": "no node is as it asks for",
    "Licenses": "waiting for a licence",
    "Cleaning": "its last start is being cleared away",
    "QOSMaxJobsPerUserLimit": "your limit of running jobs",
    "QOSMaxGRESPerUser": "your account's GPU limit",
    "QOSMaxGRES": "your account's GPU limit",
    "AssocMaxGRES": "your account's GPU limit",
    "AssocGrpGRES": "your group's GPU limit",
    "QOSGrpGRES": "your group's GPU limit",
    "AssocGrpJobsLimit": "your group's limit of jobs",
    "AssocMaxJobsLimit": "your account's limit of jobs",
    "AssocGrpCPUMinutesLimit": "your group's computing time is used up",
    "AssocGrpBillingMinutes": "your group's computing time is used up",
    "InvalidAccount": "its account is not valid any more",
    "InvalidQOS": "its QOS is not valid any more",
    "launch_failed_requeued_held": "it could not be started and is held: scontrol release",
    "job_requeued_in_held_state": "it was requeued and is held: scontrol release",
}

OUTCOMES = {
    "COMPLETED": (State.INTERRUPTED, "its job ended without a last word of the training"),
    "FAILED": (State.FAILED, "its job failed without a last word of the training"),
    "CANCELLED": (State.STOPPED, "stopped by somebody else (scancel)"),
    "TIMEOUT": (State.INTERRUPTED, "timed out"),
    "DEADLINE": (State.INTERRUPTED, "its deadline has passed"),
    "PREEMPTED": (State.INTERRUPTED, "preempted"),
    "NODE_FAIL": (State.INTERRUPTED, "node failed"),
    "BOOT_FAIL": (State.INTERRUPTED, "a node did not boot"),
    "OUT_OF_MEMORY": (State.KILLED, "out of memory"),
    "REQUEUED": (State.INTERRUPTED, "sent back into the queue by somebody (scontrol requeue)"),
    "SIGNALED": (State.INTERRUPTED, "asked to save by a signal (USR1)"),
    "REVOKED": (State.INTERRUPTED, "its job was given to another cluster"),
}

CAUSES = (
    ("DUE TO PREEMPTION", "PREEMPTED"),
    ("DUE TO TIME LIMIT", "TIMEOUT"),
    ("DUE TO NODE FAILURE", "NODE_FAIL"),
    ("Node failure on", "NODE_FAIL"),
    ("DUE TO JOB REQUEUE", "REQUEUED"),
    ("oom-kill event", "OUT_OF_MEMORY"),
    ("oom_kill event", "OUT_OF_MEMORY"),
    ("*** JOB", "CANCELLED"),
)
"""What slurmstepd and srun write into a job's output when it is ended, the surer words first → the state that it means.
That a step was cancelled says nothing: a preemption with a grace time ends the steps first."""


LONGEST = 60
"""Characters of Slurm's own word that are shown beside ours."""


def state(row: SlurmJob) -> str:
    return STATES.get(row.state.split()[0].rstrip("+") if row.state else "", cluster_jobs.ENDED)


def reason(row: SlurmJob) -> str:
    """Why a job waits, in words, with Slurm's own word; squeue writes some of them with blanks, scontrol with `_`."""
    own = row.reason.strip("()").replace(" ", "_")
    if not own or own == "None":
        return "waiting for the scheduler"
    known = REASONS.get(own) or next((text for word, text in REASONS.items() if own.startswith(word)), "")
    if known:
        return f"{known} ({own if len(own) <= LONGEST else own.partition(',')[0]})"
    return f"Slurm's reason: {own}"


def is_held(row: SlurmJob) -> bool:
    """Whether it waits for a person, and not for its turn."""
    return "held" in row.reason.lower()


def suspension(row: SlurmJob) -> str:
    """That a job's processes do not run, in words; empty: they do."""
    return "suspended: its processes stand still until Slurm resumes them" if row.state.startswith("SUSPENDED") else ""


def outcome(word: str) -> tuple[State, str]:
    """What an end means for a run that left no last word itself."""
    first = word.split()[0].rstrip("+") if word else ""
    unknown = f"its job is over ({word})" if word else "its job is over, and Slurm has forgotten how it ended"
    return OUTCOMES.get(first, (State.INTERRUPTED, unknown))


def cause(output: str) -> str:
    """Which end slurmstepd told a job's output of, as a state of Slurm; "" for none."""
    lines = [line for line in output.splitlines() if "slurmstepd" in line or "srun: error" in line]
    for words, found in CAUSES:
        if any(words in line for line in lines):
            return found
    return ""

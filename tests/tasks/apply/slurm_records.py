"""Jobs as ``squeue --json`` tells them, and workers of one GPU."""

from data.schemas.job import Worker


def on(*nodes):
    return tuple(Worker(node, (0,)) for node in nodes)


def record(number, nodes="", **fields):
    running = bool(nodes)
    return {
        "job_id": number, "array_job_id": 0, "array_task_id": None, "array_task_string": "", "admin_comment": "",
        "job_state": "RUNNING" if running else "PENDING", "nodes": nodes, "priority": 1, "required_nodes": "",
        "gres_detail": ["gpu:1"] * len(nodes.split(",")) if running else [], "node_count": 1, "max_nodes": 0,
        "eligible_time": 0, "requeue": True, "state_reason": "None", "user_name": "ada", **fields,
    }  # fmt: skip

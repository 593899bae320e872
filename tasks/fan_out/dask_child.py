"""What do Dask's own processes on this machine run? ``python -m tasks.fan_out.dask_child PARENT worker OPTIONS``.

Dask's command, which ends with the process that asked for it, however that one ends.
"""

import sys

from tasks.fan_out.child import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    part, sys.argv = sys.argv[2], [sys.argv[2], *sys.argv[3:]]
    if part == "scheduler":
        from distributed.cli.dask_scheduler import main
    else:
        from distributed.cli.dask_worker import main
    main()

"""Run a benchmark, as a Ray job: the arguments are those of `planogram benchmark`.

ray job submit --working-dir . -- python jobs/benchmark.py training --config jobs/configs/benchmark-training.yaml
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["benchmark"]
    main()

"""Simulate a shop whose truth is known, as a Ray job: the options are those of `planogram data simulate`.

ray job submit --working-dir . -- python jobs/simulate.py --config jobs/configs/simulate.yaml --out RAW
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["data", "simulate"]
    main()

"""Look for the best settings of a stage, as a Ray job: the options are those of `planogram tune`.

ray job submit --working-dir . -- python jobs/tune.py --config jobs/configs/tune.yaml
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["tune"]
    main()

"""Score a whole catalogue, as a Ray job: the options are those of `planogram score`.

ray job submit --working-dir . -- python jobs/score.py --config jobs/configs/score.yaml --set shop=SHOP --set out=SCORES
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["score"]
    main()

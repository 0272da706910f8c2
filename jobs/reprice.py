"""Price a whole catalogue, as a Ray job: the options are those of `planogram reprice`.

ray job submit --working-dir . -- python jobs/reprice.py --set demand=shop-demand@champion --set shop=SHOP --set out=OUT
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["reprice"]
    main()

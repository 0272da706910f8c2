"""Learn the weights of signals beside relevance, as a Ray job: the options are those of `planogram blend`.

ray job submit --working-dir . -- python jobs/blend.py --config jobs/configs/blend.yaml --set shop=SHOP
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["blend"]
    main()

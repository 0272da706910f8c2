"""Evaluate a bundle on a prepared shop, as a Ray job: the options are those of `planogram evaluate`.

ray job submit --working-dir . -- python jobs/evaluate.py --config jobs/configs/evaluate.yaml --set shop=SHOP
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["evaluate"]
    main()

"""Estimate how demand answers to prices, as a Ray job: the options are those of `planogram elasticities`.

ray job submit --working-dir . -- python jobs/elasticities.py --config jobs/configs/elasticities.yaml --set shop=SHOP
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["elasticities"]
    main()

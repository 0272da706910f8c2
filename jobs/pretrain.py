"""Pretrain a language model on a prepared shop, as a Ray job: the options are those of `planogram pretrain`.

ray job submit --working-dir . -- python jobs/pretrain.py --config jobs/configs/pretrain.yaml --set shop=SHOP
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["pretrain"]
    main()

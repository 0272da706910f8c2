"""Fine-tune a model on a prepared shop, as a Ray job: the options are those of `planogram finetune`.

ray job submit --working-dir . -- python jobs/finetune.py --config jobs/configs/finetune.yaml --set shop=SHOP
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["finetune"]
    main()

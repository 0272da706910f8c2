"""Make the index of a shop before a server needs it, as a Ray job: the options are those of `planogram index`.

ray job submit --working-dir . -- python jobs/index.py --set shop=SHOP --set encoder=shop-encoder@champion
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["index"]
    main()

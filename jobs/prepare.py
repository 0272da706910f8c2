"""Import source files into a shop, as a Ray job: the options are those of `planogram data prepare`.

ray job submit --working-dir . -- python jobs/prepare.py --source MAPPING.yaml --path DIR --out SHOP
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["data", "prepare"]
    main()

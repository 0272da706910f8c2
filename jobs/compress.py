"""Make a bundle smaller and faster, as a Ray job: the options are those of `planogram compress`.

ray job submit --working-dir . -- python jobs/compress.py --config jobs/configs/compress-crowdflower.yaml
"""

import sys

from planogram.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["compress"]
    main()

"""`planogram reprice`: prices of a whole catalogue within the shop's rules, and the reason of each."""

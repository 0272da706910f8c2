"""What a product should cost: demand curves, limits, the choice of a price, guardrails, and an audit that replays."""
